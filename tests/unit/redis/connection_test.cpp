#include "redis/connection.hpp"

#include <gtest/gtest.h>

#include "async/task_group.hpp"

namespace znode::redis {
namespace {

using namespace std::chrono_literals;

class ConnectionTest : public testing::Test {
protected:
    /// Takes one connection and answers each piece that comes with the next of these.
    static Task<> serve(Listener* listener, std::vector<std::string> answers)
    {
        const auto stream = co_await listener->accept();
        if (!stream) co_return;
        std::array<char, 1024> buffer;
        for (const auto& answer : answers) {
            const auto got = co_await (*stream)->read_some(asio::buffer(buffer));
            if (!got || *got == 0) co_return;
            if (!co_await (*stream)->write(asio::buffer(answer))) co_return;
        }
        (void)co_await (*stream)->read_some(asio::buffer(buffer));
    }

    asio::io_context loop{1};
};

TEST_F(ConnectionTest, WhatCameBeforeARefusalCountsAsReadWhenItIsNoted)
{
    const auto listener = listen_tcp(loop, "127.0.0.1", 0);
    ASSERT_TRUE(listener) << listener.error().message;
    TaskGroup group{loop};
    const std::string two = ":1\r\n:0\r\n";
    group.spawn(serve(listener->get(), {"+PONG\r\n", two + "-OOM too much\r\n"}));

    Server server;
    server.endpoint.host = "127.0.0.1";
    server.endpoint.port = std::to_string((*listener)->port());
    const auto opened = run(loop, Connection::open(server, 5s));
    ASSERT_TRUE(opened) << opened.error().message;
    auto& connection = **opened;
    ASSERT_TRUE(run(loop, connection.send("anything", 5s)));

    const auto before = connection.at().read;
    std::vector<std::pair<std::size_t, std::uint64_t>> noted;
    Connection::Integers got;
    const auto outcome = run(loop, connection.receive_integers(3, &got, 5s, [&] {
        noted.emplace_back(got.count, connection.at().read - before);
    }));
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, Errc::unavailable);
    EXPECT_EQ(got.refused, "OOM too much");
    ASSERT_FALSE(noted.empty());
    EXPECT_EQ(noted.back(), std::pair(std::size_t{2}, std::uint64_t{two.size()}));
    run(loop, group.drain());
}

}  // namespace
}  // namespace znode::redis
