#include <boost/asio/detached.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_parts.hpp"
#include "grid/document.hpp"
#include "grid/workload.hpp"
#include "kernel/files.hpp"

namespace znode::engine {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::uint64_t gib = std::uint64_t{1} << 30U;

class PlanTest : public testing::Test {
protected:
    PlanTest()
    {
        node.volumes.pool = {{"a", {10 * gib}}, {"b", {5 * gib}}};
        container.flist = "http://hub.example/one.flist";
        container.network_connection.push_back({"net", *grid::Ip::parse("10.1.1.2")});
        container.capacity.cpu = 1;
        container.capacity.memory = 64;
    }

    Result<std::unique_ptr<Plan>> plan_of(
        const std::string& gwid, grid::Workload::Data data, Standing standing = Standing::fresh)
    {
        grid::Workload workload;
        workload.id = 12;
        workload.workload_id = 1;
        workload.workload_type = grid::type_of(data);
        workload.data = std::move(data);
        Order order;
        order.gwid = gwid;
        order.owner = 7;
        order.document = grid::to_json(workload);
        return node.planner->plan(order, standing);
    }
    std::unique_ptr<Plan> volume_plan(const std::string& gwid = "12-1")
    {
        grid::Volume volume;
        volume.size = 1;
        volume.type = grid::DiskType::ssd;
        auto plan = plan_of(gwid, volume);
        EXPECT_TRUE(plan) << plan.error().message;
        return *std::move(plan);
    }
    std::unique_ptr<Plan> container_plan(const std::string& gwid = "13-1")
    {
        auto plan = plan_of(gwid, container);
        EXPECT_TRUE(plan) << plan.error().message;
        return *std::move(plan);
    }
    Result<> deploy(Plan& plan)
    {
        return run(node.loop, plan.deploy([](const std::string&) {}));
    }
    Result<> retire(Plan& plan) { return run(node.loop, plan.retire()); }
    /// The agent is killed; `running` go on.
    void restart(std::vector<std::string> running)
    {
        node.containers.running = std::move(running);
        node.planner = node.make_planner();
        ASSERT_TRUE(run(node.loop, node.planner->start()));
        run(node.loop, node.planner->stop());
    }
    std::string refusal()
    {
        const auto plan = plan_of("13-1", container);
        if (plan) return "";
        EXPECT_EQ(plan.error().code, Errc::invalid);
        return plan.error().message;
    }

