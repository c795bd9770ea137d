#include "redis/protocol.hpp"

#include <gtest/gtest.h>

namespace znode::redis {
namespace {

TEST(ProtocolTest, LineEndsInAnArgumentStayInIt)
{
    std::string bytes;
    append_command(bytes, {"PUBLISH", "a b", "x\r\nSHUTDOWN\r\n"});
    EXPECT_EQ(bytes, "*3\r\n$7\r\nPUBLISH\r\n$3\r\na b\r\n$13\r\nx\r\nSHUTDOWN\r\n\r\n");
}

TEST(ProtocolTest, EveryKindOfReplyByteByByte)
{
    const std::string_view bytes =
        "+OK\r\n-ERR no\r\n:-7\r\n$5\r\na\r\nbc\r\n$-1\r\n*2\r\n:1\r\n*1\r\n$0\r\n\r\n";
    Parser parser;
    std::vector<Reply> replies;
    for (const char byte : bytes) {
        ASSERT_TRUE(parser.feed({&byte, 1}));
        auto reply = parser.next();
        ASSERT_TRUE(reply) << reply.error().message;
        if (*reply) replies.push_back(**std::move(reply));
    }

    ASSERT_EQ(replies.size(), 6U);
    EXPECT_EQ(replies[0].kind, Reply::Kind::status);
    EXPECT_EQ(replies[0].text, "OK");
    EXPECT_EQ(replies[1].kind, Reply::Kind::error);
    EXPECT_EQ(replies[2].number, -7);
    EXPECT_EQ(replies[3].text, "a\r\nbc");
    EXPECT_EQ(replies[4].kind, Reply::Kind::nil);
    ASSERT_EQ(replies[5].items.size(), 2U);
    EXPECT_EQ(replies[5].items.front().number, 1);
    EXPECT_EQ(replies[5].items.back().items.front().text, "");
}

TEST(ProtocolTest, OtherProtocolsAreRefused)
{
    Parser parser;
    ASSERT_TRUE(parser.feed("HTTP/1.1 400 Bad Request\r\n\r\n"));
    EXPECT_EQ(parser.next().error().code, Errc::corrupt);
}

TEST(ProtocolTest, AnAnswerWithoutEndIsRefused)
{
    Parser parser{1000};
    ASSERT_TRUE(parser.feed("$100000\r\n"));
    EXPECT_FALSE(*parser.next());
    EXPECT_EQ(parser.feed(std::string(1000, 'x')).error().code, Errc::corrupt);
}

TEST(ProtocolTest, AHugeAnnouncedArrayIsRefused)
{
    Parser parser;
    ASSERT_TRUE(parser.feed("*2000000000\r\n"));
    EXPECT_FALSE(parser.next());
}

TEST(ProtocolTest, ArrayCutOffMidwayIsFreed)
{
    Parser parser;
    ASSERT_TRUE(parser.feed("*3\r\n:1\r\n$4\r\nab"));
    EXPECT_FALSE(*parser.next());
}

}  // namespace
}  // namespace znode::redis
