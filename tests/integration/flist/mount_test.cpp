#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <map>

#include "flist/reader.hpp"
#include "served.hpp"

namespace znode::flist {
namespace {

const std::map<std::string, mode_t> types{
    {"dir", S_IFDIR},
    {"file", S_IFREG},
    {"symlink", S_IFLNK},
    {"socket", S_IFSOCK},
    {"block", S_IFBLK},
    {"char", S_IFCHR},
    {"fifo", S_IFIFO}};

void expect_entry(
    const std::string& root, const nlohmann::json& entry, const std::string& type, unsigned shift)
{
    const auto path = root + test::path_of(entry);
    struct stat status{};
    ASSERT_EQ(::lstat(path.c_str(), &status), 0) << path;
    const auto mode = std::stoul(entry["mode"].get<std::string>(), nullptr, 8);
    EXPECT_EQ(status.st_mode, types.at(type) | mode) << path;
    EXPECT_EQ(status.st_uid, entry["uid"].get<unsigned>() + shift) << path;
    EXPECT_EQ(status.st_gid, entry["gid"].get<unsigned>() + shift) << path;
    EXPECT_EQ(status.st_size, entry["size"].get<off_t>()) << path;
    EXPECT_EQ(status.st_mtim.tv_sec, entry["mtime"].get<time_t>()) << path;
    EXPECT_EQ(status.st_ctim.tv_sec, entry["ctime"].get<time_t>()) << path;
    if (entry.contains("source_rdev") && type != "socket") {
        EXPECT_EQ(major(status.st_rdev), entry["source_rdev"][0].get<unsigned>()) << path;
        EXPECT_EQ(minor(status.st_rdev), entry["source_rdev"][1].get<unsigned>()) << path;
    }
    if (entry.contains("target")) {
        EXPECT_EQ(std::filesystem::read_symlink(path), entry["target"].get<std::string>());
    }
    if (entry.contains("sha256")) {
        const auto content = kernel::read_file(path);
        ASSERT_TRUE(content) << content.error().message;
        EXPECT_EQ(test::sha256(*content), entry["sha256"].get<std::string>()) << path;
        EXPECT_EQ(status.st_blocks, (status.st_size + 511) / 512) << path;
    }
    if (entry.contains("nchildren")) {
        const auto listed = std::distance(
            std::filesystem::directory_iterator{path}, std::filesystem::directory_iterator{});
        EXPECT_EQ(listed, entry["nchildren"].get<long>()) << path;
    }
}

class MountTest : public testing::Test {
protected:
    MountTest()
    {
        std::filesystem::create_directory(root);
        std::filesystem::create_directory(folder.path() / "cache");
    }
    void TearDown() override { test::expect_nothing_mounted_below(folder.path()); }

    /// Unmounts, and expects the server to end by itself.
    void expect_clean_end(const kernel::Child& server)
    {
        ASSERT_EQ(::umount2(root.c_str(), UMOUNT_NOFOLLOW), 0) << std::strerror(errno);
        const auto ended = server.wait(std::chrono::seconds{10});
        ASSERT_TRUE(ended && *ended);
        EXPECT_TRUE((*ended)->good()) << (*ended)->text();
    }