    test::FakeNode node;
    grid::Container container;
};

TEST_F(PlanTest, AVolumeWaitsForItsPoolAndIsNotMadeAnewElsewhere)
{
    const auto first = deploy(*volume_plan());
    node.volumes.pool["a"].open = false;
    const auto away = deploy(*volume_plan());
    node.volumes.pool.erase("a");
    const auto unknown = deploy(*volume_plan());
    const auto where = node.volumes.volumes.at("12-1").pool;
    node.volumes.pool["a"] = {10 * gib};
    const auto back = deploy(*volume_plan());

    EXPECT_TRUE(first && back);
    ASSERT_TRUE(!away && !unknown);
    EXPECT_TRUE(is_transient(away.error().code));
    EXPECT_TRUE(is_transient(unknown.error().code));
    EXPECT_THAT(unknown.error().message, HasSubstr("pool a"));
    EXPECT_EQ(where, "a");
    EXPECT_EQ(node.volumes.volumes.at("12-1").pool, "a");
}

TEST_F(PlanTest, ARootStaysInItsPoolToo)
{
    ASSERT_TRUE(deploy(*container_plan()));
    node.volumes.pool["a"].open = false;
    const auto away = deploy(*container_plan());

    ASSERT_FALSE(away);
    EXPECT_TRUE(is_transient(away.error().code));
    EXPECT_EQ(node.volumes.volumes.at("13-1").pool, "a");
}

TEST_F(PlanTest, AVolumeWithoutANoteIsNotedWhereItLies)
{
    storage::Volume old;
    old.name = old.gwid = "12-1";
    old.pool = "b";
    node.volumes.volumes.insert({"12-1", old});

    ASSERT_TRUE(deploy(*volume_plan()));

    EXPECT_EQ(node.facts.at("volume.pool.12-1"), "b");
}

TEST_F(PlanTest, ANewVolumeWaitsForAnAbsentPoolOnlyWhileItMayLieThere)
{
    node.volumes.pool["a"].open = false;
    const auto unsure = deploy(*volume_plan());
    node.facts["volume.pools.noted"] = "1";
    const auto sure = deploy(*volume_plan());

    ASSERT_FALSE(unsure);
    EXPECT_TRUE(is_transient(unsure.error().code));
    ASSERT_TRUE(sure) << sure.error().message;
    EXPECT_EQ(node.volumes.volumes.at("12-1").pool, "b");
}

TEST_F(PlanTest, AnotherPoolIsChosenWhenTheRoomIsTakenInBetween)
{
    node.volumes.after_choice = [&] { node.volumes.pool["a"].free = 0; };

    ASSERT_TRUE(deploy(*volume_plan()));

    EXPECT_EQ(node.volumes.volumes.at("12-1").pool, "b");
    EXPECT_EQ(node.facts.at("volume.pool.12-1"), "b");
}

TEST_F(PlanTest, TheEndOfAVolumeForgetsItsPool)
{
    const auto plan = volume_plan();
    ASSERT_TRUE(deploy(*plan));
    ASSERT_TRUE(retire(*plan));
    node.volumes.pool["a"].free = 0;

    ASSERT_TRUE(deploy(*volume_plan()));

    EXPECT_EQ(node.volumes.volumes.at("12-1").pool, "b");
}

TEST_F(PlanTest, TheLogGoesWithItsContainerAfterItsLastLines)
{
    const auto folder = node.folder.path() / "logs" / "13-1";
    std::filesystem::create_directories(folder);
    ASSERT_TRUE(kernel::write_file_atomically(folder / "1.seg", "a line", 0600));
    bool readable = false;
    node.shippers.on_remove = [&](const std::string&) {
        readable = std::filesystem::exists(folder / "1.seg");
    };
    const auto plan = container_plan();
    ASSERT_TRUE(deploy(*plan));

    ASSERT_TRUE(retire(*plan));

    EXPECT_TRUE(readable);
    EXPECT_FALSE(std::filesystem::exists(folder));
    EXPECT_TRUE(std::filesystem::exists(folder.parent_path()));
}

TEST_F(PlanTest, FourTargetsForLogsAreEnough)
{
    for (int i = 0; i < 4; ++i)
        container.logs.push_back({"redis", {"redis://h/a", "redis://h/b", "", ""}});
    EXPECT_EQ(refusal(), "");
    container.logs.push_back({"redis", {"redis://h/a", "redis://h/b", "", ""}});
    EXPECT_THAT(refusal(), HasSubstr("names 5 targets; at most 4"));
}

TEST_F(PlanTest, ADiskOfUnknownTypeIsRefused)
{
    container.capacity.disk_size = 1024;
    container.capacity.disk_type = static_cast<grid::DiskType>(7);
    EXPECT_THAT(refusal(), HasSubstr("disk_type"));

    grid::Volume volume;
    volume.size = 1;
    volume.type = static_cast<grid::DiskType>(7);
    const auto plan = plan_of("12-1", volume);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().code, Errc::invalid);
}

TEST_F(PlanTest, AHubIsAServerElsewhere)
{
    for (const auto* good :
         {"zdb://hub.grid.tf:9900",
          "ardb://hub.grid.tf",
          "redis://:pa%20ss@198.51.100.1:6379/default",
          "zdb://[2001:db8::1]:9900",
          "zdb://3bot.example:9900",
          "zdb://10.0.0.7:9900"}) {
        container.hub_url = good;
        EXPECT_EQ(refusal(), "") << good;
    }
    for (const auto* bad :
         {"dir:///etc",
          "zdb:///run/znode/zdb/x/admin.sock",
          "zdb://user:password@/run/x.sock",
          "redis://nobody@127.0.0.1:6379",
          "redis://hub/x@127.0.0.1:6379",
          "zdb://127.1:9900",
          "zdb://0x7f000001:9900",
          "zdb://2130706433",
          "zdb://localhost:9900",
          "zdb://LocalHost.:9900",
          "zdb://0.0.0.0:9900",
          "zdb://169.254.169.254:9900",
          "zdb://[::1]:9900",
          "zdb://[::ffff:127.0.0.1]:9900",
          "zdb://[fe80::1]:9900",
          "zdb://[fe80::1%eth0]:9900",
          "zdb://fe80::1:9900",
          "zdb://:9900",
          "zdb://",
          "zdb:",
          "http://hub.grid.tf",
          "zdb://hub\n:9900",
          "zdb://:%0d%0aFLUSHALL@hub:9900",
          "zdb://:%zz@hub:9900"}) {
        container.hub_url = bad;
        EXPECT_THAT(refusal(), HasSubstr("hub_url")) << bad;
    }
}

