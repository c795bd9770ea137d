#include "explorer/poller.hpp"

#include <gtest/gtest.h>

#include "fake_client.hpp"

namespace znode::explorer {
namespace {

using namespace std::chrono_literals;

TEST(PollPaceTest, ServerThatWaitsIsAskedAtOnceAfterNewsOnly)
{
    PollPace pace{1};

    EXPECT_EQ(pace.after_page(true, true, 5ms), Duration{});
    EXPECT_EQ(pace.after_page(false, true, 30s), Duration{});
    EXPECT_EQ(pace.after_page(false, true, 100ms), 900ms);
}

TEST(PollPaceTest, PlainServerIsAskedEveryTwoSecondsAlsoAfterALongSilence)
{
    PollPace pace{1};
    for (int i = 0; i < 100'000; ++i) {
        const auto pause = pace.after_page(false, false, 10ms);
        ASSERT_GE(pause, 1800ms);
        ASSERT_LE(pause, 2200ms);
    }
    EXPECT_EQ(pace.after_page(true, false, 10ms), Duration{});
}

TEST(PollPaceTest, FailuresSlowDownUntilTheFirstAnswer)
{
    PollPace pace{1};
    Duration last{};
    for (int i = 0; i < 20; ++i) last = pace.after_failure({});
    EXPECT_GE(last, 54s);
    EXPECT_LE(last, 66s);

    (void)pace.after_page(false, false, 1ms);
    EXPECT_LE(pace.after_failure({}), 2200ms);
}

TEST(PollPaceTest, RetryAfterIsObeyedWithinReason)
{
    PollPace pace{1};
    EXPECT_EQ(pace.after_failure({.status = 429, .retry_after = 90s}), 90s);
    EXPECT_EQ(pace.after_failure({.status = 503, .retry_after = 24h}), 10min);
}

class PollerTest : public testing::Test {
protected:
    Result<PollPage> next() { return run(loop, poller.next()); }

    asio::io_context loop;
    FakeClient client;
    const identity::Identity self = identity::Identity::generate();
    const std::unique_ptr<NodeApi> api = make_node_api(client, self);
    Poller poller{*api, 0, 1};
};

TEST_F(PollerTest, CursorFollowsTheServerAndTheFirstQuestionDoesNotWait)
{
    client.answer(
        200,
        R"([{"id":5,"workload_id":1,"workload_type":2,"next_action":3}])",
        {{"x-last-id", "5"}, {"ETag", "\"a-1\""}, {"Preference-Applied", "wait=30"}});
    client.answer(304, "", {{"x-last-id", "7"}, {"Preference-Applied", "wait=30"}});

    ASSERT_TRUE(next());
    EXPECT_EQ(client.asked[0].headers.find("If-None-Match"), std::nullopt);
    EXPECT_TRUE(client.asked[0].target.ends_with("/workloads?from=0")) << client.asked[0].target;
    EXPECT_EQ(poller.cursor(), 6);

    const auto second = next();
    ASSERT_TRUE(second);
    EXPECT_TRUE(second->unchanged);
    EXPECT_EQ(client.asked[1].headers.get("If-None-Match"), "\"a-1\"");
    EXPECT_EQ(client.asked[1].headers.get("Prefer"), "wait=30");
    EXPECT_TRUE(client.asked[1].target.ends_with("from=6"));
    EXPECT_EQ(poller.cursor(), 8);
    EXPECT_TRUE(poller.complete());
}

TEST_F(PollerTest, CompleteWhenAPageIsNotFull)
{
    std::string full = "[";
    for (int id = 1; id <= 200; ++id)
        full += (id > 1 ? "," : "") + (R"({"workload_type":2,"id":)" + std::to_string(id)) + "}";
    client.answer(200, full + "]", {{"x-last-id", "200"}});
    client.answer(200, R"([{"id":201,"workload_type":2}])", {{"x-last-id", "201"}});

    ASSERT_TRUE(next());
    EXPECT_FALSE(poller.complete());
    ASSERT_TRUE(next());
    EXPECT_TRUE(poller.complete());
    poller.restart();
    EXPECT_FALSE(poller.complete());
}

TEST_F(PollerTest, FailureKeepsTheCursor)
{
    client.answer(200, R"([{"id":5,"workload_type":2}])", {{"x-last-id", "5"}});
    ASSERT_TRUE(next());

    const auto failed = next();

    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, Errc::unavailable);
    EXPECT_EQ(poller.cursor(), 6);
}

TEST_F(PollerTest, RestartAsksForEverythingAgain)
{
    client.answer(200, R"([{"id":5,"workload_type":2}])", {{"x-last-id", "5"}, {"ETag", "x"}});
    client.answer(200, "null", {{"x-last-id", "5"}});
    ASSERT_TRUE(next());

    poller.restart();
    ASSERT_TRUE(next());

    EXPECT_TRUE(client.last().target.ends_with("from=0"));
    EXPECT_EQ(client.last().headers.find("If-None-Match"), std::nullopt);
    EXPECT_TRUE(poller.complete());
}

TEST(PageTest, BrokenEntryBetweenGoodOnesIsDeliveredWithItsReason)
{
    const auto page = read_page(R"([
        {"id":1,"workload_id":1,"workload_type":2,"size":1,"next_action":3},
        {"id":2,"workload_id":1,"workload_type":2,"size":"many","next_action":4,"customer_tid":7},
        {"id":3,"workload_id":1,"workload_type":77},
        "nonsense",
        {"workload_type":2},
        {"id":6,"workload_id":1,"workload_type":1,"next_action":3}])");