    znode::test::TempFolder folder;
    const std::string root = folder.path() / "root";
    const std::string cache = folder.path() / "cache";
};

TEST_F(MountTest, TheSampleIsSeenExactlyAsItsManifestSays)
{
    const auto server =
        test::start_mount(test::data + "small.flist", root, test::sample_store, {"--cache", cache});

    const auto manifest = test::manifest();
    for (const auto& entry : manifest["entries"]) expect_entry(root, entry, entry["type"], 0);

    expect_clean_end(server);
}

TEST_F(MountTest, OwnersAreShiftedAndSpecialsHaveTheirTypes)
{
    const auto server = test::start_mount(
        test::data + "small-special.flist", root, test::sample_store, {"--uid-shift", "1000000"});

    const auto manifest = test::manifest();
    for (const auto& entry : manifest["entries"])
        expect_entry(
            root, entry, entry.value("source_type", entry["type"].get<std::string>()), 1'000'000);

    expect_clean_end(server);
}

TEST_F(MountTest, TheTreeIsReadOnlyHasNoAttributesAndSaysItsSize)
{
    const auto server = test::start_mount(test::data + "small.flist", root, test::sample_store);

    EXPECT_LT(::open((root + "/new").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644), 0);
    EXPECT_EQ(errno, EROFS);
    const auto hello = root + "/files/hello.txt";
    char value[64];
    EXPECT_LT(::getxattr(hello.c_str(), "trusted.overlay.opaque", value, sizeof value), 0);
    EXPECT_EQ(errno, ENODATA);
    EXPECT_EQ(::listxattr(hello.c_str(), value, sizeof value), 0);
    EXPECT_LT(::open((root + "/no such file").c_str(), O_RDONLY | O_CLOEXEC), 0);
    EXPECT_EQ(errno, ENOENT);
    struct statvfs size{};
    ASSERT_EQ(::statvfs(root.c_str(), &size), 0);
    EXPECT_EQ(size.f_files, 451U);
    EXPECT_GE(size.f_blocks * size.f_frsize, 13'809'597U);
    EXPECT_EQ(size.f_bfree, 0U);
    struct stat status{};
    ASSERT_EQ(::stat(root.c_str(), &status), 0);
    EXPECT_EQ(status.st_nlink, 2U + 9U);

    expect_clean_end(server);
}

TEST_F(MountTest, AnOverlayCanStandOnIt)
{
    const auto server = test::start_mount(test::data + "small.flist", root, test::sample_store);
    for (const char* name : {"rw", "merged"})
        std::filesystem::create_directory(folder.path() / name);
    kernel::MountSpec tmpfs;  // The upper layer must not itself be an overlay.
    tmpfs.source = "tmpfs";
    tmpfs.type = "tmpfs";
    tmpfs.target = folder.path() / "rw";
    auto layer = kernel::Mount::attach(tmpfs).value();
    for (const char* name : {"upper", "work"})
        std::filesystem::create_directory(tmpfs.target / name);
    kernel::MountSpec spec;
    spec.source = "overlay";
    spec.type = "overlay";
    spec.target = folder.path() / "merged";
    spec.options = "lowerdir=" + root + ",upperdir=" + (tmpfs.target / "upper").string() +
                   ",workdir=" + (tmpfs.target / "work").string() +
                   ",index=off,metacopy=off,redirect_dir=on,xino=off";
    auto overlay = kernel::Mount::attach(spec);
    ASSERT_TRUE(overlay) << overlay.error().message;

    const auto hello = spec.target / "files/hello.txt";
    EXPECT_EQ(kernel::read_file(hello).value(), "hello world\n");
    std::ofstream{hello, std::ios::app} << "more";
    EXPECT_EQ(kernel::read_file(hello).value(), "hello world\nmore");
    EXPECT_EQ(kernel::read_file(root + "/files/hello.txt").value(), "hello world\n");

    EXPECT_TRUE(overlay->detach());
    EXPECT_TRUE(layer.detach());
    expect_clean_end(server);
}

TEST_F(MountTest, SigtermUnmountsAndEnds)
{
    const auto server = test::start_mount(test::data + "small.flist", root, test::sample_store);

    ASSERT_TRUE(server.signal(SIGTERM));

    const auto ended = server.wait(std::chrono::seconds{10});
    ASSERT_TRUE(ended && *ended);
    EXPECT_TRUE((*ended)->good());
}

TEST_F(MountTest, AWrongFlistLeavesNoMount)
{
    std::ofstream{folder.path() / "bad.flist"} << "<html>404</html>";
    const auto outcome = kernel::run_program(
        {.argv =
             {test::program, "mount", folder.path() / "bad.flist", root, "--store", "dir:///x"}},
        {},
        std::chrono::seconds{10});

    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->exit.code, 1);
    EXPECT_NE(outcome->err.find("bad.flist"), std::string::npos) << outcome->err;
}

TEST_F(MountTest, AMissingBlockIsAnErrorOfThatFileOnly)
{
    const auto blocks = folder.path() / "blocks";
    std::filesystem::copy(test::data + "small.blocks", blocks);
    std::filesystem::remove(blocks / "a5147f6e7cac3a7076f942cb5e00d896");
    const auto server = test::start_mount(
        test::data + "small.flist", root, "dir://" + blocks.string(), {"--patience", "1"});

    const auto hello = kernel::read_file(root + "/files/hello.txt");
    ASSERT_FALSE(hello);
    EXPECT_NE(hello.error().message.find("Input/output"), std::string::npos);
    EXPECT_TRUE(kernel::read_file(root + "/links/target"));

    expect_clean_end(server);
}

}  // namespace
}  // namespace znode::flist
