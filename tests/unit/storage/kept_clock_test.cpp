#include "storage/kept_clock.hpp"

#include <gtest/gtest.h>

namespace znode::storage {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t noon = 1'800'000'000;
constexpr auto week = std::chrono::seconds{7 * 24h};

class KeptClockTest : public testing::Test {
protected:
    /// Looks every five seconds for so long; the wall clock runs along.
    std::optional<std::int64_t> pass(std::chrono::seconds time)
    {
        std::optional<std::int64_t> until;
        for (auto gone = 0s; gone < time; gone += 5s) {
            wall += 5;
            at += 5s;
            until = clock.over_until(wall, at, week);
        }
        return until;
    }

    KeptClock clock;
    KeptClock::Moment at{100h};
    std::int64_t wall = noon;
};

TEST_F(KeptClockTest, NothingIsOverInTheFirstHour)
{
    EXPECT_FALSE(clock.over_until(wall, at, week));
    EXPECT_FALSE(pass(59min));
    EXPECT_EQ(pass(1min), wall - week.count());
}

TEST_F(KeptClockTest, WhatIsKeptForSecondsWaitsForNoHour)
{
    EXPECT_FALSE(clock.over_until(wall, at, 10s));
    EXPECT_EQ(clock.over_until(wall + 10, at + 10s, 10s), wall);
}

TEST_F(KeptClockTest, ClockThatWasLostEndsNothingWhenItIsSet)
{
    wall = 100;
    EXPECT_FALSE(pass(2h));
    wall = noon;
    EXPECT_FALSE(pass(59min)) << "the hour begins when the clock is set";
    EXPECT_EQ(pass(2min), wall - week.count());
}

TEST_F(KeptClockTest, JumpAheadEndsNobodysTime)
{
    const auto set_aside = noon + 3600;
    ASSERT_TRUE(pass(2h));
    wall += 30 * 24 * 3600;

    EXPECT_LT(pass(5min), set_aside);
    EXPECT_LT(pass(6 * 24h), set_aside);
    wall -= 30 * 24 * 3600;
    EXPECT_EQ(pass(5min), wall - week.count()) << "set right again";
}

TEST_F(KeptClockTest, JumpThatStandsForTheWholeTimeIsBelieved)
{
    ASSERT_TRUE(pass(2h));
    wall += 300 * 24 * 3600;
    EXPECT_LT(pass(week - 1min), wall - week.count());
    EXPECT_EQ(pass(2min), wall - week.count());
}

TEST_F(KeptClockTest, JumpBackIsFollowedAtOnceAndGuardsAgain)
{
    ASSERT_TRUE(pass(2h));
    wall -= 3 * 24 * 3600;
    EXPECT_EQ(pass(5s), wall - week.count());
    const auto before = wall;
    wall += 3 * 24 * 3600;
    EXPECT_LT(pass(1min), before - week.count() + 61);
}

TEST_F(KeptClockTest, SmallStepsAndRoundingDoNotPileUp)
{
    ASSERT_FALSE(clock.over_until(wall, at, week));
    for (int i = 0; i < 10'000; ++i) {
        at += 1700ms;
        wall =
            noon + std::chrono::floor<std::chrono::seconds>(at.time_since_epoch() - 100h).count();
        (void)clock.over_until(wall, at, week);
    }
    EXPECT_EQ(clock.over_until(wall, at, week), wall - week.count());
}

}  // namespace
}  // namespace znode::storage
