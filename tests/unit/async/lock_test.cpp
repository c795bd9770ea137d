#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/mutex.hpp"
#include "async/name_locks.hpp"
#include "async/task_group.hpp"

namespace znode {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

class LockTest : public testing::Test {
public:
    Task<> work(std::string who, Event* go_on)
    {
        const auto guard = co_await mutex.lock();
        diary.push_back(who + " in");
        if (go_on != nullptr) co_await go_on->wait();
        diary.push_back(who + " out");
    }
    Task<> work_on(std::string name, std::string who, Event* go_on)
    {
        const auto guard = co_await names.enter(name);
        diary.push_back(who + " in");
        if (go_on != nullptr) co_await go_on->wait();
        diary.push_back(who + " out");
    }
    /// Lets everybody go as far as they get.
    void settle()
    {
        loop.restart();
        loop.poll();
    }

    asio::io_context loop{1};
    Mutex mutex{loop};
    NameLocks names{loop};
    Event gate{loop};
    std::vector<std::string> diary;
};

TEST_F(LockTest, AMutexLetsOneInAtATimeInTheirOrder)
{
    TaskGroup group{loop};
    group.spawn(work("a", &gate));
    group.spawn(work("b", nullptr));
    group.spawn(work("c", nullptr));
    settle();
    EXPECT_THAT(diary, ElementsAre("a in"));
    gate.notify();
    settle();
    EXPECT_THAT(diary, ElementsAre("a in", "a out", "b in", "b out", "c in", "c out"));
    run(loop, group.drain());
}

TEST_F(LockTest, WhoIsCancelledLeavesTheQueueOfAMutex)
{
    TaskGroup first{loop};
    TaskGroup second{loop};
    TaskGroup third{loop};
    first.spawn(work("a", &gate));
    second.spawn(work("b", nullptr));
    third.spawn(work("c", nullptr));
    settle();
    run(loop, second.drain());
    gate.notify();
    settle();
    EXPECT_THAT(diary, ElementsAre("a in", "a out", "c in", "c out"));
    run(loop, first.drain());
    run(loop, third.drain());
}

TEST_F(LockTest, WhoIsCancelledInsideGivesTheMutexOn)
{
    TaskGroup first{loop};
    TaskGroup second{loop};
    first.spawn([](LockTest* test) -> Task<> {
        const auto guard = co_await test->mutex.lock();
        co_await sleep_for(1h);
    }(this));
    second.spawn(work("b", nullptr));
    settle();
    run(loop, first.drain());
    settle();
    EXPECT_THAT(diary, ElementsAre("b in", "b out"));
    run(loop, second.drain());
}

TEST_F(LockTest, OneNameHoldsUpNoOther)
{
    TaskGroup group{loop};
    group.spawn(work_on("x", "a", &gate));
    group.spawn(work_on("x", "b", nullptr));
    group.spawn(work_on("y", "c", nullptr));
    settle();
    EXPECT_THAT(diary, ElementsAre("a in", "c in", "c out"));
    gate.notify();
    settle();
    EXPECT_THAT(diary, ElementsAre("a in", "c in", "c out", "a out", "b in", "b out"));
    run(loop, group.drain());
}

TEST_F(LockTest, WhoIsCancelledInsideGivesItsNameOn)
{
    TaskGroup first{loop};
    TaskGroup second{loop};
    first.spawn([](LockTest* test) -> Task<> {
        const auto guard = co_await test->names.enter("x");
        co_await sleep_for(1h);
    }(this));
    second.spawn(work_on("x", "b", nullptr));
    settle();
    run(loop, first.drain());
    settle();
    EXPECT_THAT(diary, ElementsAre("b in", "b out"));
    run(loop, second.drain());
}

TEST_F(LockTest, AGuardMayOutliveItsLocks)
{
    std::optional<NameLocks> gone{loop};
    std::optional<NameLocks::Guard> guard;
    run(loop, [](NameLocks* locks, std::optional<NameLocks::Guard>* into) -> Task<> {
        into->emplace(co_await locks->enter("x"));
    }(&*gone, &guard));
    ASSERT_TRUE(guard);
    gone.reset();
    guard.reset();
}

}  // namespace
}  // namespace znode
