// Names are looked up by threads that nobody waits for longer than they want to.

#include "resolver.hpp"

#include <condition_variable>
#include <map>

#include <boost/asio/error.hpp>
#include <gtest/gtest.h>

#include "async/task_group.hpp"

namespace znode {
namespace {

using namespace std::chrono_literals;
using Addresses = std::vector<asio::ip::address>;

/// A name server that is dead for names with this beginning, until it is revived. Threads that hang
/// at it own a part of it.
struct Server {
    std::mutex mutex;
    std::condition_variable changed;
    bool alive = false;
    int out = 0;
    std::map<std::string, int> asked;

    FoundAddresses look_up(const std::string& host)
    {
        std::unique_lock lock{mutex};
        ++asked[host];
        if (host.starts_with("dead")) {
            ++out;
            changed.wait(lock, [&] { return alive; });
            --out;
            changed.notify_all();
        }
        if (host.starts_with("none")) return {asio::error::host_not_found, {}};
        return {{}, {asio::ip::make_address("192.0.2.1")}};
    }
    void revive()
    {
        std::unique_lock lock{mutex};
        alive = true;
        changed.notify_all();
        changed.wait(lock, [&] { return out == 0; });
    }
};

class ResolverTest : public testing::Test {
protected:
    ~ResolverTest() override { server->revive(); }

    Task<Result<Addresses>> within(Duration patience, std::string host)
    {
        co_return co_await with_deadline(patience, "look up", resolver.resolve(std::move(host)));
    }
    Task<> count(std::string host, int* found)
    {
        if (co_await within(10s, std::move(host))) ++*found;
    }
    static Task<> drained(TaskGroup* group) { co_await group->drain(); }
    int asked(const std::string& host)
    {
        const std::scoped_lock lock{server->mutex};
        return server->asked[host];
    }

    std::shared_ptr<Server> server = std::make_shared<Server>();
    Resolver resolver{[server = server](const std::string& host) { return server->look_up(host); }};
    asio::io_context loop{1};
};

TEST_F(ResolverTest, FindsANameAndTellsOfOneThatIsNone)
{
    EXPECT_EQ(
        run(loop, within(10s, "good")).value(), Addresses{asio::ip::make_address("192.0.2.1")});
    const auto none = run(loop, within(10s, "none"));
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Errc::unavailable);
    EXPECT_EQ(none.error().message, "look up none: Host not found (authoritative)");
}

TEST_F(ResolverTest, DeadlineHoldsAndOneDeadNameLeavesRoomForOthers)
{
    const auto before = Clock::now();
    for (int i = 0; i < 20; ++i) {
        const auto dead = run(loop, within(5ms, "dead"));
        ASSERT_FALSE(dead);
        EXPECT_EQ(dead.error().code, Errc::timeout);
    }
    EXPECT_TRUE(run(loop, within(10s, "good")));
    EXPECT_LT(Clock::now() - before, 5s);
    EXPECT_EQ(asked("dead"), 1) << "callers of one name share a look-up";
}

TEST_F(ResolverTest, WhoFindsAllThreadsOutWaitsForOne)
{
    EXPECT_TRUE(run(loop, within(10s, "known")));
    for (std::size_t i = 0; i < Resolver::most_threads; ++i)
        EXPECT_FALSE(run(loop, within(1ms, "dead" + std::to_string(i))));
    EXPECT_EQ(run(loop, within(20ms, "good")).error().code, Errc::timeout);
    EXPECT_EQ(asked("good"), 0);
    EXPECT_TRUE(run(loop, within(10s, "known"))) << "strangers leave some to those that are known";
    server->revive();
    EXPECT_TRUE(run(loop, within(10s, "good")));
}

TEST_F(ResolverTest, AllWhoWaitForANameAreWoken)
{
    TaskGroup group{loop};
    int found = 0;
    for (int i = 0; i < 30; ++i) group.spawn(count("dead", &found));
    loop.run_for(20ms);
    EXPECT_EQ(found, 0);
    server->revive();
    const auto until = Clock::now() + 10s;
    while (found < 30 && Clock::now() < until) loop.run_for(5ms);
    EXPECT_EQ(found, 30);
    run(loop, drained(&group));
}

TEST_F(ResolverTest, LoopMayGoBeforeTheThread)
{
    {
        asio::io_context short_lived{1};
        asio::co_spawn(
            short_lived, within(1h, "dead"), [](std::exception_ptr, Result<Addresses>) {});
        short_lived.run_for(20ms);
    }
    server->revive();
    EXPECT_TRUE(run(loop, within(10s, "good")));
}

}  // namespace
}  // namespace znode
