#include "flist/content.hpp"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "flist/block.hpp"
#include "memory_store.hpp"
#include "temp_folder.hpp"

namespace znode::flist {
namespace {

/// A tree of one file with one chunk.
Tree tree_of(const EncodedBlock& block, std::uint64_t size)
{
    TreeParts parts;
    Node root;
    root.mode = 0040755;
    root.first = 1;
    root.count = 1;
    Node file;
    file.mode = 0100644;
    file.size = size;
    file.count = 1;
    file.name_length = 1;
    parts.nodes = {root, file};
    parts.text = "f";
    parts.refs = block.id + block.key;
    return Tree{std::move(parts)};
}

class ContentTest : public testing::Test {
protected:
    ContentTest() { store.blocks[block.id] = block.stored; }

    ContentOptions impatient{.patience = std::chrono::milliseconds{400}, .memory = 0};
    ContentOptions patient{.patience = std::chrono::seconds{30}, .memory = 0};
    EncodedBlock block = encode_block("hello world\n");
    Tree tree = tree_of(block, 12);
    test::MemoryStore store;
    znode::test::TempFolder folder;
};

TEST_F(ContentTest, AStoreThatIsAwayForAMomentIsWaitedFor)
{
    store.failures = 2;
    Content content{tree, store, nullptr, silent_log(), patient};

    const auto chunk = content.chunk(tree[1], 0);

    ASSERT_TRUE(chunk) << chunk.error().message;
    EXPECT_EQ(**chunk, "hello world\n");
    EXPECT_EQ(store.asked.size(), 3U);
}

TEST_F(ContentTest, AStoreThatLiesIsAskedAgainAndNeverBelieved)
{
    store.lies = 1;
    Content content{tree, store, nullptr, silent_log(), patient};

    const auto chunk = content.chunk(tree[1], 0);

    ASSERT_TRUE(chunk) << chunk.error().message;
    EXPECT_EQ(**chunk, "hello world\n");
    EXPECT_EQ(store.asked.size(), 2U);
}

TEST_F(ContentTest, PatienceEnds)
{
    store.failures = 1000;
    Content content{tree, store, nullptr, silent_log(), impatient};

    const auto chunk = content.chunk(tree[1], 0);

    ASSERT_FALSE(chunk);
    EXPECT_EQ(chunk.error().code, Errc::unavailable);
}

TEST_F(ContentTest, AFlistWithAWrongKeyFailsAtOnce)
{
    const auto other = encode_block("another text");
    const auto wrong = tree_of({.id = block.id, .key = other.key}, 12);
    Content content{wrong, store, nullptr, silent_log(), patient};

    const auto chunk = content.chunk(wrong[1], 0);

    ASSERT_FALSE(chunk);
    EXPECT_EQ(chunk.error().code, Errc::corrupt);
    EXPECT_EQ(store.asked.size(), 1U);
}

TEST_F(ContentTest, ABlockInTheCacheIsNotAskedFor)
{
    const auto cache = BlockCache::open(folder.path() / "cache", 0).value();
    Content first{tree, store, cache.get(), silent_log(), patient};
    ASSERT_TRUE(first.chunk(tree[1], 0));
    store.failures = 1000;
    Content second{tree, store, cache.get(), silent_log(), impatient};

    const auto chunk = second.chunk(tree[1], 0);

    ASSERT_TRUE(chunk);
    EXPECT_EQ(store.asked.size(), 1U);
}

TEST_F(ContentTest, ATornOrForgedBlockInTheCacheIsFetchedAgain)
{
    const auto cache = BlockCache::open(folder.path() / "cache", 0).value();
    const auto name = to_hex(block.key);
    const auto file = folder.path() / "cache" / name.substr(0, 2) / name;
    for (const char* forged : {"", "hello", "hello worlx\n", "hello world\nand more"}) {
        ASSERT_TRUE(cache->put(block.key, block.key));
        std::ofstream{file, std::ios::trunc} << forged;
        Content content{tree, store, cache.get(), silent_log(), patient};

        const auto chunk = content.chunk(tree[1], 0);

        ASSERT_TRUE(chunk);
        EXPECT_EQ(**chunk, "hello world\n");
    }
}

TEST_F(ContentTest, TheCacheForgetsWhatWasUsedLongestAgo)
{
    const auto cache = BlockCache::open(folder.path() / "cache", 100'000).value();
    std::vector<std::string> keys;
    for (char letter = 'a'; letter < 'z'; ++letter) {
        const std::string plain(9'000, letter);
        keys.push_back(blake2b(plain));
        ASSERT_TRUE(cache->put(keys.back(), plain));
    }
    ASSERT_TRUE(cache->trim());

    std::size_t there = 0;
    for (const auto& key : keys) there += cache->get(key, 9'000) ? 1 : 0;
    EXPECT_GT(there, 3U);
    EXPECT_LT(there, 10U);
}

TEST_F(ContentTest, AFlistThatLiesAboutASizeDoesNotCostAGoodBlock)
{
    const auto cache = BlockCache::open(folder.path() / "cache", 0).value();
    ASSERT_TRUE(cache->put(block.key, "hello world\n"));

    EXPECT_FALSE(cache->get(block.key, 5));
    EXPECT_FALSE(cache->get(block.key, 500));

    EXPECT_EQ(cache->get(block.key, 12), "hello world\n");
}

TEST_F(ContentTest, TheLimitIsKeptAlsoByProcessesThatWriteLittle)
{
    const auto path = folder.path() / "cache";
    std::vector<std::string> keys;
    for (int i = 0; i < 60; ++i) {
        const std::string plain = std::to_string(i) + std::string(3'900, 'x');
        keys.push_back(blake2b(plain));
        const auto cache = BlockCache::open(path, 100'000).value();
        ASSERT_TRUE(cache->put(keys.back(), plain));
    }

    std::size_t there = 0;
    for (const auto& key : keys) {
        const auto name = to_hex(key);
        there += std::filesystem::exists(path / name.substr(0, 2) / name) ? 1U : 0U;
    }
    EXPECT_LE(there, 25U);  // Each takes 4096 bytes.
}

TEST_F(ContentTest, ThreadsThatWantTheSameBlockShareOneFetch)
{
    Content content{tree, store, nullptr, silent_log(), {.memory = 1000}};
    {
        std::vector<std::jthread> readers;
        for (int i = 0; i < 8; ++i)
            readers.emplace_back([&] { EXPECT_TRUE(content.chunk(tree[1], 0)); });
    }
    EXPECT_EQ(store.asked.size(), 1U);
}

}  // namespace
}  // namespace znode::flist
