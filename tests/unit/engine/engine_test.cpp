#include "engine_fixture.hpp"

namespace znode::engine {
namespace {

TEST_F(EngineTest, DeploysReportsAndTakesDown)
{
    take("1-1", "");
    until([&] { return letters.size() == 1; });
    EXPECT_EQ(state_of("1-1"), State::running);

    take("1-1", "", 7, true);
    until([&] { return state_of("1-1") == State::gone; });
    EXPECT_THAT(letters, ElementsAre("1-1 ok", "1-1 removed"));
    EXPECT_THAT(world.diary, ElementsAre("apply 1-1", "revert 1-1"));
}

TEST_F(EngineTest, TriesAgainAfterATransientFailure)
{
    world.failures["1-1"] = 3;
    take("1-1", "");
    until([&] { return letters.size() == 1; });
    EXPECT_THAT(letters, ElementsAre("1-1 ok"));
    EXPECT_EQ(world.diary.size(), 4U);
}

TEST_F(EngineTest, PermanentFailureIsUndoneReportedAndRemoved)
{
    world.failures["1-1"] = 100;
    world.kind = Errc::exhausted;
    take("1-1", "");
    take("2-1", "");
    until([&] { return letters.size() == 3; });
    EXPECT_THAT(
        letters,
        testing::UnorderedElementsAre(
            "1-1 error: 1-1 is broken", "1-1 removed: 1-1 is broken", "2-1 ok"));
    until([&] { return state_of("1-1") == State::gone; });
}

TEST_F(EngineTest, UnreadableAndTooLargeOrdersAreRefusedWithTheReason)
{
    take("1-1", "bad");
    take("2-1", "large");
    until([&] { return letters.size() == 4; });
    EXPECT_THAT(letters, testing::Contains("1-1 error: size is missing"));
    EXPECT_THAT(letters, testing::Contains(HasSubstr("2-1 error: asked for 1 TiB of memory")));
    EXPECT_THAT(world.diary, testing::Not(testing::Contains(HasSubstr("apply"))));
}

TEST_F(EngineTest, WaitsForWhatIsOnItsWay)
{
    world.failures["1-1"] = 5;
    take("2-1", "needs:net");
    take("1-1", "provides:net");
    until([&] { return letters.size() == 2; });
    EXPECT_THAT(letters, ElementsAre("1-1 ok", "2-1 ok"));
}

TEST_F(EngineTest, RefusesAnUnknownAndAForeignNeed)
{
    take("1-1", "provides:volume:1-1", 7);
    until([&] { return letters.size() == 1; });
    take("2-1", "needs:volume:1-1", 8);
    take("3-1", "needs:volume:9-9", 7);
    until([&] { return letters.size() == 5; });
    EXPECT_THAT(
        letters,
        testing::Contains("2-1 error: cannot use volume:1-1, which belongs to another customer"));
    EXPECT_THAT(
        letters,
        testing::Contains("3-1 error: volume:9-9 is not on this node; deploy it here first"));
}

TEST_F(EngineTest, CrashesBackOffAndNeverRemove)
{
    world.endings["1-1"] = {{false, "exit code 7"}, {false, "exit code 7"}, {true, "exit code 0"}};
    take("1-1", "program");
    until([&] { return state_of("1-1") == State::finished; });
    const auto view = engine->workload("1-1");
    EXPECT_EQ(view->entry.restarts, 2);
    EXPECT_EQ(view->entry.last_exit.text, "exit code 0");
    EXPECT_THAT(world.diary, testing::Not(testing::Contains("revert 1-1")));
    until([&] { return !letters.empty() && letters.back() == "1-1 ok: exit code 0"; });

    ASSERT_TRUE(engine->restart("1-1"));
    until([&] { return state_of("1-1") == State::running; });
}

TEST_F(EngineTest, LettersWaitForTheExplorerAndKeepTheirOrder)
{
    explorer_away = true;
    take("1-1", "");
    until([&] { return state_of("1-1") == State::running; });
    take("1-1", "", 7, true);
    until([&] { return state_of("1-1") == State::retiring && world.diary.size() == 2; });
    end();

    explorer_away = false;
    begin();
    until([&] { return state_of("1-1") == State::gone; });
    EXPECT_EQ(letters.back(), "1-1 removed");
    EXPECT_THAT(letters, testing::Not(testing::Contains("1-1 ok")));
}

TEST_F(EngineTest, ARuleOfTodayDoesNotReachWhatWasAccepted)
{
    take("1-1", "unwanted");
    until([&] { return letters.size() == 1; });
    end();
    world.strict = true;
    begin();
    take("2-1", "unwanted");
    until([&] { return letters.size() == 3; });
    take("1-1", "unwanted", 7, true);
    until([&] { return state_of("1-1") == State::gone; });

    EXPECT_THAT(letters, testing::Contains("2-1 error: this is not wanted any more"));
    EXPECT_EQ(letters.back(), "1-1 removed");
    EXPECT_THAT(world.diary, ElementsAre("apply 1-1", "apply 1-1", "revert 1-1"));
}

TEST_F(EngineTest, RestartAdoptsInOrderAndReportsNothing)
{
    take("1-1", "provides:net");
    take("2-1", "needs:net");
    until([&] { return letters.size() == 2; });
    end();
    letters.clear();
    world.diary.clear();

    world.failures["1-1"] = 2;
    begin();
    until([&] { return state_of("2-1") == State::running && world.diary.size() >= 4; });
    EXPECT_EQ(world.diary.back(), "apply 2-1");
}

TEST_F(EngineTest, RemembersAfterARestartWhatEachHasBeenThrough)
{
    take("1-1", "");
    take("2-1", "");
    until([&] { return letters.size() == 2; });
    end();
    begin();

    for (const auto* gwid : {"1-1", "2-1"}) {
        const auto history = engine->workload(gwid)->history;
        ASSERT_EQ(history.size(), 3U) << gwid;
        EXPECT_EQ(history.front().to, "waiting");
        EXPECT_EQ(history.back().to, "running");
        EXPECT_EQ(history.back().gwid, gwid);
        EXPECT_TRUE(engine->workload(gwid)->reported) << "the explorer has its result";
    }
    EXPECT_EQ(letters.size(), 2U) << "what was taken is not said again";
}

TEST_F(EngineTest, RepeatedOrdersAreHarmlessAndAForgottenResultIsSaidAgain)
{
    take("1-1", "");
    until([&] { return letters.size() == 1; });
    take("1-1", "");
    until([&] { return letters.size() == 2; });
    EXPECT_THAT(letters, ElementsAre("1-1 ok", "1-1 ok"));
    EXPECT_EQ(world.diary.size(), 1U);

    take("1-1", "", 7, true);
    until([&] { return state_of("1-1") == State::gone; });
    take("1-1", "");
    until([&] { return letters.size() == 4; });
    EXPECT_EQ(letters.back(), "1-1 removed");
    EXPECT_EQ(state_of("1-1"), State::gone);
}

TEST_F(EngineTest, RemovalOfTheUnknownIsAnswered)
{
    take("5-1", "", 7, true);
    until([&] { return letters.size() == 1; });
    EXPECT_THAT(letters, ElementsAre("5-1 removed"));
}

TEST_F(EngineTest, RemovalInterruptsADeployment)
{
    world.failures["1-1"] = 1000;
    take("1-1", "");
    until([&] { return world.diary.size() > 2; });
    take("1-1", "", 7, true);
    until([&] { return state_of("1-1") == State::gone; });
    EXPECT_EQ(world.diary.back(), "revert 1-1");
    EXPECT_THAT(letters, ElementsAre(HasSubstr("1-1 removed")));
}

TEST_F(EngineTest, AReservationEndsInItsTimeAndNotBefore)
{
    const auto now = now_ns() / 1'000'000'000;
    Engine::Incoming incoming;
    incoming.order = {.gwid = "1-1", .type = "volume", .owner = 7, .expires = now + 2};
    ASSERT_TRUE(run(loop, engine->take(incoming)));
    incoming.order.gwid = "2-1";
    incoming.order.expires = now + 3600;
    ASSERT_TRUE(run(loop, engine->take(incoming)));
    incoming.order.gwid = "3-1";
    incoming.order.expires = now - 5;
    ASSERT_TRUE(run(loop, engine->take(incoming)));

    until([&] { return state_of("1-1") == State::gone; });

    EXPECT_GE(now_ns() / 1'000'000'000, now + 2);
    EXPECT_EQ(state_of("2-1"), State::running);
    EXPECT_THAT(letters, testing::Contains("1-1 removed: the reservation's time is over"));
    EXPECT_THAT(
        letters, testing::Contains(HasSubstr("3-1 error: the reservation is over already")));
    EXPECT_THAT(world.diary, testing::Not(testing::Contains("apply 3-1")));
}

TEST_F(EngineTest, WhatIsOverWhenTheAgentStartsIsNotEndedAtOnce)
{
    const auto now = now_ns() / 1'000'000'000;
    Engine::Incoming incoming;
    incoming.order = {.gwid = "1-1", .type = "volume", .owner = 7, .expires = now + 3};
    ASSERT_TRUE(run(loop, engine->take(incoming)));
    until([&] { return letters.size() == 1; });
    end();
    // The clock of this start says that it is over; it may be wrong.
    while (now_ns() / 1'000'000'000 <= now + 3) run(loop, sleep_for(20ms));
    begin();
    take("2-1", "");
    until([&] { return letters.size() == 2; });
    EXPECT_EQ(state_of("1-1"), State::running);
}

TEST_F(EngineTest, ANumberGivenTwiceTouchesNothingAndRaisesAnAlarm)
{
    Engine::Incoming old;
    old.order = {.gwid = "1-1", .type = "volume", .owner = 7, .fingerprint = "old"};
    ASSERT_TRUE(run(loop, engine->take(old)));
    until([&] { return letters.size() == 1; });

    Engine::Incoming other;
    other.order = {.gwid = "1-1", .type = "container", .owner = 8, .fingerprint = "new"};
    ASSERT_TRUE(run(loop, engine->take(other)));
    until([&] { return letters.size() == 3; });
    EXPECT_THAT(letters[1], HasSubstr("1-1 error: the number 1-1 belongs to an older workload"));
    EXPECT_THAT(letters[2], HasSubstr("1-1 removed"));
    other.remove = true;
    ASSERT_TRUE(run(loop, engine->take(other)));
    until([&] { return letters.size() == 4; });

    EXPECT_EQ(state_of("1-1"), State::running);
    EXPECT_EQ(engine->workload("1-1")->entry.order.owner, 7);
    EXPECT_EQ(engine->alarms().count("1-1"), 1U);
    EXPECT_THAT(world.diary, ElementsAre("apply 1-1"));
}

TEST_F(EngineTest, ManyEndsThatNobodySignedRaiseAnAlarm)
{
    const auto order = [](int i) {
        Engine::Incoming incoming;
        incoming.order = {.gwid = std::to_string(i) + "-1", .type = "volume", .owner = 7};
        return incoming;
    };
    std::vector<Engine::Incoming> page;
    for (int i = 1; i <= 31; ++i) page.push_back(order(i));
    ASSERT_TRUE(run(loop, engine->take_all(page)));
    until([&] { return letters.size() == 31; });

    for (auto& incoming : page) incoming.remove = true;
    for (std::size_t i = 10; i < 30; ++i) page[i].end_signed = true;
    const auto last = page.back();
    page.pop_back();
    ASSERT_TRUE(run(loop, engine->take_all(page)));
    until([&] { return letters.size() == 61; });
    EXPECT_TRUE(engine->alarms().empty()) << "ten unsigned ones, the rest was signed";
    EXPECT_EQ(world.signed_ends.size(), 20U);

    ASSERT_TRUE(run(loop, engine->take(last)));
    EXPECT_EQ(engine->alarms().count(""), 1U);
}

TEST_F(EngineTest, ANumberIsFreeAgainOnceWhatHadItIsGone)
{
    take_and_end("1-1");
    until([&] { return state_of("1-1") == State::gone; });

    ASSERT_TRUE(run(loop, engine->take(successor("1-1"))));

    until([&] { return state_of("1-1") == State::running; });
    EXPECT_EQ(engine->workload("1-1")->entry.order.owner, 8);
}

TEST_F(EngineTest, ANumberIsWaitedForWhileItsEndIsWritten)
{
    const auto at_once = [](Engine* to, Engine::Incoming what, bool* is_written) -> Task<Result<>> {
        const auto gwid = what.order.gwid;
        // Gone, but the journal has not taken it yet: which lasts as long as the disk does.
        while (to->workload(gwid)->entry.state != State::gone) co_await sleep_for(0ms);
        *is_written = to->workload(gwid)->history.back().to == "gone";
        co_return co_await to->take(std::move(what));
    };
    bool is_written = true;
    // A thread that is held up at that very moment misses it: then with the next one.
    for (int i = 1; i <= 50 && is_written; ++i) {
        const auto gwid = std::to_string(i) + "-1";
        take_and_end(gwid);
        EXPECT_TRUE(run(loop, at_once(&*engine, successor(gwid), &is_written)));
        until([&] { return state_of(gwid) == State::running; });
        EXPECT_EQ(engine->workload(gwid)->entry.order.owner, 8);
    }
    EXPECT_FALSE(is_written);
    EXPECT_TRUE(engine->alarms().empty());
}

TEST_F(EngineTest, APageIsWrittenAtOnceAndCountsWhatItTakes)
{
    end();
    patience.unknown_need = 60s;  // A slow disk is not what this is about.
    begin();
    std::vector<Engine::Incoming> page(300);
    for (std::size_t i = 0; i < page.size(); ++i) {
        page[i].order.gwid = std::to_string(i + 1) + "-1";
        page[i].order.type = "volume";
        page[i].order.owner = 7;
        page[i].order.document =
            i % 2 == 0 ? "needs:k" + std::to_string(i + 1) : "provides:k" + std::to_string(i);
    }
    ASSERT_TRUE(run(loop, engine->take_all(std::move(page))));
    until([&] { return letters.size() == 300; });
    for (const auto& view : engine->workloads()) EXPECT_EQ(view.entry.state, State::running);

    for (int i = 1; i <= 300; ++i) take(std::to_string(i) + "-1", "", 7, true);
    until([&] { return engine->workloads().empty(); });
    EXPECT_EQ(engine->taken().memory, 0U);
}

TEST_F(EngineTest, ARefusalOutlivesTheAgent)
{
    engine->set_maintenance(true, "new disk");
    take("1-1", "");
    until([&] { return letters.size() == 2; });
    end();
    journal.emplace(Journal::open(folder.path() / "state.db").value());
    auto entry = journal->load({}, 1).value().at(0);
    EXPECT_EQ(entry.refusal, "the node is in maintenance: new disk");

    // Killed before more than its acceptance was written.
    entry.order.gwid = "2-1";
    entry.state = State::waiting;
    ASSERT_TRUE(journal->accept(entry));
    journal.reset();
    letters.clear();
    begin();
    until([&] { return state_of("2-1") == State::gone; });
    EXPECT_THAT(letters, testing::Contains("2-1 error: the node is in maintenance: new disk"));
    EXPECT_THAT(letters, testing::Contains("2-1 removed: the node is in maintenance: new disk"));
    EXPECT_TRUE(world.diary.empty()) << testing::PrintToString(world.diary);
}

TEST_F(EngineTest, ALetterWhoseDeliveryIsCutOffByTheStopIsSaidByTheNextRun)
{
    explorer_hangs = true;
    take("1-1", "");
    until([&] { return deliveries_out == 1; });
    end();
    explorer_hangs = false;
    begin();
    until([&] { return letters.size() == 1; });
    EXPECT_THAT(letters, ElementsAre("1-1 ok"));
}

TEST_F(EngineTest, ALetterIsDroppedOnlyWhenTheExplorerDoesNotWantIt)
{
    answers = {
        {"1-1", Errc::denied},
        {"2-1", Errc::internal},
        {"3-1", Errc::not_found},
        {"4-1", Errc::invalid},
        {"5-1", Errc::exists}};
    for (const auto* gwid : {"1-1", "2-1", "3-1", "4-1", "5-1", "6-1"}) take(gwid, "");
    until([&] { return letters.size() == 1 && engine->letters_waiting() == 2; });
    EXPECT_THAT(letters, ElementsAre("6-1 ok")) << "others are not held up";
    answers.clear();
    until([&] { return letters.size() == 3; });
    EXPECT_THAT(letters, testing::UnorderedElementsAre("6-1 ok", "1-1 ok", "2-1 ok"));
    until([&] { return engine->letters_waiting() == 0; });
}

TEST_F(EngineTest, LettersBehindManyThatWaitAreSent)
{
    end();
    patience.first_hold = patience.longest_hold = 1h;
    begin();
    std::vector<Engine::Incoming> page(300);
    for (std::size_t i = 0; i < page.size(); ++i) {
        page[i].order = {.gwid = std::to_string(i + 10) + "-1", .type = "volume", .owner = 7};
        answers[page[i].order.gwid] = Errc::internal;
    }
    ASSERT_TRUE(run(loop, engine->take_all(std::move(page))));
    until([&] { return engine->letters_waiting() == 300; });
    take("1-1", "");
    until([&] { return letters.size() == 1; });
    EXPECT_THAT(letters, ElementsAre("1-1 ok"));
}

TEST_F(EngineTest, ADeploymentThatHangsIsGivenUpInTime)
{
    end();
    patience.deadline = 100ms;
    begin();
    world.hanging = {"1-1"};
    take("1-1", "");
    until([&] { return state_of("1-1") == State::gone; });
    EXPECT_EQ(letters.front(), "1-1 error: gave up: not done in time: 1-1");
    EXPECT_THAT(world.diary, ElementsAre("apply 1-1", "revert 1-1"));
}

TEST_F(EngineTest, ADeploymentGoesOnAfterARebootOnceWhatItNeedsIsBack)
{
    end();
    journal.emplace(Journal::open(folder.path() / "state.db").value());
    Entry entry;
    entry.order = {.gwid = "1-1", .type = "volume", .owner = 7, .document = "needs:net"};
    entry.state = State::deploying;
    entry.accepted = entry.since = now_ns();
    ASSERT_TRUE(journal->accept(entry));
    entry.order = {.gwid = "2-1", .type = "network", .owner = 7, .document = "provides:net"};
    entry.state = State::running;
    entry.was_ok = true;
    ASSERT_TRUE(journal->accept(entry));
    journal.reset();
    world.failures["2-1"] = 2;
    begin();
    until([&] { return state_of("1-1") == State::running; });
    EXPECT_THAT(world.diary, ElementsAre("apply 2-1", "apply 2-1", "apply 2-1", "apply 1-1"));
}

TEST_F(EngineTest, NothingIsTakenAwayBeneathWhatCannotBeUndone)
{
    Plan plan;
    for (const auto* name : {"network", "container"})
        plan.add(std::make_unique<FakeStep>(world, name));
    world.stuck = {"container"};
    const auto undone = run(loop, plan.retire());
    ASSERT_FALSE(undone);
    EXPECT_THAT(undone.error().message, HasSubstr("undo container: container is busy"));
    EXPECT_THAT(world.diary, ElementsAre("revert container"));
    world.stuck.clear();
    EXPECT_TRUE(run(loop, plan.retire()));
    EXPECT_THAT(world.diary, ElementsAre("revert container", "revert container", "revert network"));
}

TEST_F(EngineTest, WhatIsGoneForLongIsForgottenWithoutARestart)
{
    end();
    patience.keep_gone = 1s;
    patience.tidying = 20ms;
    begin();
    take("1-1", "");
    take("2-1", "");
    until([&] { return letters.size() == 2; });
    take("1-1", "", 7, true);
    until([&] { return !engine->workload("1-1"); });
    EXPECT_EQ(letters.back(), "1-1 removed");
    EXPECT_EQ(state_of("2-1"), State::running);
}

TEST_F(EngineTest, MaintenanceRefusesNewOrdersOnly)
{
    take("1-1", "");
    until([&] { return letters.size() == 1; });
    engine->set_maintenance(true, "new disk");
    take("2-1", "");
    take("1-1", "", 7, true);
    until([&] { return letters.size() == 4; });
    EXPECT_THAT(letters, testing::Contains("2-1 error: the node is in maintenance: new disk"));
    until([&] { return state_of("1-1") == State::gone; });
}

}  // namespace
}  // namespace znode::engine
