#include "async/stream.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "async/task_group.hpp"
#include "temp_folder.hpp"

namespace znode {
namespace {

using namespace std::chrono_literals;

class StreamTest : public testing::Test {
protected:
    /// Serves one connection: gives back what it gets.
    static Task<> echo(Listener* listener)
    {
        auto stream = co_await listener->accept();
        if (!stream) co_return;
        std::array<char, 1024> buffer;
        for (;;) {
            const auto got = co_await (*stream)->read_some(asio::buffer(buffer));
            if (!got || *got == 0) co_return;
            if (!co_await (*stream)->write(asio::buffer(buffer, *got))) co_return;
        }
    }

    static Task<std::string> converse(Endpoint where, TaskGroup* group)
    {
        auto stream = co_await connect(where, 5s);
        if (!stream) co_return stream.error().message;
        (void)co_await (*stream)->write(asio::buffer("hello", 5));
        std::array<char, 16> buffer;
        const auto got = co_await (*stream)->read_some(asio::buffer(buffer));
        (*stream)->close();
        co_await group->drain();
        co_return std::string{buffer.data(), got.value_or(0)};
    }

    test::TempFolder folder;
    asio::io_context loop{1};
    TaskGroup group{loop};
};

TEST_F(StreamTest, TcpCarriesBytesBothWays)
{
    const auto listener = listen_tcp(loop, "127.0.0.1", 0);
    ASSERT_TRUE(listener) << listener.error().message;
    group.spawn(echo(listener->get()));
    const Endpoint where{.host = "127.0.0.1", .port = std::to_string((*listener)->port())};
    EXPECT_EQ(run(loop, converse(where, &group)), "hello");
}

TEST_F(StreamTest, UnixSocketHasTheModeAskedForAndReplacesADeadOne)
{
    const auto path = (folder.path() / "s.sock").string();
    {
        auto dead = listen_unix(loop, path, 0600);
        ASSERT_TRUE(dead);
    }
    const auto listener = listen_unix(loop, path, 0660);
    ASSERT_TRUE(listener) << listener.error().message;
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777U, 0660U);

    group.spawn(echo(listener->get()));
    const Endpoint where{.kind = Endpoint::Kind::unix_socket, .host = path, .port = {}};
    EXPECT_EQ(run(loop, converse(where, &group)), "hello");
    EXPECT_EQ(listen_unix(loop, path, 0660).error().code, Errc::exists);
}

TEST_F(StreamTest, RefusedConnectionNamesTheAddress)
{
    const auto listener = listen_tcp(loop, "127.0.0.1", 0);
    const auto port = std::to_string((*listener)->port());
    (*listener)->close();
    const auto text = run(loop, converse(Endpoint{.host = "127.0.0.1", .port = port}, &group));
    EXPECT_EQ(text, "connect to 127.0.0.1:" + port + ": Connection refused");
}

}  // namespace
}  // namespace znode
