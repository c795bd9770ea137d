// What a client sends that is no request, or too much at once.

#include <sys/mount.h>

#include <cstring>
#include <fstream>
#include <functional>

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

/// What a pipeline of a write, a read and nonsense is told.
Words told_with(const std::string& failpoint)
{
    LiveServer server{{}, {"ZNODE_FAILPOINTS=" + failpoint}};
    Talk talk{server.socket()};
    talk.send(Talk::encode({"SET", "k", "value"}) + Talk::encode({"GET", "k"}) + "*-1\r\n");
    Words told;
    for (auto reply = talk.raw_reply(); !reply.empty(); reply = talk.raw_reply())
        told.push_back(std::move(reply));
    return told;
}

TEST(ZdbProtocolTest, NonsenseBehindAWriteThatTheDiskRefusedEndsTheConnectionOnce)
{
    const Words good{"$1\r\nk\r\n", "$5\r\nvalue\r\n", "-Internal memory error\r\n"};
    EXPECT_EQ(told_with("zdb.commit.write=enospc@99"), good);
    EXPECT_EQ(told_with("zdb.commit.write=eio@1"), good);

    const auto refused = told_with("zdb.commit.write=enospc");
    ASSERT_EQ(refused.size(), 3U);
    EXPECT_EQ(refused[0][0], '-');
    EXPECT_EQ(refused[1], "$-1\r\n");
    EXPECT_EQ(refused[2], good[2]);
}

TEST(ZdbProtocolTest, AnMgetIsAnsweredWholeThoughTheWriteBehindItIsRefused)
{
    LiveServer server;
    ASSERT_EQ(Talk{server.socket()}.ask({"SET", "a", "one"}), "$1\r\na\r\n");
    server.kill();
    server.set_environment({"ZNODE_FAILPOINTS=zdb.commit.write=enospc"});
    server.start();
    Talk talk{server.socket()};
    talk.send(
        Talk::encode({"MGET", "a", "b"}) + Talk::encode({"SET", "c", "v"}) +
        Talk::encode({"GET", "a"}));
    EXPECT_EQ(talk.raw_reply(), "*2\r\n$3\r\none\r\n$-1\r\n");
    EXPECT_EQ(talk.raw_reply()[0], '-');
    EXPECT_EQ(talk.raw_reply(), "$3\r\none\r\n");
}

TEST(ZdbProtocolTest, IdsAreKnownThoughTheirIndexHasNoRoom)
{
    constexpr int count = 40;
    const std::string value(100'000, 'v');  // Several steps of the replay.
    LiveServer server;
    {
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"NSNEW", "ids"}), "+OK\r\n");
        ASSERT_EQ(talk.ask({"NSSET", "ids", "mode", "seq"}), "+OK\r\n");
        ASSERT_EQ(talk.ask({"SELECT", "ids"}), "+OK\r\n");
        for (int i = 0; i < count; ++i)
            ASSERT_EQ(talk.ask({"SET", "", value + std::to_string(i)})[0], '$');
    }
    server.kill();
    std::filesystem::remove_all(server.folder() / "index");
    server.set_environment({"ZNODE_FAILPOINTS=zdb.ids.write=enospc;zdb.commit.write=eio@1"});
    server.start();
    Talk talk{server.socket()};
    ASSERT_EQ(talk.ask({"SELECT", "ids"}), "+OK\r\n");
    EXPECT_EQ(talk.ask({"DBSIZE"}), ":" + std::to_string(count) + "\r\n");
    // Refused at first, then done: what was replayed is not undone with it.
    EXPECT_EQ(talk.ask({"SET", "", "new"})[0], '$');
    for (int i = 0; i < count; ++i) {
        std::string id(8, '\0');
        id[0] = static_cast<char>(i);
        EXPECT_EQ(talk.ask({"LENGTH", id})[0], ':') << i;
    }
}

