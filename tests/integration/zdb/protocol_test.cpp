// What a client sends that is no request, or too much at once.

#include <sys/mount.h>

#include <fstream>

#include <gtest/gtest.h>

#include "live_server.hpp"

namespace znode::zdb {
namespace {

TEST(ZdbProtocolTest, BrokenRequestsAreAnsweredAndWedgeNothing)
{
    LiveServer server;
    const auto first_reply = [&](const std::string& bytes) {
        Talk talk{server.socket()};
        talk.send(bytes);
        return talk.raw_reply();
    };
    EXPECT_EQ(first_reply("PING\r\n"), "-Malformed request, array expected\r\n");
    EXPECT_EQ(first_reply("*1025\r\n"), "-Too many arguments\r\n");
    EXPECT_EQ(first_reply("*-1\r\n"), "-Internal memory error\r\n");
    EXPECT_EQ(first_reply("*1\r\n:4\r\n"), "-Malformed query string\r\n");
    EXPECT_EQ(first_reply("*1\n$4\nPINGxx"), "+PONG\r\n");
    EXPECT_EQ(first_reply("*1\r\n$0\r\n\r\n"), "-This is not a valid command\r\n");
    EXPECT_EQ(first_reply("*2\r\n$3\r\nGET\r\n$8388609\r\n"), "-Payload too big\r\n");
    EXPECT_EQ(first_reply("*3\r\n$4\r\nWAIT\r\n$-1\r\n"), "-Malformed query string\r\n");
    EXPECT_EQ(first_reply(std::string(9000, 'x')), "-Malformed request, array expected\r\n");
    Talk talk{server.socket()};
    talk.send("*0\r\n*1\r\n$4\r\nPING\r\n");
    EXPECT_EQ(talk.raw_reply(), "-Missing arguments\r\n");
    EXPECT_EQ(talk.raw_reply(), "+PONG\r\n");
}

TEST(ZdbProtocolTest, APipelineThatEndsOnABufferBoundaryIsServedWhole)
{
    LiveServer server;
    Talk talk{server.socket()};
    const std::string request = Talk::encode({"GET", std::string(12, 'k')});
    std::string bytes;
    for (int i = 0; i < 4096; ++i) bytes += request;
    ASSERT_TRUE(talk.send(bytes));
    for (int i = 0; i < 4096; ++i) ASSERT_EQ(talk.raw_reply(), "$-1\r\n");
}

TEST(ZdbProtocolTest, AClientThatDoesNotReadCostsABoundedBuffer)
{
    LiveServer server;
    Talk talk{server.socket()};
    ASSERT_EQ(talk.ask({"SET", "k", std::string(1 << 20, 'v')}), "$1\r\nk\r\n");
    std::string bytes;
    for (int i = 0; i < 500; ++i) bytes += Talk::encode({"GET", "k"});
    ASSERT_TRUE(talk.send(bytes));
    Talk second{server.socket()};
    EXPECT_EQ(second.ask({"PING"}), "+PONG\r\n");
    const auto status = *kernel::read_file("/proc/" + std::to_string(server.pid()) + "/status");
    const auto at = status.find("VmRSS:");
    EXPECT_LT(std::strtol(status.c_str() + at + 6, nullptr, 10), 300 * 1024);
    for (int i = 0; i < 500; ++i) ASSERT_GT(talk.raw_reply().size(), std::size_t{1} << 20U);
}

/// A small disk below the data of a server.
class SmallDisk {
public:
    explicit SmallDisk(std::filesystem::path at) : at_{std::move(at)}
    {
        mounted_ = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, "size=8m") == 0;
    }
    ~SmallDisk()
    {
        if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
    }
    bool mounted() const { return mounted_; }

private:
    std::filesystem::path at_;
    bool mounted_ = false;
};

TEST(FullDiskTest, TheServerStartsReadsAndDeletes)
{
    LiveServer server;
    ASSERT_FALSE(testing::Test::HasFatalFailure());
    server.kill();
    const auto data = server.folder() / "data";
    const SmallDisk disk{data};
    ASSERT_TRUE(disk.mounted());
    server.start();
    std::size_t held = 0;
    {
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"NSNEW", "a"}), "+OK\r\n");
        ASSERT_EQ(talk.ask({"SELECT", "a"}), "+OK\r\n");
        for (const std::string value(50'000, 'x'); held < 1000; ++held)
            if (talk.ask({"SET", "k" + std::to_string(held), value})[0] == '-') break;
        ASSERT_LT(held, 1000U);
    }
    // Not even the reserve's place is left.
    std::ofstream filler{data / "filler"};
    while (filler.write("0123456789abcdef", 16).flush()) {
    }
    for (int again = 0; again < 2; ++again) {
        server.kill();
        server.start();
        ASSERT_FALSE(testing::Test::HasFatalFailure());
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"SELECT", "a"}), "+OK\r\n");
        EXPECT_EQ(talk.ask({"GET", "k7"}).size(), 50'000U + 10);
    }
    filler.close();
    std::filesystem::remove(data / "filler");
    Talk talk{server.socket()};
    ASSERT_EQ(talk.ask({"SELECT", "a"}), "+OK\r\n");
    EXPECT_EQ(talk.ask({"DEL", "k7"}), "+OK\r\n");
    ASSERT_EQ(talk.ask({"SELECT", "default"}), "+OK\r\n");
    EXPECT_EQ(talk.ask({"NSDEL", "a"}), "+OK\r\n");
}

}  // namespace
}  // namespace znode::zdb
