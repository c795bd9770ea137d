// What clients may cost together.

#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "zdb/server.hpp"
#include "zdb_fixture.hpp"

namespace znode::zdb {
namespace {

using namespace std::chrono_literals;

class LimitsTest : public EngineTest {
protected:
    ~LimitsTest() override
    {
        if (server_) server_->stop();
    }

    void serve(ServerConfig config)
    {
        open();
        config.address = "127.0.0.1";
        config.port = 0;
        auto made = make_server(*engine, std::move(config), silent_log());
        ASSERT_TRUE(made) << made.error().message;
        server_ = *std::move(made);
        thread_ = std::jthread{[this] { EXPECT_TRUE(server_->run()); }};
    }

    kernel::Fd connect()
    {
        kernel::Fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(server_->port());
        const timeval patience{.tv_sec = 20, .tv_usec = 0};
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        return fd;
    }
    static void send(const kernel::Fd& fd, std::string_view bytes)
    {
        while (!bytes.empty()) {
            const auto put = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (put <= 0) return;
            bytes.remove_prefix(static_cast<std::size_t>(put));
        }
    }
    /// Up to `most` bytes; fewer where the server ended the connection.
    static std::string receive(const kernel::Fd& fd, std::size_t most)
    {
        std::string got(most, '\0');
        std::size_t size = 0;
        while (size < most) {
            const auto more = ::recv(fd.get(), got.data() + size, most - size, 0);
            if (more <= 0) break;
            size += static_cast<std::size_t>(more);
        }
        got.resize(size);
        return got;
    }
    static std::string ping(const kernel::Fd& fd)
    {
        send(fd, "*1\r\n$4\r\nPING\r\n");
        return receive(fd, 7);
    }
    /// Whether the server ends this connection.
    static bool is_ended(const kernel::Fd& fd)
    {
        char byte = 0;
        for (;;) {
            const auto got = ::recv(fd.get(), &byte, 1, 0);
            if (got <= 0) return got == 0 || errno == ECONNRESET;
        }
    }

private:
    std::unique_ptr<Server> server_;
    std::jthread thread_;
};

TEST_F(LimitsTest, OneClientTooManyIsToldSo)
{
    ServerConfig config;
    config.client_limit = 2;
    serve(config);
    const auto first = connect();
    {
        const auto second = connect();
        EXPECT_EQ(ping(first), "+PONG\r\n");
        EXPECT_EQ(ping(second), "+PONG\r\n");
        const auto third = connect();
        EXPECT_EQ(receive(third, 100), "-Too many clients\r\n");
        send(second, "*-1\r\n");  // Ends it, and its place is free.
        EXPECT_EQ(receive(second, 100), "-Internal memory error\r\n");
    }
    EXPECT_EQ(ping(connect()), "+PONG\r\n");
}

TEST_F(LimitsTest, WhoIsSilentForLongestGivesItsPlace)
{
    ServerConfig config;
    config.client_limit = 2;
    config.silence_limit = 0ms;
    serve(config);
    const auto first = connect();
    ASSERT_EQ(ping(first), "+PONG\r\n");
    const auto second = connect();
    ASSERT_EQ(ping(second), "+PONG\r\n");
    const auto third = connect();
    EXPECT_EQ(ping(third), "+PONG\r\n");
    EXPECT_TRUE(is_ended(first));
    EXPECT_EQ(ping(second), "+PONG\r\n");
}

TEST_F(LimitsTest, AnUnfinishedRequestIsNotWaitedForForEver)
{
    ServerConfig config;
    config.stall_limit = 200ms;
    serve(config);
    const auto half = connect();
    const auto idle = connect();
    send(half, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n" + std::string(300'000, 'x'));
    EXPECT_TRUE(is_ended(half));
    EXPECT_EQ(ping(idle), "+PONG\r\n");
}

TEST_F(LimitsTest, WhoHoldsMemoryForLongestPaysForIt)
{
    ServerConfig config;
    config.buffer_limit = std::size_t{1} << 20U;
    serve(config);
    const auto modest = connect();
    ASSERT_EQ(ping(modest), "+PONG\r\n");
    const auto greedy = connect();

    // A request of 4 MiB that stays incomplete.
    send(greedy, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4194304\r\n" + std::string(3 << 20, 'x'));

    EXPECT_TRUE(is_ended(greedy));
    EXPECT_EQ(ping(modest), "+PONG\r\n");
}

TEST_F(LimitsTest, WhoLeavesItsRepliesLieIsClosed)
{
    ServerConfig config;
    config.stall_limit = 2s;  // What this test itself sends must not take so long.
    serve(config);
    const auto other = connect();
    const auto lazy = connect();
    const std::string value(1 << 20, 'v');
    send(lazy, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n" + value + "\r\n");
    ASSERT_EQ(receive(lazy, 7), "$1\r\nk\r\n");
    std::string requests;
    for (int i = 0; i < 64; ++i) requests += "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    send(lazy, requests);

    // Closed: what it did not take is lost, and what it sends is refused.
    const auto gone = [&] {
        const auto put = ::send(lazy.get(), "*", 1, MSG_NOSIGNAL);
        return put < 0;
    };
    const auto late = std::chrono::steady_clock::now() + 20s;
    bool closed = false;
    while (!closed && std::chrono::steady_clock::now() < late) {
        EXPECT_EQ(ping(other), "+PONG\r\n");
        closed = gone();
        std::this_thread::sleep_for(10ms);
    }
    EXPECT_TRUE(closed);
}

TEST_F(LimitsTest, AMirrorThatDoesNotReadIsCutOffAndItsPlaceIsFree)
{
    ServerConfig config;
    config.client_limit = 2;
    config.admin_password = Secret{"root"};
    serve(config);
    const auto mirror = connect();
    send(mirror, "*2\r\n$4\r\nAUTH\r\n$4\r\nroot\r\n*1\r\n$6\r\nMIRROR\r\n");
    ASSERT_EQ(receive(mirror, 26), "+OK\r\n+Starting mirroring\r\n");
    const auto other = connect();
    // A key that is too long is refused, and mirrored all the same.
    const std::string key(4 << 20, 'k');
    const std::string request = "*2\r\n$6\r\nEXISTS\r\n$4194304\r\n" + key + "\r\n";

    std::size_t sent = 0;
    for (bool is_free = false; !is_free && sent < 64; ++sent) {
        send(other, request);
        ASSERT_EQ(receive(other, 14), "-Invalid key\r\n");
        is_free = ping(connect()) == "+PONG\r\n";
        if (sent == 0) EXPECT_FALSE(is_free);
    }
    EXPECT_LT(sent, 64U);
    EXPECT_EQ(ping(other), "+PONG\r\n");

    // It gets what the kernel had taken for it, from the first request on, and then the end.
    const auto got = receive(mirror, sent * key.size());
    EXPECT_LT(got.size(), sent * key.size());
    EXPECT_TRUE(got.starts_with("*5\r\n:"));
    EXPECT_NE(
        got.substr(0, 100).find("$7\r\ndefault\r\n:0\r\n$6\r\nEXISTS\r\n"), std::string::npos);
}

}  // namespace
}  // namespace znode::zdb