TEST_F(PlanTest, TheNodesOwnHubMayBeBesideIt)
{
    node.hub_url = "zdb://127.0.0.1:9900";
    node.planner = node.make_planner();

    container.hub_url = "zdb://127.0.0.1:9910";
    EXPECT_EQ(refusal(), "");
    container.hub_url = "zdb://127.0.0.2:9910";
    EXPECT_THAT(refusal(), HasSubstr("hub_url"));
}

TEST_F(PlanTest, WhatWasAcceptedOnceKeepsItsPlanWhateverTheRulesAreNow)
{
    // The farmer's own hub of then, and rules that came later.
    container.hub_url = "zdb://127.0.0.1:9910";
    for (int i = 0; i < 5; ++i)
        container.logs.push_back({"redis", {"redis://h/a", "redis://h/b", "", ""}});
    grid::Volume volume;
    volume.size = 1;
    volume.type = static_cast<grid::DiskType>(7);

    ASSERT_NE(refusal(), "");
    EXPECT_TRUE(plan_of("13-1", container, Standing::accepted));
    EXPECT_TRUE(plan_of("12-1", volume, Standing::accepted));
}

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

TEST_F(PlanTest, AMountThatNobodyUsesIsSweptAtTheStart)
{
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    node.flists.mounts.insert("left behind");
    restart({"13-1"});

    EXPECT_EQ(node.flists.mounts.size(), 1U);
    EXPECT_FALSE(node.flists.mounts.contains("left behind"));
}

TEST_F(PlanTest, WhatWasNeverMadeIsUndoneThoughAPoolIsAway)
{
    node.volumes.pool["b"].open = false;
    EXPECT_FALSE(retire(*container_plan())) << "it may lie there";
    node.facts["volume.pools.noted"] = "1";
    EXPECT_TRUE(retire(*container_plan()));
    EXPECT_TRUE(retire(*volume_plan()));
}

TEST_F(PlanTest, OnlyTheNotedPoolIsWaitedFor)
{
    ASSERT_TRUE(deploy(*volume_plan()));
    restart({});
    node.volumes.pool["a"].open = false;
    EXPECT_FALSE(retire(*volume_plan()));
    node.volumes.pool["a"].open = true;
    node.volumes.pool["b"].open = false;
    EXPECT_TRUE(retire(*volume_plan()));
    EXPECT_FALSE(node.volumes.volumes.contains("12-1"));
}

TEST_F(PlanTest, APoolThatWasNeverUsedHoldsUpNobody)
{
    node.volumes.pool["b"] = {5 * gib, false, false};
    restart({});
    EXPECT_FALSE(node.facts.contains("volume.pools.noted")) << "it could not be looked at";
    EXPECT_TRUE(deploy(*volume_plan()));
    EXPECT_TRUE(retire(*volume_plan()));
}

TEST_F(PlanTest, ANamespaceIsNotMadeAnewWhileAnUnknownPoolMayHoldIt)
{
    grid::Zdb zdb;
    zdb.size = 1;
    zdb.disk_type = grid::DiskType::ssd;
    const auto order = [&] { return deploy(**plan_of("15-1", zdb)); };
    node.volumes.pool["b"].open = false;
    const auto unsure = order();
    node.facts["zdb.server.b"] = "zdb0123";
    const auto known = order();

    ASSERT_FALSE(unsure);
    EXPECT_EQ(unsure.error().code, Errc::unavailable);
    EXPECT_THAT(unsure.error().message, HasSubstr("may lie in pool b"));
    EXPECT_TRUE(known) << known.error().message;
    EXPECT_EQ(node.facts["zdb.pool.15-1"], "a");
}

}  // namespace
}  // namespace znode::engine
