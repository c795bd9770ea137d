#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <thread>

#include "flist/content.hpp"
#include "flist/reader.hpp"
#include "served.hpp"

namespace znode::flist {
namespace {

/// A redis-server of this test alone, on a unix socket, with a password.
class RedisTest : public testing::Test {
protected:
    void start()
    {
        kernel::ChildSpec spec;
        spec.argv = {
            "redis-server",
            "--port",
            "0",
            "--unixsocket",
            socket,
            "--save",
            "",
            "--dir",
            folder.path(),
            "--requirepass",
            "open sesame",
            "--daemonize",
            "no",
            "--logfile",
            folder.path() / "log"};
        redis.emplace(kernel::Child::spawn(spec).value());
        // Its socket appears before it listens: the first connection says that it is there.
        for (;;) {
            if (const auto there = store()->has("x"); there) return;
            ASSERT_FALSE(redis->poll().value_or(std::nullopt)) << "redis-server ended";
            ::poll(nullptr, 0, 5);
        }
    }
    void kill()
    {
        ASSERT_TRUE(redis->signal(SIGKILL));
        ASSERT_TRUE(redis->wait(std::chrono::seconds{5}));
        redis.reset();
    }
    void TearDown() override
    {
        if (redis) kill();
    }
    std::unique_ptr<BlockStore> store() const
    {
        return open_store(Secret{"redis://:open%20sesame@" + socket}).value();
    }

    znode::test::TempFolder folder;
    const std::string socket = folder.path() / "redis.sock";
    std::optional<kernel::Child> redis;
};

TEST_F(RedisTest, BlocksComeFromRedisAlsoAfterItWasAway)
{
    start();
    const auto blocks = store();
    for (const auto& file : std::filesystem::directory_iterator{test::data + "small.blocks"})
        ASSERT_TRUE(blocks->put(
            from_hex(file.path().filename().string()).value(), *kernel::read_file(file.path())));
    const auto tree = read_flist(std::filesystem::path{test::data + "small.flist"}).value();
    Content content{tree, *blocks, nullptr, silent_log(), {.memory = 0}};

    for (Index i = 0; i < tree.size(); ++i) {
        if (!tree[i].is_file()) continue;
        const auto read = content.read(tree[i], [](std::string_view) -> Result<> { return {}; });
        ASSERT_TRUE(read) << read.error().message;
    }
    EXPECT_EQ(content.figures().retries, 0U);
    const auto missing = blocks->get("no such block");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Errc::not_found);
}

TEST_F(RedisTest, AWrongPasswordIsDeniedAndNotRepeated)
{
    start();

    const auto wrong = open_store(Secret{"redis://:xyzzy@" + socket}).value()->get("x");

    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().code, Errc::denied);
    EXPECT_EQ(wrong.error().message.find("xyzzy"), std::string::npos) << wrong.error().message;
}

/// A socket bound to an address of the loopback.
kernel::Fd bound(const char* address, std::uint16_t port)
{
    kernel::Fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &at.sin_addr);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
        throw std::runtime_error{"bind"};
    return fd;
}

TEST(StoreAddressesTest, BehindAnAddressThatIsABlackHoleTheNextOneIsTried)
{
    // A listener whose backlog is full lets connections hang, as a network that drops them does.
    const auto hole = bound("127.0.0.1", 0);
    ASSERT_EQ(::listen(hole.get(), 0), 0);
    sockaddr_in where{};
    socklen_t length = sizeof where;
    ::getsockname(hole.get(), reinterpret_cast<sockaddr*>(&where), &length);
    std::vector<kernel::Fd> fill;
    for (int i = 0; i < 4; ++i) {
        fill.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        (void)::connect(fill.back().get(), reinterpret_cast<const sockaddr*>(&where), length);
    }
    const auto port = ntohs(where.sin_port);
    const auto listener = bound("127.0.0.2", port);
    ASSERT_EQ(::listen(listener.get(), 4), 0);
    const std::jthread server{[&] {
        pollfd asked{listener.get(), POLLIN, 0};
        if (::poll(&asked, 1, 20'000) != 1) return;
        const kernel::Fd client{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
        char question[256];
        if (::recv(client.get(), question, sizeof question, 0) > 0)
            (void)!::send(client.get(), "$2\r\nhi\r\n", 8, MSG_NOSIGNAL);
    }};
    const znode::test::TempFolder folder;
    const auto hosts = folder.path() / "hosts";
    std::ofstream{hosts} << "127.0.0.1 store.example\n127.0.0.2 store.example\n";
    ASSERT_EQ(::mount(hosts.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr), 0);

    const Secret url{"redis://store.example:" + std::to_string(port)};
    const auto got = open_store(url, std::chrono::seconds{4}).value()->get("x");

    EXPECT_EQ(::umount2("/etc/hosts", MNT_DETACH), 0);
    ASSERT_TRUE(got) << got.error().message;
    EXPECT_EQ(*got, "hi");
}

TEST(StoreAddressesTest, AStoreElsewhereIsAtNoneOfTheAddressesOfAnInterface)
{
    std::thread{[] {
        // A machine of its own. To its second address the kernel goes from the first one.
        ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
        using Words = std::vector<std::string>;
        for (const Words& words :
             {Words{"link", "set", "lo", "up"},
              Words{"addr", "add", "192.0.2.1/24", "dev", "lo"},
              Words{"addr", "add", "192.0.2.2/24", "dev", "lo"}}) {
            kernel::ChildSpec spec;
            spec.argv = {"ip"};
            spec.argv.insert(spec.argv.end(), words.begin(), words.end());
            const auto ended = kernel::Child::spawn(spec).value().wait(std::chrono::seconds{5});
            ASSERT_TRUE(ended && *ended && (*ended)->good());
        }
        for (const char* address : {"192.0.2.1", "192.0.2.2"}) {
            const auto listener = bound(address, 0);
            ASSERT_EQ(::listen(listener.get(), 4), 0);
            sockaddr_in where{};
            socklen_t length = sizeof where;
            ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&where), &length);
            const Secret url{
                "redis://" + std::string{address} + ":" + std::to_string(ntohs(where.sin_port))};
            const auto got =
                open_store(url, std::chrono::seconds{1}, Reach::elsewhere).value()->get("x");
            ASSERT_FALSE(got);
            EXPECT_EQ(got.error().code, Errc::denied) << address << ": " << got.error().message;
        }
    }}.join();
}

TEST_F(RedisTest, AConnectionThatDiedIsReplaced)
{
    start();
    const auto blocks = store();
    ASSERT_TRUE(blocks->put("a", "bytes"));
    kill();
    const auto away = blocks->get("a");
    ASSERT_FALSE(away);
    EXPECT_EQ(away.error().code, Errc::unavailable) << away.error().message;

    start();

    EXPECT_EQ(blocks->get("a").error().code, Errc::not_found);  // It answers, and is empty.
}

}  // namespace
}  // namespace znode::flist
