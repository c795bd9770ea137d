#include "flist/reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/files.hpp"
#include "manifest.hpp"

namespace znode::flist {
namespace {

using testing::HasSubstr;

std::uint32_t type_bits(const std::string& type)
{
    if (type == "dir") return 0040000;
    if (type == "file") return 0100000;
    if (type == "symlink") return 0120000;
    if (type == "socket") return 0140000;
    if (type == "block") return 0060000;
    if (type == "char") return 0020000;
    if (type == "fifo") return 0010000;
    ADD_FAILURE() << "type " << type << " is not known to the test";
    return 0;
}

void expect_entry(const Tree& tree, const nlohmann::json& entry, const std::string& type)
{
    const auto path = test::path_of(entry);
    const auto at = tree.find(path);
    ASSERT_TRUE(at) << path;
    const Node& node = tree[*at];
    EXPECT_EQ(tree.path(*at), path);
    const auto mode = std::stoul(entry["mode"].get<std::string>(), nullptr, 8);
    EXPECT_EQ(node.mode, type_bits(type) | mode) << path;
    EXPECT_EQ(node.uid, entry["uid"].get<std::uint64_t>()) << path;
    EXPECT_EQ(node.gid, entry["gid"].get<std::uint64_t>()) << path;
    EXPECT_EQ(node.size, entry["size"].get<std::uint64_t>()) << path;
    EXPECT_EQ(node.mtime, entry["mtime"].get<std::uint64_t>()) << path;
    EXPECT_EQ(node.ctime, entry["ctime"].get<std::uint64_t>()) << path;
    if (entry.contains("nchildren")) {
        EXPECT_EQ(node.count, entry["nchildren"].get<std::uint64_t>()) << path;
    }
    if (entry.contains("target")) {
        EXPECT_EQ(tree.target(node), entry["target"].get<std::string>()) << path;
    }
    if (entry.contains("blocks")) {
        ASSERT_EQ(node.count, entry["blocks"].size()) << path;
        for (std::uint32_t i = 0; i < node.count; ++i) {
            const auto ref = tree.block(node, i);
            EXPECT_EQ(to_hex(ref.id) + ":" + to_hex(ref.key), entry["blocks"][i].get<std::string>())
                << path;
        }
    }
}

TEST(ReaderTest, TheSampleReadsExactlyAsItsManifestSays)
{
    const auto manifest = test::manifest();

    const auto tree = read_flist(std::filesystem::path{test::data + "small.flist"});

    ASSERT_TRUE(tree) << tree.error().message;
    EXPECT_EQ(tree->size(), manifest["entries"].size());
    EXPECT_EQ(tree->content_bytes(), manifest["plain_bytes"].get<std::uint64_t>());
    EXPECT_EQ(nlohmann::json(tree->metadata()), manifest["metadata"]);
    for (const auto& entry : manifest["entries"]) expect_entry(*tree, entry, entry["type"]);
}

TEST(ReaderTest, SpecialsWithTheirTypeAreShownWithTheirType)
{
    const auto manifest = test::manifest();

    const auto tree = read_flist(std::filesystem::path{test::data + "small-special.flist"});

    ASSERT_TRUE(tree) << tree.error().message;
    for (const auto& entry : manifest["entries"]) {
        expect_entry(*tree, entry, entry.value("source_type", entry["type"].get<std::string>()));
        if (!entry.contains("source_rdev")) continue;
        const Node& node = (*tree)[tree->find(test::path_of(entry)).value()];
        EXPECT_EQ(node.major, entry["source_rdev"][0].get<std::uint32_t>());
        EXPECT_EQ(node.minor, entry["source_rdev"][1].get<std::uint32_t>());
    }
}

TEST(ReaderTest, TheSameFlistAlwaysGivesTheSameNumbers)
{
    const auto one = read_flist(std::filesystem::path{test::data + "small.flist"});
    const auto two = read_flist(std::filesystem::path{test::data + "small.flist"});

    ASSERT_TRUE(one && two);
    for (Index i = 0; i < one->size(); ++i) ASSERT_EQ(one->path(i), two->path(i));
}

TEST(ReaderTest, LinksOfFoldersCountTheirFolders)
{
    const auto tree = read_flist(std::filesystem::path{test::data + "small.flist"});

    ASSERT_TRUE(tree);
    EXPECT_EQ(tree->links((*tree)[0]), 2 + (*tree)[0].folders);
    EXPECT_EQ(tree->links((*tree)[tree->find("/files/hello.txt").value()]), 1U);
    EXPECT_FALSE(tree->find("/files/hello.txt/x"));
    EXPECT_FALSE(tree->find("/no such thing"));
}

TEST(ReaderTest, WhatIsNoFlistIsNamed)
{
    const auto message = [](std::string_view bytes) {
        const auto tree = read_flist(bytes);
        return tree ? std::string{"read"} : tree.error().message;
    };

    EXPECT_THAT(message(""), HasSubstr("empty"));
    EXPECT_THAT(message("<html>404 not found</html>"), HasSubstr("cut off"));
    EXPECT_THAT(message(std::string(5000, 'x')), HasSubstr("no tar inside"));
    EXPECT_THAT(message(std::string(5000, '\0')), HasSubstr("no flistdb.sqlite3"));
    EXPECT_THAT(message("\x1f\x8bgarbage garbage garbage"), HasSubstr("gzip stream is damaged"));
    EXPECT_THAT(message("SQLite format 3\0 and so on"), HasSubstr("fl file"));
    EXPECT_EQ(read_flist(std::filesystem::path{"/no/such.flist"}).error().code, Errc::not_found);
}

TEST(ReaderTest, EveryCutOfTheSampleIsRefusedWithoutHarm)
{
    const auto whole = kernel::read_file(test::data + "small.flist").value();

    for (std::size_t length = 0; length < whole.size(); length += 997) {
        const auto tree = read_flist(std::string_view{whole}.substr(0, length));
        ASSERT_FALSE(tree) << length;
        EXPECT_EQ(tree.error().code, Errc::corrupt) << tree.error().message;
    }
}

TEST(ReaderTest, EveryDamagedPieceOfTheDatabaseIsReadOrRefusedButNeverHarms)
{
    const auto flist = kernel::read_file(test::data + "small.flist").value();
    const auto database = unpack_database(flist).value();

    // The tar is rebuilt around the damaged database: header, content, padding, end.
    for (std::size_t at = 100; at < database.size(); at += 769) {
        auto damaged = database;
        for (std::size_t i = at; i < std::min(at + 8, damaged.size()); ++i)
            damaged[i] = static_cast<char>(~damaged[i]);
        std::string tar(512, '\0');
        tar.replace(0, 16, "flistdb.sqlite3");
        char octal[13];
        std::snprintf(octal, sizeof octal, "%011zo", damaged.size());
        tar.replace(124, 12, octal, 12);
        tar.replace(148, 8, "        ");
        unsigned sum = 0;
        for (const char c : tar) sum += static_cast<unsigned char>(c);
        std::snprintf(octal, sizeof octal, "%06o", sum);
        tar.replace(148, 7, octal, 7);
        tar += damaged;
        tar.resize((tar.size() + 511) / 512 * 512 + 1024);

        const auto tree = read_flist(std::string_view{tar});
        if (!tree) {
            EXPECT_NE(tree.error().code, Errc::internal) << tree.error().message;
        }
    }
}

TEST(ReaderTest, LimitsAreKept)
{
    const auto flist = kernel::read_file(test::data + "small.flist").value();
    const auto code = [&](const Limits& limits) {
        return read_flist(std::string_view{flist}, limits).error().code;
    };

    EXPECT_EQ(code({.database_bytes = 20'000}), Errc::exhausted);
    EXPECT_EQ(code({.entries = 450}), Errc::exhausted);
    EXPECT_EQ(code({.blocks = 100}), Errc::exhausted);
    EXPECT_EQ(code({.text_bytes = 1000}), Errc::exhausted);
}

}  // namespace
}  // namespace znode::flist
