#include "resp.hpp"

#include <gtest/gtest.h>

namespace znode::zdb {
namespace {

using Kind = Parsed::Kind;

TEST(RespTest, ARequestIsWholeOrNotYet)
{
    const std::string bytes = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nva\r\nl\r\n";
    std::vector<std::string_view> arguments;
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_EQ(
            parse_request(std::string_view{bytes}.substr(0, size), arguments).kind,
            Kind::incomplete);
    const auto parsed = parse_request(bytes, arguments);
    EXPECT_EQ(parsed.kind, Kind::request);
    EXPECT_EQ(parsed.size, bytes.size());
    EXPECT_EQ(arguments, (std::vector<std::string_view>{"SET", "k", "va\r\nl"}));
}

TEST(RespTest, LengthsThatLieAreRefused)
{
    std::vector<std::string_view> arguments;
    const auto kind = [&](std::string_view bytes) { return parse_request(bytes, arguments).kind; };
    EXPECT_EQ(kind("PING\r\n"), Kind::fatal);
    EXPECT_EQ(kind("*-1\r\n"), Kind::fatal);
    EXPECT_EQ(kind("*0\r\n"), Kind::refused);
    EXPECT_EQ(kind("*1025\r\n"), Kind::refused);
    EXPECT_EQ(kind("*99999999999999999999\r\n"), Kind::refused);
    EXPECT_EQ(kind("*1\r\n:4\r\n"), Kind::refused);
    EXPECT_EQ(kind("*2\r\n$3\r\nSET\r\n$-1\r\n"), Kind::fatal);
    EXPECT_EQ(kind("*2\r\n$3\r\nSET\r\n$-2\r\n"), Kind::fatal);
    EXPECT_EQ(kind("*2\r\n$3\r\nGET\r\n$8388609\r\n"), Kind::fatal);
    EXPECT_EQ(kind("*2\r\n$3\r\nGET\r\n$4294967300\r\n"), Kind::fatal);
    EXPECT_EQ(kind("*2\r\n$3\r\nGET\r\n$8388608\r\n"), Kind::incomplete);
    EXPECT_EQ(kind("*" + std::string(100, '1')), Kind::fatal);
    EXPECT_EQ(kind("*1\r\n$" + std::string(100, '1')), Kind::fatal);
}

TEST(RespTest, LooseLinesAreReadAsTheOriginalReadsThem)
{
    std::vector<std::string_view> arguments;
    for (const char* bytes :
         {"*1\n$4\nPINGxx", "*1abc\r\n$4abc\r\nPING\r\n", "*1\r\n$04\r\nPING\r\n"}) {
        EXPECT_EQ(parse_request(bytes, arguments).kind, Kind::request) << bytes;
        EXPECT_EQ(arguments.at(0), "PING");
    }
}

TEST(RespTest, ABufferGivesBytesBackInOrder)
{
    Buffer buffer;
    std::string expected;
    std::string taken;
    for (int i = 0; i < 2000; ++i) {
        const std::string piece(static_cast<std::size_t>(i % 97), static_cast<char>('a' + i % 26));
        buffer.append(piece);
        expected += piece;
        const std::size_t some = std::min<std::size_t>(buffer.size(), 61);
        taken += buffer.view().substr(0, some);
        buffer.consume(some);
    }
    taken += buffer.view();
    EXPECT_EQ(taken, expected);
}

}  // namespace
}  // namespace znode::zdb
