#include <boost/asio/detached.hpp>

#include "plan_fixture.hpp"

namespace znode::engine {
namespace {

TEST_F(PlanTest, AFlistThatDoesNotGoIsTriedAgain)
{
    const auto plan = container_plan();
    ASSERT_TRUE(deploy(*plan));
    node.flists.failures = 1;

    EXPECT_FALSE(retire(*plan));
    EXPECT_EQ(node.flists.mounts.size(), 1U);
    EXPECT_TRUE(retire(*plan));
    EXPECT_TRUE(node.flists.mounts.empty());
    EXPECT_TRUE(node.planner->flist_users().empty());
}

Task<> retire_later(Plan* plan, std::optional<Result<>>* outcome)
{
    *outcome = co_await plan->retire();
}

TEST_F(PlanTest, WhoBeginsWhileAFlistGoesGetsItAgain)
{
    const auto old = container_plan("13-1");
    ASSERT_TRUE(deploy(*old));
    node.flists.unmount_takes = 50ms;
    const auto fresh = container_plan("14-1");
    std::optional<Result<>> retired;
    asio::co_spawn(node.loop, retire_later(old.get(), &retired), asio::detached);
    run(node.loop, sleep_for(20ms));

    const auto deployed = deploy(*fresh);
    run(node.loop, sleep_for(20ms));

    EXPECT_TRUE(retired && *retired && deployed);
    EXPECT_EQ(node.flists.mounts.size(), 1U);
    const auto users = node.planner->flist_users();
    ASSERT_EQ(users.size(), 1U);
    EXPECT_THAT(users.begin()->second, testing::ElementsAre("14-1"));
}

TEST_F(PlanTest, AFlistStaysForWhoRunsFromItSinceBeforeTheRestart)
{
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    ASSERT_TRUE(deploy(*container_plan("14-1")));
    restart({"13-1", "14-1"});

    ASSERT_TRUE(retire(*container_plan("14-1")));
    EXPECT_EQ(node.flists.mounts.size(), 1U);
    ASSERT_TRUE(retire(*container_plan("13-1")));
    EXPECT_TRUE(node.flists.mounts.empty());
}

TEST_F(PlanTest, AMountStaysForItsProgramThoughTheFarmersHubIsAnotherOne)
{
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    node.hub_url = "zdb://other.example:9900";
    restart({"13-1"});
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    EXPECT_EQ(node.flists.mounts.size(), 2U);
    restart({"13-1"});
    EXPECT_EQ(node.flists.mounts.size(), 2U);
    ASSERT_TRUE(retire(*container_plan("13-1")));
    EXPECT_TRUE(node.flists.mounts.empty());
}

TEST_F(PlanTest, WhileSomebodysMountIsUnknownNoneGoes)
{
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    ASSERT_TRUE(deploy(*container_plan("14-1")));
    node.facts.erase("container.mount.13-1");  // As after a damaged database.
    node.flists.mounts.insert("left behind");
    restart({"13-1", "14-1"});

    ASSERT_TRUE(retire(*container_plan("14-1")));
    EXPECT_EQ(node.flists.mounts.size(), 2U);
    const auto other = container_plan("13-1");
    ASSERT_TRUE(deploy(*other));
    ASSERT_TRUE(retire(*other));
    EXPECT_TRUE(node.flists.mounts.empty());
}

TEST_F(PlanTest, TheMountThatAProgramRunsFromStaysWhateverTheFactsSay)
{
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    const auto old = *node.flists.mounts.begin();
    given_roots_over({old});
    // A damaged database, and the hub has another flist at that address by now.
    node.facts.clear();
    node.flists.published = "4567";
    restart({"13-1"});
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    ASSERT_EQ(node.flists.mounts.size(), 2U);

    const auto other = container_plan("14-1");
    ASSERT_TRUE(deploy(*other));
    ASSERT_TRUE(retire(*other));
    EXPECT_TRUE(node.flists.mounts.contains(old));
    restart({"13-1"});
    EXPECT_TRUE(node.flists.mounts.contains(old));
    given_roots_over({});
    ASSERT_TRUE(retire(*container_plan("13-1")));
    EXPECT_TRUE(node.flists.mounts.empty());
}

TEST_F(PlanTest, TheLastWhoIsKnownLeavesAMountToWhoRunsFromIt)
{
    const auto known = container_plan("13-1");
    ASSERT_TRUE(deploy(*known));
    const auto mountinfo = node.folder.path() / "mountinfo";
    std::filesystem::remove(mountinfo);
    EXPECT_FALSE(retire(*known)) << "nobody can say who runs from it";
    given_roots_over(std::vector(node.flists.mounts.begin(), node.flists.mounts.end()));
    EXPECT_TRUE(retire(*known));
    EXPECT_EQ(node.flists.mounts.size(), 1U);

    given_roots_over({});
    EXPECT_TRUE(retire(*known));
    EXPECT_TRUE(node.flists.mounts.empty());
}

TEST_F(PlanTest, AProgramThatIsJustBeingStartedKeepsItsMountAndOneThatHasEndedDoesNot)
{
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    node.containers.starting = {"13-1"};
    restart({});
    EXPECT_EQ(node.flists.mounts.size(), 1U);
    node.containers.starting.clear();
    node.containers.ended = {"13-1"};
    restart({});
    EXPECT_TRUE(node.flists.mounts.empty());
}

TEST_F(PlanTest, AMountThatNobodyUsesIsSweptAtTheStart)
{
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    node.flists.mounts.insert("left behind");
    restart({"13-1"});

    EXPECT_EQ(node.flists.mounts.size(), 1U);
    EXPECT_FALSE(node.flists.mounts.contains("left behind"));
}

}  // namespace
}  // namespace znode::engine
