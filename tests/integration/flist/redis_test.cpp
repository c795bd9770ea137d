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
