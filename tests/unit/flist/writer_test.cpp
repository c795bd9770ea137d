#include "flist/writer.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "blake2b_short.hpp"
#include "flist/content.hpp"
#include "flist/reader.hpp"
#include "kernel/files.hpp"
#include "memory_store.hpp"
#include "temp_folder.hpp"

namespace znode::flist {
namespace {

namespace fs = std::filesystem;

void put(const fs::path& path, const std::string& content, unsigned mode = 0644)
{
    std::ofstream{path, std::ios::binary} << content;
    ::chmod(path.c_str(), mode);
    const timespec times[2] = {{1'700'000'000, 0}, {1'700'000'000, 0}};
    ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

std::string noise(std::size_t size)
{
    std::string bytes(size, '\0');
    std::uint32_t state = 1;
    for (auto& byte : bytes) {
        state = state * 1664525U + 1013904223U;
        byte = static_cast<char>(state >> 24U);
    }
    return bytes;
}

/// A small tree with one of each kind.
void make_tree(const fs::path& root)
{
    fs::create_directories(root / "bin/deep/deeper");
    put(root / "bin/tool", "#!/bin/sh\n", 04755);
    put(root / "bin/empty", "");
    put(root / "bin/exact", noise(chunk_size));
    put(root / "bin/more", noise(chunk_size + 1));
    put(root / "bin/same", noise(chunk_size + 1));
    put(root / "bin/deep/bad-\xff\xfe", "invalid utf-8");
    fs::create_symlink("../bin/tool", root / "link");
    ::mkfifo((root / "fifo").c_str(), 0600);
    const timespec times[2] = {{1'600'000'000, 0}, {1'600'000'000, 0}};
    for (const char* path : {"bin/deep/deeper", "bin/deep", "bin", "link", "fifo", "."})
        ::utimensat(AT_FDCWD, (root / path).c_str(), times, AT_SYMLINK_NOFOLLOW);
}

TEST(WriterTest, OwnerRecordsAreNamedAsEverybodyElseDoesIt)
{
    EXPECT_EQ(
        to_hex(blake2b_64("user:root\ngroup:root\nmode:0o755\nuid:0\ngid:0")), "d7683de000c13689");
    EXPECT_EQ(
        to_hex(blake2b_64("user:root\ngroup:root\nmode:0o644\nuid:0\ngid:0")), "5f64cf1389d15471");
}

TEST(WriterTest, WhatIsPackedReadsBackTheSame)
{
    const znode::test::TempFolder folder;
    make_tree(folder.path() / "tree");
    test::MemoryStore store;

    const auto figures = pack_folder(folder.path() / "tree", folder.path() / "x.flist", store);

    ASSERT_TRUE(figures) << figures.error().message;
    EXPECT_EQ(figures->entries, 12U);
    EXPECT_EQ(figures->blocks, 4U);  // The big files share their first chunk.
    const auto tree = read_flist(folder.path() / "x.flist");
    ASSERT_TRUE(tree) << tree.error().message;
    EXPECT_EQ(tree->size(), 12U);
    Content content{*tree, store, nullptr, silent_log()};
    for (Index i = 0; i < tree->size(); ++i) {
        const auto path = folder.path() / "tree" / tree->path(i).substr(1);
        const Node& node = (*tree)[i];
        struct stat status{};
        ASSERT_EQ(::lstat(path.c_str(), &status), 0) << path;
        EXPECT_EQ(node.mode, status.st_mode) << path;
        EXPECT_EQ(node.uid, status.st_uid) << path;
        EXPECT_EQ(node.gid, status.st_gid) << path;
        EXPECT_EQ(node.mtime, status.st_mtim.tv_sec) << path;
        if (node.is_link()) {
            EXPECT_EQ(tree->target(node), fs::read_symlink(path).string());
        }
        if (!node.is_file()) continue;
        std::string read;
        ASSERT_TRUE(content.read(node, [&](std::string_view piece) -> Result<> {
            read += piece;
            return {};
        }));
        EXPECT_EQ(read, kernel::read_file(path).value()) << path;
    }
}

TEST(WriterTest, TheSameTreeElsewhereGivesTheSameBytes)
{
    const znode::test::TempFolder folder;
    make_tree(folder.path() / "one");
    make_tree(folder.path() / "two");
    test::MemoryStore store;

    ASSERT_TRUE(pack_folder(folder.path() / "one", folder.path() / "1.flist", store));
    ASSERT_TRUE(
        pack_folder(folder.path() / "two", folder.path() / "2.flist", store, {.threads = 7}));

    EXPECT_EQ(
        kernel::read_file(folder.path() / "1.flist").value(),
        kernel::read_file(folder.path() / "2.flist").value());
}

TEST(WriterTest, ASecondPackSendsNothing)
{
    const znode::test::TempFolder folder;
    make_tree(folder.path() / "tree");
    test::MemoryStore store;
    ASSERT_TRUE(pack_folder(folder.path() / "tree", folder.path() / "x.flist", store));

    const auto again = pack_folder(folder.path() / "tree", folder.path() / "x.flist", store);

    ASSERT_TRUE(again);
    EXPECT_EQ(again->blocks, 4U);
    EXPECT_EQ(again->blocks_sent, 0U);
}

TEST(WriterTest, AMissingFolderIsNamed)
{
    test::MemoryStore store;

    const auto packed = pack_folder("/no/such/folder", "/tmp/never.flist", store);

    ASSERT_FALSE(packed);
    EXPECT_EQ(packed.error().code, Errc::not_found);
    EXPECT_THAT(packed.error().message, testing::HasSubstr("/no/such/folder"));
}

}  // namespace
}  // namespace znode::flist