TEST(ZdbProtocolTest, WhatCouldNotBeLoadedIsNotSaidToBeEmpty)
{
    LiveServer server;
    {
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"NSNEW", "a"}), "+OK\r\n");
        ASSERT_EQ(talk.ask({"SELECT", "a"}), "+OK\r\n");
        ASSERT_EQ(talk.ask({"SET", "k", "value"}), "$1\r\nk\r\n");
    }
    server.kill();
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator{server.folder() / "data"})
        if (entry.path().filename() == "1.seg") {
            std::fstream file{entry.path(), std::ios::in | std::ios::out | std::ios::binary};
            file.seekp(20);
            file.write("damage", 6);
        }
    server.start();
    Talk talk{server.socket()};
    ASSERT_EQ(talk.ask({"SELECT", "a"}), "+OK\r\n");
    for (const Words& question :
         std::vector<Words>{{"GET", "k"}, {"EXISTS", "k"}, {"KEYCUR", "k"}, {"DBSIZE"}, {"SCAN"}})
        EXPECT_EQ(talk.ask(question), "-Internal Error\r\n") << question[0];
    EXPECT_NE(talk.ask({"NSINFO", "a"}).find("\nfailed: yes\n"), std::string::npos);
    EXPECT_EQ(talk.ask({"NSINFO", "default"}).find("\nfailed:"), std::string::npos);
}

TEST(ZdbProtocolTest, BehindTheDamageOfACatalogNothingOldComesBack)
{
    LiveServer server;
    for (const auto* name : {"a", "b"})
        ASSERT_EQ(Talk{server.socket()}.ask({"NSNEW", name}), "+OK\r\n");
    server.kill();
    {
        std::fstream file{
            server.folder() / "data/catalog", std::ios::in | std::ios::out | std::ios::binary};
        file.seekp(16);  // The length of the first record.
        file.write("\xff\xff\xff\xff", 4);
    }
    server.set_environment({"ZNODE_FAILPOINTS=zdb.catalog.rewrite=enospc"});
    server.start();
    {
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"NSNEW", "a"}), "+OK\r\n");
        ASSERT_EQ(talk.ask({"SELECT", "a"}), "+OK\r\n");
        ASSERT_EQ(talk.ask({"SET", "k", "value"}), "$1\r\nk\r\n");
    }
    server.kill();
    server.set_environment({});
    server.start();
    Talk talk{server.socket()};
    ASSERT_EQ(talk.ask({"SELECT", "a"}), "+OK\r\n");
    EXPECT_EQ(talk.ask({"GET", "k"}), "$5\r\nvalue\r\n");
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

constexpr std::uint64_t gap = 65536;

/// A new id, or what the server says instead.
std::string new_id(Talk& talk, const std::string& value)
{
    const auto reply = talk.ask({"SET", "", value});
    std::uint64_t id = 0;
    if (!reply.starts_with("$8\r\n")) return reply;
    std::memcpy(&id, reply.data() + 4, sizeof id);
    return std::to_string(id);
}

/// A session in a new namespace that has given id 0.
void make_ids(const LiveServer& server)
{
    Talk talk{server.socket()};
    ASSERT_EQ(talk.ask({"NSNEW", "ids"}), "+OK\r\n");
    ASSERT_EQ(talk.ask({"NSSET", "ids", "mode", "seq"}), "+OK\r\n");
    ASSERT_EQ(talk.ask({"SELECT", "ids"}), "+OK\r\n");
    ASSERT_EQ(new_id(talk, "first"), "0");
}

/// What a server finds that ran when the power failed.
void lose_power(const LiveServer& server)
{
    // In its place: there may be no room for another file.
    std::fstream mark{
        server.folder() / "data/running", std::ios::in | std::ios::out | std::ios::binary};
    ASSERT_TRUE(mark.write("another boot", 12).flush());
}

