#include "flist/block.hpp"

#include <gtest/gtest.h>

#include "base/hex.hpp"

namespace znode::flist {
namespace {

TEST(BlockTest, OneByteEncodesAsEverybodyElseDoesIt)
{
    const auto block = encode_block("x");

    EXPECT_EQ(to_hex(block.key), "442a44457137672b3218c1007dc8f76a");
    EXPECT_EQ(to_hex(block.stored), "44ac88b66d4866de");
    EXPECT_EQ(to_hex(block.id), "cf45e4f237910ae388ea4362f6732735");
}

TEST(BlockTest, TextEncodesAsEverybodyElseDoesIt)
{
    const auto block = encode_block("hello world\n");

    EXPECT_EQ(to_hex(block.key), "c0cdb4699cdaa9eea4c563a934f1d52b");
    EXPECT_EQ(to_hex(block.stored), "893f00077aad00982c3024bda3cbe527b9e1ecb0");
    EXPECT_EQ(to_hex(block.id), "a5147f6e7cac3a7076f942cb5e00d896");
}

TEST(BlockTest, AChunkOfZerosShrinksAndComesBack)
{
    const std::string zeros(chunk_size, '\0');

    const auto block = encode_block(zeros);

    EXPECT_EQ(block.stored.size(), 24600U);
    EXPECT_EQ(to_hex(block.key), "ee248c578df8ada5c3490485892f89fd");
    EXPECT_EQ(to_hex(block.id), "4bce78b291e718e0fa7d0fd13b2f5fbf");
    const auto plain = decode_block({block.id, block.key}, block.stored, chunk_size);
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(*plain, zeros);
}

TEST(BlockTest, EverySingleDamagedByteIsSeenAndBlamedOnTheStore)
{
    const auto good = encode_block("some text that is long enough to compress compress compress");

    for (std::size_t at = 0; at < good.stored.size(); ++at) {
        auto bad = good.stored;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        const auto plain = decode_block({good.id, good.key}, bad, 59);
        ASSERT_FALSE(plain);
        EXPECT_EQ(plain.error().code, Errc::corrupt);
        EXPECT_NE(plain.error().message.find("damaged in store"), std::string::npos);
    }
}

TEST(BlockTest, AWrongKeyOrLengthIsBlamedOnTheFlist)
{
    const auto good = encode_block("hello world\n");
    const auto other = encode_block("x");

    const auto wrong_key = decode_block({good.id, other.key}, good.stored, 12);
    const auto wrong_size = decode_block({good.id, good.key}, good.stored, 13);

    ASSERT_FALSE(wrong_key);
    EXPECT_NE(wrong_key.error().message.find("as the flist names it"), std::string::npos);
    ASSERT_FALSE(wrong_size);
    EXPECT_NE(
        wrong_size.error().message.find("12 bytes where the file needs 13"), std::string::npos);
}

TEST(BlockTest, CutAndOverlongBlocksAreRefused)
{
    const auto good = encode_block("hello world\n");
    const BlockRef ref{good.id, good.key};

    EXPECT_FALSE(decode_block(ref, "", 12));
    EXPECT_FALSE(decode_block(ref, good.stored.substr(0, 4), 12));
    EXPECT_FALSE(decode_block(ref, good.stored.substr(0, 7), 12));
    EXPECT_FALSE(decode_block(ref, std::string(stored_limit + 4, 'x'), 12));
}

}  // namespace
}  // namespace znode::flist
