#include "plan_fixture.hpp"

namespace znode::engine {
namespace {

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

    for (const auto* own :
         {"zdb://127.0.0.1:9900",
          "ardb://127.0.0.1",
          "redis://nobody:secret@127.0.0.1:9900/default"}) {
        container.hub_url = own;
        EXPECT_EQ(refusal(), "") << own;
    }
    for (const auto* beside :
         {"zdb://127.0.0.1:9910",
          "redis://127.0.0.1:6379",
          "redis://127.0.0.1",
          "zdb://127.0.0.1:x",
          "zdb://127.0.0.2:9900"}) {
        container.hub_url = beside;
        EXPECT_THAT(refusal(), HasSubstr("hub_url")) << beside;
    }

    node.hub_url = "redis://[::1]:6380";
    node.planner = node.make_planner();
    container.hub_url = "redis://[::1]:6380";
    EXPECT_EQ(refusal(), "");
    container.hub_url = "redis://[::1]x6380";
    EXPECT_THAT(refusal(), HasSubstr("hub_url")) << "a store reads it as the usual port";
}

TEST_F(PlanTest, TheFarmersHubOfThenMayStayOnThisMachine)
{
    const auto then = node.hub_url;
    container.hub_url = then;
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    EXPECT_FALSE(node.flists.remote.at(then));
    container.hub_url = "zdb://hub.example:9901";
    ASSERT_TRUE(deploy(*container_plan("14-1")));
    EXPECT_TRUE(node.flists.remote.at("zdb://hub.example:9901")) << "a neighbour of the hub";

    node.hub_url = "zdb://other.example:9900";
    restart({});
    container.hub_url = then;
    const auto old = container_plan("13-1");
    ASSERT_TRUE(deploy(*old));
    EXPECT_FALSE(node.flists.remote.at(then));
    ASSERT_TRUE(retire(*old));
    ASSERT_TRUE(deploy(*container_plan("13-1")));
    EXPECT_TRUE(node.flists.remote.at(then)) << "ordered anew";
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
    node.volumes.pool["b"].open = false;
    const auto unsure = deploy(*zdb_plan());
    node.facts["zdb.server.b"] = "zdb0123";
    const auto known = deploy(*zdb_plan());

    ASSERT_FALSE(unsure);
    EXPECT_EQ(unsure.error().code, Errc::unavailable);
    EXPECT_THAT(unsure.error().message, HasSubstr("may lie in pool b"));
    EXPECT_TRUE(known) << known.error().message;
    EXPECT_EQ(node.facts["zdb.pool.15-1"], "a");
}

TEST_F(PlanTest, APoolThatComesWhileTheOthersAreLookedIntoIsLookedIntoAsWell)
{
    given_server("a", "zdb01");
    given_server("b", "zdb02");
    node.zdb.add("a", "15-1");
    node.volumes.pool["a"].open = false;
    node.zdb.on_server = [&] { node.volumes.pool["a"].open = true; };
    const auto unsure = deploy(*zdb_plan());
    const auto found = deploy(*zdb_plan());

    ASSERT_FALSE(unsure);
    EXPECT_EQ(unsure.error().code, Errc::unavailable);
    EXPECT_TRUE(found) << found.error().message;
    EXPECT_EQ(node.facts["zdb.pool.15-1"], "a");
    EXPECT_EQ(node.facts["zdb.server.a"], "zdb01");
}

TEST_F(PlanTest, APoolThatDiesHoldsUpNoNamespaceIfItNeverHadAny)
{
    node.volumes.pool["b"].open = false;
    restart({});
    EXPECT_FALSE(node.facts.contains("zdb.servers.noted")) << "it could not be looked into";
    node.volumes.pool["b"].open = true;
    restart({});
    EXPECT_EQ(node.facts["zdb.servers.noted"], "1");
    node.volumes.pool["b"].open = false;

    const auto ordered = deploy(*zdb_plan());
    EXPECT_TRUE(ordered) << ordered.error().message;
}

TEST_F(PlanTest, ANewNamespaceIsNotSoldRoomThatItsVolumeCannotGet)
{
    given_server("a", "zdb01");
    node.facts["zdb.server.a"] = "zdb01";
    node.facts["zdb.pool.15-1"] = "a";
    // Enough for the namespace as earlier agents counted.
    node.volumes.volumes.at("zdb01").bytes = 1200 * mib;
    node.volumes.pool["a"].free = 0;
    const auto fresh = deploy(*zdb_plan());
    node.zdb.add("a", "15-1");
    const auto old = deploy(*zdb_plan());

    ASSERT_FALSE(fresh);
    EXPECT_EQ(fresh.error().code, Errc::exhausted);
    EXPECT_TRUE(old) << old.error().message;
}

TEST_F(PlanTest, ANamespaceThatCannotBeReadIsNotTakenForAnEmptyOne)
{
    const auto unreadable = zdb_plan("15-1");
    const auto empty = zdb_plan("16-1");
    ASSERT_TRUE(deploy(*unreadable) && deploy(*empty));
    node.zdb.held["a"]["15-1"].failed = true;

    ASSERT_TRUE(retire(*unreadable) && retire(*empty));

    EXPECT_THAT(node.zdb.frozen, testing::ElementsAre("15-1"));
    EXPECT_TRUE(node.zdb.held["a"].contains("15-1"));
    EXPECT_FALSE(node.zdb.held["a"].contains("16-1"));
    EXPECT_THAT(node.facts["zdb.kept"], HasSubstr("15-1"));
}

}  // namespace
}  // namespace znode::engine
