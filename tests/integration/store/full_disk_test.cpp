#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "store/database.hpp"
#include "temp_folder.hpp"

namespace znode::store {
namespace {

/// A file system of 8 MiB, with nothing on it but the database.
class FullDisk : public testing::Test {
protected:
    void SetUp() override
    {
        ASSERT_EQ(::mount("znode-test", disk.c_str(), "tmpfs", 0, "size=8m"), 0) << errno;
    }
    void TearDown() override { EXPECT_EQ(::umount2(disk.c_str(), 0), 0) << errno; }

    void fill() const
    {
        std::ofstream file{disk / "filler", std::ios::binary};
        const std::string block(4096, 'x');
        while (file.write(block.data(), 4096).flush()) {
        }
    }
    static Result<> insert(Database& database, int rows)
    {
        return database.transaction([&]() -> Result<> {
            for (int i = 0; i < rows; ++i)
                TRY_DO(database.run("INSERT INTO t VALUES (?)", {std::string(1000, 'r')}));
            return {};
        });
    }
    static std::int64_t count(Database& database)
    {
        return database.integer("SELECT count(*) FROM t").value().value_or(-1);
    }

    test::TempFolder folder;
    std::filesystem::path disk = folder.path();
};

TEST_F(FullDisk, WhatIsSetAsideTakesWhatMustBeNotedAndComesBack)
{
    auto database = Database::open(disk / "state.db").value();
    ASSERT_TRUE(database.script("CREATE TABLE t (v TEXT)"));
    database.keep_reserve(std::uint64_t{1} << 20U);
    fill();

    EXPECT_TRUE(insert(database, 200));  // 200 KB: more than what lay about.
    EXPECT_EQ(count(database), 200);
    EXPECT_FALSE(std::filesystem::exists(disk / "state.db-reserve"));

    // More than the reserve is an error that undoes itself.
    const auto refused = insert(database, 8000);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::exhausted) << refused.error().message;
    EXPECT_EQ(count(database), 200);

    std::filesystem::remove(disk / "filler");
    // Looked for once a second.
    bool back = false;
    for (int i = 0; i < 500 && !back; ++i) {
        ASSERT_TRUE(insert(database, 1));
        back = std::filesystem::exists(disk / "state.db-reserve");
        std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    EXPECT_TRUE(back);
}

TEST_F(FullDisk, WithoutReserveNothingIsTakenAndNothingIsLost)
{
    auto database = Database::open(disk / "state.db").value();
    ASSERT_TRUE(database.script("CREATE TABLE t (v TEXT)"));
    ASSERT_TRUE(insert(database, 5));
    fill();
    EXPECT_FALSE(insert(database, 1000));
    EXPECT_EQ(count(database), 5);
}

}  // namespace
}  // namespace znode::store
