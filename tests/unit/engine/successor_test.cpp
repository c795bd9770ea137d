// Workloads of a pool that continue reservations of the first era.
#include "engine_fixture.hpp"

namespace znode::engine {
namespace {

/// A volume of the first era that ends soon, and the workload of a pool that it becomes.
class SuccessorTest : public EngineTest {
protected:
    static Engine::Incoming old_one()
    {
        Engine::Incoming old;
        old.order = {.gwid = "9-4", .type = "volume", .owner = 7, .fingerprint = "same"};
        old.order.era = explorer::Era::reservations;
        old.order.expires = now_ns() / 1'000'000'000 + 2;
        return old;
    }
    static Engine::Incoming successor()
    {
        auto next = old_one();
        next.order.told_as = "57-4";
        next.order.pool = 3;
        next.order.era = explorer::Era::pools;
        next.order.expires = 0;
        return next;
    }
    void hears(const Engine::Incoming& incoming) { ASSERT_TRUE(run(loop, engine->take(incoming))); }
};

TEST_F(SuccessorTest, GoesOnUnderItsNewNameBeyondItsOldEnd)
{
    hears(old_one());
    until([&] { return letters.size() == 1; });

    hears(successor());
    until([&] { return letters.size() == 2; });
    hears(successor());
    end();
    begin();
    // One with the same date that stayed as it was shows when that has passed.
    auto other = old_one();
    other.order.gwid = "9-5";
    hears(other);
    until([&] { return engine->workload("9-5") && state_of("9-5") == State::gone; });

    EXPECT_THAT(letters[0], testing::StartsWith("9-4 ok"));
    EXPECT_THAT(letters[1], testing::StartsWith("57-4 ok"));
    EXPECT_EQ(state_of("9-4"), State::running);
    EXPECT_EQ(engine->workload("9-4")->entry.order.pool, 3);
    EXPECT_THAT(world.names, ElementsAre("57-4 is 9-4", "57-4 is 9-4")) << "also after a restart";

    auto gone = successor();
    gone.remove = true;
    hears(gone);
    until([&] { return state_of("9-4") == State::gone; });
    until([&] { return letters.back() == "57-4 removed"; });
}

TEST_F(SuccessorTest, TheEndOfTheOldNameIsAnsweredAndEndsNothing)
{
    hears(old_one());
    until([&] { return letters.size() == 1; });
    hears(successor());
    until([&] { return letters.size() == 2; });
    auto late = old_one();
    late.remove = true;
    hears(late);
    until([&] { return letters.size() == 3; });
    EXPECT_EQ(letters.back(), "9-4 removed");
    EXPECT_EQ(state_of("9-4"), State::running);
}

TEST_F(SuccessorTest, AnotherWishTakesNothingOver)
{
    hears(old_one());
    until([&] { return letters.size() == 1; });
    auto other = successor();
    other.order.fingerprint = "other";
    hears(other);
    until([&] { return letters.size() == 3; });
    EXPECT_THAT(letters[1], HasSubstr("57-4 error: it is not the same as 9-4"));
    EXPECT_EQ(letters[2], "57-4 removed");
    EXPECT_EQ(state_of("9-4"), State::running);
    EXPECT_TRUE(engine->alarms().empty());
}

}  // namespace
}  // namespace znode::engine