    ASSERT_TRUE(page);
    ASSERT_EQ(page->size(), 6U);
    EXPECT_TRUE((*page)[0].workload);
    EXPECT_FALSE((*page)[1].workload);
    EXPECT_EQ((*page)[1].gwid->text(), "2-1");
    EXPECT_TRUE((*page)[1].is_delete());
    EXPECT_EQ((*page)[1].customer_tid, 7);
    EXPECT_EQ((*page)[2].workload.error().message, "workload_type 77 is unknown");
    EXPECT_FALSE((*page)[3].gwid);
    EXPECT_EQ((*page)[4].workload.error().message, "workload has no id");
    EXPECT_TRUE((*page)[5].workload);
}

TEST_F(PollerTest, WhatFindsNoRoomInAPageIsAskedForAgain)
{
    const std::string padding(10'000, 'x');
    std::string body;
    for (int id = 1; id <= 300; ++id)
        body += (id == 1 ? "[" : ",") +
                (R"({"id":)" + std::to_string(id) +
                 R"(,"workload_id":1,"workload_type":2,"next_action":3,"description":")" + padding +
                 R"("})");
    client.answer(200, body + "]", {{"x-last-id", "300"}});
    client.answer(200, "[]");

    const auto page = next();
    ASSERT_TRUE(page) << page.error().message;
    const auto kept = page->entries.size();
    EXPECT_GT(kept, 90U);
    EXPECT_LT(kept, 110U) << "a mebibyte of text";
    EXPECT_EQ(page->left_out_from, static_cast<std::int64_t>(kept) + 1);
    EXPECT_FALSE(poller.complete());
    ASSERT_TRUE(next());
    EXPECT_TRUE(client.last().target.ends_with("from=" + std::to_string(kept + 1)));
}

TEST(PageTest, AnEntryThatIsNoJsonHarmsNoneOfItsPage)
{
    const std::string large(2U << 20U, 'x');
    const auto page = read_page(
        R"([{"id":NaN,"workload_id":1}, {"id":1e999} ,{"id":3,"workload_id":2,"x":"]},[\"\\"},)"
        R"({"id":4,"workload_id":5,"description":")" +
        large + R"("},tru,{"id":6,"workload_id":1,"workload_type":2,"next_action":3,"size":1}])");
    ASSERT_TRUE(page) << page.error().message;
    ASSERT_EQ(page->size(), 6U);
    EXPECT_FALSE((*page)[0].gwid);
    EXPECT_FALSE((*page)[1].workload);
    EXPECT_EQ((*page)[2].gwid->text(), "3-2");
    EXPECT_EQ((*page)[3].gwid->text(), "4-5");
    EXPECT_EQ((*page)[3].workload.error().message, "it is larger than 1 MiB");
    EXPECT_FALSE((*page)[4].workload);
    EXPECT_TRUE((*page)[5].workload);
}

TEST(PageTest, NullIsEmptyAndAnythingElseIsNoPage)
{
    for (const auto* text : {"nul", "nullx", "[1,]", "[1]]", "[}", "[,1]", "[\"]"})
        EXPECT_FALSE(read_page(text)) << text;
    EXPECT_TRUE(read_page(" null \n"));

    EXPECT_TRUE(read_page("null")->empty());
    EXPECT_TRUE(read_page("[]\n")->empty());
    EXPECT_FALSE(read_page("{}"));
    EXPECT_FALSE(read_page(""));
    EXPECT_FALSE(read_page("[{\"id\":1},"));
}

}  // namespace
}  // namespace znode::explorer
