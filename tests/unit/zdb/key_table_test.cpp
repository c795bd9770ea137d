#include "key_table.hpp"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "checksum.hpp"

namespace znode::zdb {
namespace {

TEST(ChecksumTest, PayloadChecksumsAreThoseOf0Db)
{
    EXPECT_EQ(payload_checksum("123456789"), 0x58e3fa20U);
    EXPECT_EQ(payload_checksum(""), 0U);
    EXPECT_EQ(payload_checksum("v0"), 0xe675cc04U);
}

TEST(KeyTableTest, HoldsWhatAMapHoldsThroughInsertsReplacementsAndErasures)
{
    KeyTable table;
    std::map<std::uint32_t, std::uint32_t> expected;  // offset -> tag
    std::mt19937 random{42};  // NOLINT(cert-msc51-cpp): repeatable on purpose.
    std::uint32_t next = 1;
    for (int i = 0; i < 50'000; ++i) {
        // Few distinct tags, and some at the very end: chains collide and wrap.
        const auto tag =
            static_cast<std::uint32_t>(random() % 5 == 0 ? 0xFFFFFFFFU - random() % 3 : random());
        if (random() % 3 != 0 || expected.empty()) {
            table.insert({.tag = tag, .at = {1, next}, .size = 1});
            expected[next++] = tag;
            continue;
        }
        const auto one = std::next(
            expected.begin(),
            static_cast<std::ptrdiff_t>(random() % std::min<std::size_t>(expected.size(), 50)));
        if (random() % 2 == 0) {
            ASSERT_TRUE(table.erase(one->second, {1, one->first}));
        } else {
            ASSERT_TRUE(table.replace(
                one->second, {1, one->first}, {.tag = one->second, .at = {1, next}, .size = 2}));
            expected[next++] = one->second;
        }
        expected.erase(one);
    }
    ASSERT_EQ(table.size(), expected.size());
    for (const auto& [offset, tag] : expected) ASSERT_NE(table.find_at(tag, {1, offset}), nullptr);
    EXPECT_FALSE(table.erase(1, {9, 9}));
}

TEST(KeyTableTest, AMillionKeysStayBelowFortyBytesEach)
{
    KeyTable table;
    std::mt19937 random{7};  // NOLINT(cert-msc51-cpp): repeatable on purpose.
    for (std::uint32_t i = 1; i <= 1'000'000; ++i)
        table.insert({.tag = static_cast<std::uint32_t>(random()), .at = {1, i}, .size = 1});
    EXPECT_LE(table.bytes() / table.size(), 40U);
}

}  // namespace
}  // namespace znode::zdb