/// Once what was given up is back, or the end of patience.
std::string soon(const std::function<std::string()>& ask)
{
    std::string reply;
    for (int i = 0; i < 400; ++i) {
        reply = ask();
        if (reply.empty() || reply[0] != '-') break;
        ::usleep(50'000);
    }
    return reply;
}

struct Refused {
    const char* failpoint;
    int signal;
};

class OwedMarkTest : public testing::TestWithParam<Refused> {};

TEST_P(OwedMarkTest, NoNewIdIsGivenBeforeItIsWritten)
{
    LiveServer server;
    ASSERT_NO_FATAL_FAILURE(make_ids(server));
    server.kill();
    ASSERT_NO_FATAL_FAILURE(lose_power(server));
    server.set_environment({std::string{"ZNODE_FAILPOINTS="} + GetParam().failpoint + "=enospc"});
    server.start();
    ASSERT_FALSE(HasFatalFailure());
    {
        Talk other{server.socket()};
        const auto stored = soon([&] { return other.ask({"SET", "k", "v"}); });
        EXPECT_EQ(stored, "$1\r\nk\r\n") << "the reserve is back";
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"SELECT", "ids"}), "+OK\r\n");
        EXPECT_EQ(talk.ask({"GET", std::string(8, '\0')}), "$5\r\nfirst\r\n");
        EXPECT_EQ(new_id(talk, "second"), "-Cannot write data right now\r\n");
    }
    server.kill(GetParam().signal);
    server.set_environment({});
    server.start();
    ASSERT_FALSE(HasFatalFailure());

    Talk talk{server.socket()};
    ASSERT_EQ(talk.ask({"SELECT", "ids"}), "+OK\r\n");
    const auto id = to_number<std::uint64_t>(new_id(talk, "second"));
    ASSERT_TRUE(id);
    EXPECT_GE(*id, 1 + gap);
    EXPECT_LE(*id, 1 + 2 * gap);
}

INSTANTIATE_TEST_SUITE_P(
    Ways,
    OwedMarkTest,
    testing::Values(
        Refused{"zdb.mark.write", SIGKILL},
        Refused{"zdb.mark.write", SIGTERM},
        Refused{"zdb.catalog.put", SIGKILL},
        Refused{"zdb.catalog.put", SIGTERM}),
    [](const auto& tested) {
        const bool mark = std::string_view{tested.param.failpoint} == "zdb.mark.write";
        return std::string{mark ? "Mark" : "Catalog"} +
               (tested.param.signal == SIGKILL ? "Killed" : "Stopped");
    });

TEST(FullDiskTest, IdsGoOnBehindTheGapOnceTheMarkHasRoom)
{
    LiveServer server;
    ASSERT_FALSE(testing::Test::HasFatalFailure());
    server.kill();
    const auto data = server.folder() / "data";
    const SmallDisk disk{data};
    ASSERT_TRUE(disk.mounted());
    server.start();
    ASSERT_NO_FATAL_FAILURE(make_ids(server));
    const auto fill = [&](const char* name) {
        std::ofstream filler{data / name};
        while (filler.write("0123456789abcdef", 16).flush()) {
        }
    };
    fill("filler");
    {
        // The reserve goes, and its place as well.
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"SELECT", "ids"}), "+OK\r\n");
        ASSERT_EQ(new_id(talk, std::string(50'000, 'x'))[0], '-');
    }
    fill("filler2");
    server.kill();
    ASSERT_NO_FATAL_FAILURE(lose_power(server));
    server.start();
    ASSERT_FALSE(testing::Test::HasFatalFailure());
    {
        Talk talk{server.socket()};
        ASSERT_EQ(talk.ask({"SELECT", "ids"}), "+OK\r\n");
        EXPECT_EQ(talk.ask({"GET", std::string(8, '\0')}), "$5\r\nfirst\r\n");
        EXPECT_EQ(new_id(talk, "second"), "-Cannot write data right now\r\n");
        EXPECT_TRUE(kernel::read_file(data / "running")->starts_with("another boot"));

        std::filesystem::remove(data / "filler");
        std::filesystem::remove(data / "filler2");
        EXPECT_EQ(soon([&] { return new_id(talk, "second"); }), std::to_string(1 + gap));
        EXPECT_EQ(*kernel::read_file(data / "running"), *kernel::boot_id());
    }
    server.kill();
    server.start();
    ASSERT_FALSE(testing::Test::HasFatalFailure());
    Talk talk{server.socket()};
    ASSERT_EQ(talk.ask({"SELECT", "ids"}), "+OK\r\n");
    EXPECT_EQ(new_id(talk, "third"), std::to_string(2 + gap));
}

}  // namespace
}  // namespace znode::zdb
