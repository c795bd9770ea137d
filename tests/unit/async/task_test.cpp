#include "async/task.hpp"

#include <sys/wait.h>

#include <atomic>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "async/blocking.hpp"
#include "async/child.hpp"
#include "async/event.hpp"
#include "async/task_group.hpp"

namespace znode {
namespace {

using namespace std::chrono_literals;

class AsyncTest : public testing::Test {
protected:
    asio::io_context loop{1};
};

Task<int> answer_after(Duration pause)
{
    co_await sleep_for(pause);
    co_return 42;
}

TEST_F(AsyncTest, RunUntilGivesTheValueOfTheWinner)
{
    EXPECT_EQ(run(loop, run_until(sleep_for(10s), answer_after(1ms))), 42);
    EXPECT_EQ(run(loop, run_until(sleep_for(1ms), answer_after(10s))), std::nullopt);
}

Task<int> clean_up_slowly(bool* cleaned)
{
    co_await sleep_for(10s);
    co_await asio::this_coro::reset_cancellation_state();
    co_await sleep_for(5ms);
    *cleaned = true;
    co_return 0;
}

TEST_F(AsyncTest, RunUntilWaitsForTheLosersCleanup)
{
    bool cleaned = false;
    run(loop, run_until(sleep_for(1ms), [](bool* c) -> Task<int> {
            co_return co_await clean_up_slowly(c);
        }(&cleaned)));
    EXPECT_TRUE(cleaned);
}

Task<int> throw_a_bug()
{
    co_await sleep_for(1ms);
    throw std::logic_error{"a bug"};
}

TEST_F(AsyncTest, ABugLeavesTheRace)
{
    EXPECT_THROW(run(loop, run_until(sleep_for(1s), throw_a_bug())), std::logic_error);
}

TEST_F(AsyncTest, DeadlineNamesWhatWasTried)
{
    const auto late =
        run(loop, with_deadline<int>(1ms, "ask the oracle", []() -> Task<Result<int>> {
                co_return co_await answer_after(1h);
            }()));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Errc::timeout);
    EXPECT_EQ(late.error().message, "ask the oracle: not done after 1 ms");
}

TEST_F(AsyncTest, BlockingWorkLeavesTheLoopFree)
{
    Blocking lane{1};
    std::atomic<int> ticks = 0;
    TaskGroup group{loop};
    group.spawn([](std::atomic<int>* t) -> Task<> {
        for (;;) {
            co_await sleep_for(1ms);
            ++*t;
        }
    }(&ticks));

    const auto sum = run(loop, [](Blocking* on, TaskGroup* g, std::atomic<int>* t) -> Task<int> {
        const int two = 2;
        const int got = co_await on->run([&] {
            for (int wait = 0; wait < 20'000 && *t <= 5; ++wait) std::this_thread::sleep_for(1ms);
            return two + 2;
        });
        co_await g->drain();
        co_return got;
    }(&lane, &group, &ticks));

    EXPECT_EQ(sum, 4);
    EXPECT_GT(ticks, 5);
    EXPECT_EQ(group.size(), 0U);
}

TEST_F(AsyncTest, BlockingWorkOfCancelledTasksEndsAndIsTold)
{
    // Tasks that hold a cancellation slot come and go while the lanes work for them: what a server
    // does whose peers hang up. Work once begun is heard of, whatever became of its caller.
    struct Scene {
        asio::io_context& loop;
        Blocking lanes{2};
        std::atomic<int> worked = 0;
        int heard = 0;
    } scene{.loop = loop};
    const auto work = [](Scene* s) -> Task<> {
        for (;;) {
            const auto text = co_await s->lanes.run([&] { return std::to_string(++s->worked); });
            if (!text.empty()) ++s->heard;
            co_await sleep_for(0ms);
        }
    };
    run(loop, [](Scene* s, auto one) -> Task<> {
        for (int round = 0; round < 400; ++round) {
            TaskGroup group{s->loop};
            for (int task = 0; task < 8; ++task) group.spawn(one(s));
            for (int turn = 0; turn < round % 7; ++turn) co_await sleep_for(0ms);
            co_await group.drain();
        }
    }(&scene, work));
    EXPECT_GT(scene.worked, 400);
    EXPECT_EQ(scene.heard, scene.worked);
}

TEST_F(AsyncTest, BlockingWorkThatThrowsThrowsWhereItIsAwaited)
{
    Blocking lane{1};
    EXPECT_THROW(
        run(loop,
            [](Blocking* on) -> Task<> {
                co_await on->run([] { throw std::runtime_error{"the disk is on fire"}; });
            }(&lane)),
        std::runtime_error);
}

TEST_F(AsyncTest, MailboxKeepsOrderAndLosesNothing)
{
    Mailbox<int> box{loop};
    box.push(1);
    box.push(2);
    const auto sum = run(loop, [](Mailbox<int>* b) -> Task<int> {
        const int first = co_await b->pop();
        const int second = co_await b->pop();
        co_return first * 10 + second;
    }(&box));
    EXPECT_EQ(sum, 12);
}

TEST_F(AsyncTest, EventRemembersANoticeBetweenWaits)
{
    Event event{loop};
    event.notify();
    EXPECT_TRUE(run(loop, event.wait_for(10s)));
    EXPECT_FALSE(run(loop, event.wait_for(1ms)));
}

TEST_F(AsyncTest, ProgramsAreRunWithInputAndDeadline)
{
    kernel::ChildSpec spec;
    spec.argv = {"sh", "-c", "cat; echo oops >&2; exit 4"};
    const auto output = run(loop, run_child(spec, std::string(200'000, 'y'), 10s));
    ASSERT_TRUE(output) << output.error().message;
    EXPECT_EQ(output->out.size(), 200'000U);
    EXPECT_EQ(output->err, "oops\n");
    EXPECT_EQ(output->exit.code, 4);

    spec.argv = {"sleep", "60"};
    const auto late = run(loop, run_child(spec, "", 20ms));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Errc::timeout);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "nothing is left to reap";
}

}  // namespace
}  // namespace znode
