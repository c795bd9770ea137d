#include "source.hpp"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "explorer/node_api.hpp"
#include "fake_parts.hpp"
#include "http/client.hpp"
#include "status/server.hpp"

namespace znode::agent {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class NoExplorer : public http::Client {
public:
    Task<Result<http::Reply>> send(http::Request) override
    {
        co_return fail(Errc::unavailable, "away");
    }
    Task<Result<http::Reply>> fetch(http::Request, http::ChunkSink) override
    {
        co_return fail(Errc::unavailable, "away");
    }
    void close() noexcept override {}
};

/// The agent's own source over parts that are not there.
class SourceTest : public testing::Test {
protected:
    ~SourceTest() override
    {
        run(node.loop, engine.stop());
        run(node.loop, watch.stop());
    }

    void add_volume(const std::string& gwid)
    {
        storage::Volume volume;
        volume.name = volume.gwid = gwid;
        volume.pool = "a";
        volume.used = 100;
        node.volumes.volumes.insert({gwid, volume});
    }

    test::FakeNode node;
    Config config;
    Blocking store{1};
    engine::Journal journal = *engine::Journal::open(node.folder.path() / "state.db");
    NoExplorer nobody;
    std::unique_ptr<explorer::NodeApi> api = explorer::make_node_api(nobody, node.identity);
    engine::ExplorerLink link{node.loop, *api, "node", {}, {}, silent_log()};
    engine::Engine engine{
        {node.loop,
         *node.planner,
         journal,
         store,
         [](const engine::Letter&) -> Task<Result<>> { co_return Result<>{}; },
         silent_log()},
        engine::Machine{.cpus = 4, .memory = 8ULL << 30U},
        engine::Patience{}};
    logs::FolderWatch watch{node.loop};
    std::vector<std::string> cgroups;
    std::string obstacle;
    AgentSource source{SourceParts{
        node.loop,
        config,
        "node",
        engine,
        link,
        *node.planner,
        node.volumes,
        node.networks,
        node.flists,
        node.shippers,
        watch,
        node.disks,
        node.folder.path() / "logs",
        [this](std::string key, std::string value) {
            return node.set_fact(std::move(key), std::move(value));
        },
        "cgroup v2",
        [this]() -> Result<std::vector<std::string>> { return cgroups; },
        [this] { return obstacle; }}};
};

TEST_F(SourceTest, WhatIsNobodysIsSetAsideAndNotDestroyed)
{
    node.volumes.pool["a"] = {};
    add_volume("12-1");
    add_volume("13-1");
    node.facts["volume.pool.12-1"] = "a";
    cgroups = {"13-1"};

    const auto dry = run(node.loop, source.gc(true));
    const auto before = node.volumes.volumes.size();
    const auto report = run(node.loop, source.gc(false));

    ASSERT_TRUE(dry && report);
    EXPECT_EQ(before, 2U);
    ASSERT_EQ(report->items_size(), 1);
    EXPECT_EQ(report->items(0).name(), "12-1");
    EXPECT_EQ(report->bytes(), 100);
    EXPECT_THAT(node.volumes.kept, ElementsAre("12-1"));
    EXPECT_TRUE(node.volumes.volumes.contains("13-1"));
    EXPECT_EQ(node.facts["volume.pool.12-1"], "");
}

TEST_F(SourceTest, NothingIsTakenAwayWhileItIsNotKnownWhoseItIs)
{
    add_volume("12-1");
    obstacle = "not yet";

    const auto report = run(node.loop, source.gc(false));
    const auto dry = run(node.loop, source.gc(true));

    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::unavailable);
    EXPECT_TRUE(dry);
    EXPECT_TRUE(node.volumes.volumes.contains("12-1"));
}

TEST(GcObstacleTest, TheJournalIsOldAndTheExplorerWasRead)
{
    engine::LinkState never;
    engine::LinkState read;
    read.last_poll = 1;
    EXPECT_THAT(gc_obstacle(true, read, 1h), HasSubstr("begun anew"));
    EXPECT_THAT(gc_obstacle(false, never, 1h), HasSubstr("was not read"));
    EXPECT_THAT(gc_obstacle(false, read, 1s), HasSubstr("just been started"));
    EXPECT_EQ(gc_obstacle(false, read, 1h), "");
}

TEST_F(SourceTest, EachMetricIsShownOnce)
{
    status::ServerOptions options;
    options.socket = node.folder.path() / "s.sock";
    const auto server = status::make_local_server(node.loop, source, options, silent_log());
    ASSERT_TRUE(server->start());
    const auto client = http::make_client(
        node.loop, Endpoint{.kind = Endpoint::Kind::unix_socket, .host = options.socket});

    const auto reply = run(node.loop, client->send({.target = "/metrics"}));
    client->close();
    run(node.loop, server->stop());

    ASSERT_TRUE(reply) << reply.error().message;
    EXPECT_THAT(reply->body, HasSubstr("znode_explorer_reachable 0"));
    std::set<std::string> seen;
    for (const auto line : split(reply->body, '\n')) {
        if (line.empty()) continue;
        // "# TYPE name gauge" and "name{labels} value": what comes before the last space.
        const std::string what{
            line.starts_with("# HELP") ? line.substr(0, line.find(' ', 7))
                                       : line.substr(0, line.rfind(' '))};
        EXPECT_TRUE(seen.insert(what).second) << what;
    }
}

}  // namespace
}  // namespace znode::agent
