#include "kernel/files.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace znode::kernel {
namespace {

class FilesTest : public testing::Test {
protected:
    test::TempFolder folder;
};

TEST_F(FilesTest, ReplacesAFileWithTheModeAskedFor)
{
    const auto path = folder.path() / "seed";
    const mode_t before = ::umask(077);

    ASSERT_TRUE(write_file_atomically(path, "one", 0644));
    ASSERT_TRUE(write_file_atomically(path, "two", 0640));
    ::umask(before);

    EXPECT_EQ(read_file(path).value(), "two");
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0640U);
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "seed.new"));
}

TEST_F(FilesTest, RefusesAFileLargerThanTheLimit)
{
    const auto path = folder.path() / "large";
    ASSERT_TRUE(write_file_atomically(path, std::string(100, 'x'), 0600));
    EXPECT_EQ(read_file(path, 99).error().code, Errc::invalid);
    EXPECT_EQ(read_file(path, 100).value().size(), 100U);
}

TEST_F(FilesTest, NamesThePathThatIsMissing)
{
    const auto missing = read_file(folder.path() / "nothing");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
    EXPECT_NE(missing.error().message.find("nothing"), std::string::npos);
}

TEST_F(FilesTest, KnowsTheStartTimeOfAProcess)
{
    EXPECT_GT(start_time_of(::getpid()).value(), 0U);
    EXPECT_EQ(start_time_of(0x3fffffff).error().code, Errc::not_found);
}

}  // namespace
}  // namespace znode::kernel
