#include "store/database.hpp"

#include <sys/stat.h>

#include <gtest/gtest.h>

#include "kernel/files.hpp"
#include "temp_folder.hpp"

namespace znode::store {
namespace {

class DatabaseTest : public testing::Test {
protected:
    Database open()
    {
        auto opened = Database::open(path);
        EXPECT_TRUE(opened) << opened.error().message;
        return *std::move(opened);
    }
    test::TempFolder folder;
    std::filesystem::path path = folder.path() / "state.db";
    const std::vector<std::string> schema{"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)"};
};

TEST_F(DatabaseTest, KeepsBytesAsTheyAre)
{
    auto database = open();
    ASSERT_TRUE(database.migrate(schema));
    const std::string odd{"a\0b\xff", 4};
    ASSERT_EQ(database.run("INSERT INTO t VALUES (?, ?)", {std::int64_t{7}, odd}).value(), 1);
    EXPECT_EQ(database.text("SELECT name FROM t WHERE id = ?", {std::int64_t{7}}).value(), odd);
    EXPECT_EQ(database.text("SELECT name FROM t WHERE id = 8").value(), std::nullopt);
}

TEST_F(DatabaseTest, FailedTransactionLeavesNothing)
{
    auto database = open();
    ASSERT_TRUE(database.migrate(schema));
    const auto outcome = database.transaction([&]() -> Result<> {
        TRY_DO(database.run("INSERT INTO t VALUES (1, 'x')"));
        return fail(Errc::exhausted, "no room");
    });
    EXPECT_EQ(outcome.error().message, "no room");
    EXPECT_EQ(database.integer("SELECT count(*) FROM t").value(), 0);
}

TEST_F(DatabaseTest, PartsOfATransactionStandForThemselves)
{
    auto database = open();
    ASSERT_TRUE(database.migrate(schema));
    const auto insert = [&](std::int64_t id, bool keep) {
        return database.part([&] {
            EXPECT_TRUE(database.run("INSERT INTO t VALUES (?, 'x')", {id}));
            return keep;
        });
    };

    ASSERT_TRUE(database.transaction([&]() -> Result<> {
        EXPECT_TRUE(insert(1, true).value());
        EXPECT_FALSE(insert(2, false).value());
        EXPECT_TRUE(insert(3, true).value());
        return {};
    }));
    EXPECT_FALSE(database.transaction([&]() -> Result<> {
        TRY_DO(insert(4, true));
        return fail(Errc::exhausted, "no room");
    }));

    EXPECT_EQ(database.integer("SELECT sum(id) FROM t").value(), 4);
}

TEST_F(DatabaseTest, IsForItsOwnerOnly)
{
    auto database = open();
    ASSERT_TRUE(database.migrate(schema));
    for (const auto* suffix : {"", "-wal", "-shm"}) {
        struct stat info{};
        ASSERT_EQ(::stat((path.string() + suffix).c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 0777U, 0600U) << suffix;
    }
}

TEST_F(DatabaseTest, GarbageIsCorruptAndTheFutureIsUnsupported)
{
    ASSERT_TRUE(kernel::write_file_atomically(path, std::string(8192, 'x'), 0600));
    EXPECT_EQ(Database::open(path).error().code, Errc::corrupt);

    ASSERT_TRUE(kernel::remove_file(path));
    {
        auto database = open();
        ASSERT_TRUE(database.migrate({schema[0], "CREATE TABLE u (id INTEGER)"}));
    }
    auto database = open();
    EXPECT_EQ(database.migrate(schema).error().code, Errc::unsupported);
}

}  // namespace
}  // namespace znode::store
