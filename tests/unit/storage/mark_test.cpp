#include "storage/mark.hpp"

#include <gtest/gtest.h>

namespace znode::storage {
namespace {

TEST(MarkTest, IsReadBackAsItWasWritten)
{
    const Mark mark{
        .node = "Fx5…\"\n",
        .gwid = "12-1",
        .owner = "7",
        .purpose = Purpose::rootfs,
        .bytes = 367'001'600,
        .generation = 3};

    EXPECT_EQ(decode_mark(encode(mark)), mark);
}

TEST(MarkTest, OtherTextIsNoMark)
{
    EXPECT_FALSE(decode_mark(""));
    EXPECT_FALSE(decode_mark("{"));
    EXPECT_FALSE(decode_mark("[]"));
    EXPECT_FALSE(decode_mark(R"({"version":1})"));
    EXPECT_FALSE(decode_mark(
        R"({"version":2,"node":"n","gwid":"1-1","owner":"1","type":"volume","size":1,"generation":0})"));
    EXPECT_FALSE(decode_mark(
        R"({"version":1,"node":"n","gwid":"1-1","owner":"1","type":"moon","size":1,"generation":0})"));
    EXPECT_FALSE(decode_mark(
        R"({"version":1,"node":"n","gwid":"1-1","owner":"1","type":"zdb","size":"1","generation":0})"));
    EXPECT_FALSE(decode_mark(std::string(5000, ' ')));
}

TEST(MarkTest, NamesOfOursAreGwidsAndZdb)
{
    EXPECT_TRUE(looks_like_ours("12-1"));
    EXPECT_TRUE(looks_like_ours("zdb0b5f"));
    EXPECT_FALSE(looks_like_ours("zdb"));
    EXPECT_FALSE(looks_like_ours("12-"));
    EXPECT_FALSE(looks_like_ours("-1"));
    EXPECT_FALSE(looks_like_ours("12-1a"));
    EXPECT_FALSE(looks_like_ours("@home"));
}

}  // namespace
}  // namespace znode::storage
