#include "status/server.hpp"

#include <sys/stat.h>

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/child.hpp"
#include "async/task_group.hpp"
#include "fake_status_source.hpp"
#include "http/client.hpp"
#include "temp_folder.hpp"

namespace znode::status {
namespace {

using namespace std::chrono_literals;
using namespace test;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class ServerTest : public testing::Test {
protected:
    ServerTest()
    {
        std::filesystem::permissions(folder.path(), std::filesystem::perms{0755});
        options.socket = folder.path() / "status.sock";
        options.group = "nogroup";
        server = make_local_server(loop, source, options, silent_log());
        const auto started = server->start();
        EXPECT_TRUE(started) << started.error().message;
    }
    ~ServerTest() override
    {
        run(loop, server->stop());
        EXPECT_FALSE(std::filesystem::exists(options.socket));
    }

    http::Reply ask(
        std::string target, http::Method method = http::Method::get, std::string body = "")
    {
        http::Request request{
            .method = method, .target = std::move(target), .body = std::move(body)};
        return send(std::move(request));
    }
    http::Reply send(http::Request request)
    {
        const auto client = http::make_client(
            loop, Endpoint{.kind = Endpoint::Kind::unix_socket, .host = options.socket});
        auto reply = run(loop, client->send(std::move(request)));
        EXPECT_TRUE(reply) << reply.error().message;
        return reply ? *reply : http::Reply{.status = 0};
    }
    kernel::Output ctl(std::vector<std::string> arguments, bool as_nobody = false)
    {
        kernel::ChildSpec spec;
        spec.argv = {ZNODE_BIN_DIR "/znodectl", "--socket", options.socket};
        spec.argv.insert(spec.argv.end(), arguments.begin(), arguments.end());
        if (as_nobody) {
            // The tree may lie where only root can look.
            const auto program = folder.path() / "znodectl";
            std::filesystem::copy_file(
                spec.argv.front(), program, std::filesystem::copy_options::skip_existing);
            spec.argv.front() = program;
            spec.uid = 65534;
            spec.gid = 65534;
        }
        auto output = run(loop, run_child(spec, "", 20s));
        EXPECT_TRUE(output) << output.error().message;
        return output ? *output : kernel::Output{};
    }

    asio::io_context loop{1};
    znode::test::TempFolder folder;
    FakeSource source{loop};
    ServerOptions options;
    std::unique_ptr<LocalServer> server;
};

TEST_F(ServerTest, TheSocketBelongsToRootAndTheGroup)
{
    struct stat info{};
    ASSERT_EQ(::stat(options.socket.c_str(), &info), 0);

    EXPECT_EQ(info.st_mode & 07777, 0660U);
    EXPECT_EQ(info.st_uid, 0U);
    EXPECT_EQ(info.st_gid, 65534U);
}

TEST_F(ServerTest, ASecondAgentIsRefusedTheSocket)
{
    const auto second = make_local_server(loop, source, options, silent_log());

    EXPECT_EQ(second->start().error().code, Errc::exists);
    run(loop, second->stop());
    EXPECT_EQ(ask("/v1/status").status, 200U) << "it took the socket of the first one away";
}

TEST_F(ServerTest, AnswersInJsonAndInProtobuf)
{
    const auto text = ask("/v1/status");
    http::Request binary{.target = "/v1/workloads"};
    binary.headers.set("Accept", "application/x-protobuf");
    const auto bytes = send(binary);

    EXPECT_EQ(text.headers.get("content-type"), "application/json");
    EXPECT_THAT(text.body, HasSubstr(R"("farm_id":12775)"));
    EXPECT_EQ(bytes.headers.get("content-type"), "application/x-protobuf");
    v1::WorkloadList list;
    ASSERT_TRUE(list.ParseFromString(bytes.body));
    EXPECT_EQ(list.workloads_size(), 6);
}

TEST_F(ServerTest, RefusalsSayWhy)
{
    const auto expect = [&](const http::Reply& reply, unsigned status, const char* code) {
        EXPECT_EQ(reply.status, status) << reply.body;
        EXPECT_THAT(reply.body, HasSubstr("\"code\":\"" + std::string{code} + "\""));
    };
    expect(ask("/v1/workloads/77-1"), 404, "not_found");
    expect(ask("/v2/status"), 404, "not_found");
    expect(ask("/v1/network"), 503, "unavailable");
    expect(ask("/v1/status", http::Method::post), 405, "invalid");
    expect(ask("/v1/gc"), 405, "invalid");
    expect(ask("/v1/maintenance", http::Method::post, "{on}"), 400, "invalid");
    expect(ask("/v1/events?since=x"), 400, "invalid");
    expect(ask("/v1/workloads/15-1/logs?since=yesterday"), 400, "invalid");
    expect(ask("/v1/workloads/15-1/logs?stream=stdlog"), 400, "invalid");
    expect(ask("/v1/workloads/99-1/logs"), 404, "not_found");
}

TEST_F(ServerTest, HealthIsTheStatusCode)
{
    source.health_.set_healthy(true);
    EXPECT_EQ(ask("/healthz").status, 200U);

    source.health_.set_healthy(false);
    source.health_.add_reasons("no pool");
    const auto sick = ask("/healthz");
    EXPECT_EQ(sick.status, 503U);
    EXPECT_THAT(sick.body, HasSubstr("no pool"));
}

TEST_F(ServerTest, MetricsArePrometheusText)
{
    const auto reply = ask("/metrics");

    EXPECT_THAT(reply.body, HasSubstr("# TYPE znode_workloads gauge\n"));
    EXPECT_THAT(reply.body, HasSubstr("znode_workloads{type=\"container\",state=\"failed\"} 1\n"));
    EXPECT_THAT(reply.body, HasSubstr("znode_resources_promised{resource=\"cpu\"} 2\n"));
    EXPECT_THAT(reply.body, HasSubstr("znode_fake 1\n"));
}

TEST_F(ServerTest, RootChangesThings)
{
    EXPECT_EQ(
        ask("/v1/maintenance", http::Method::post, R"({"on": true, "reason": "disk"})").status,
        200U);
    EXPECT_EQ(ask("/v1/gc", http::Method::post, R"({"dry_run": true})").status, 200U);
    EXPECT_EQ(ask("/v1/workloads/15-1/restart", http::Method::post).status, 200U);

    EXPECT_THAT(source.diary, ElementsAre("maintenance on disk", "gc dry", "restart 15-1"));
}

TEST_F(ServerTest, TheGroupLooksButChangesNothingAndReadsNoLogs)
{
    EXPECT_EQ(ctl({"status"}, true).exit.code, 0);
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             {"logs", "15-1"}, {"gc"}, {"restart", "15-1"}, {"maintenance", "on"}}) {
        const auto refused = ctl(arguments, true);
        EXPECT_EQ(refused.exit.code, 1) << arguments.front();
        EXPECT_THAT(refused.err, HasSubstr("only root"));
    }
    EXPECT_TRUE(source.diary.empty());
}

Task<bool> until_no_reader(FakeSource* source)
{
    while (source->readers > 0) co_await source->logged.wait();
    co_return true;
}

/// Takes pieces until `stop_at` has been seen, then hangs up.
Task<> follow(
    FakeSource* source,
    http::Client* client,
    std::string target,
    std::string* seen,
    std::string stop_at)
{
    http::Request request{.target = std::move(target)};
    request.patience = 10s;
    http::ChunkSink sink = [source, seen, stop_at](std::string_view piece) -> Result<> {
        *seen += piece;
        if (seen->find("\"first\"") != std::string::npos && source->lines.size() == 1)
            source->log(stop_at);
        if (seen->find("10-1") != std::string::npos && source->all_events.size() == 1)
            source->happen(stop_at, "running");
        if (seen->find(stop_at) != std::string::npos) return fail(Errc::cancelled, "enough");
        return {};
    };
    (void)co_await client->fetch(std::move(request), std::move(sink));
}

TEST_F(ServerTest, FollowsLogsAndNoticesWhenTheReaderLeaves)
{
    source.log("first");
    const auto client = http::make_client(
        loop, Endpoint{.kind = Endpoint::Kind::unix_socket, .host = options.socket});
    std::string seen;

    run(loop,
        follow(&source, client.get(), "/v1/workloads/15-1/logs?follow=1&tail=5", &seen, "second"));

    EXPECT_THAT(seen, HasSubstr(R"("line":"first")"));
    EXPECT_THAT(seen, HasSubstr(R"("line":"second")"));
    EXPECT_THAT(source.diary, ElementsAre("logs 15-1 stream= tail=5 follow"));
    EXPECT_TRUE(run(loop, run_until(sleep_for(5s), until_no_reader(&source))).value_or(false));
}

TEST_F(ServerTest, FollowsEvents)
{
    source.happen("10-1", "waiting");
    const auto client = http::make_client(
        loop, Endpoint{.kind = Endpoint::Kind::unix_socket, .host = options.socket});
    std::string seen;

    run(loop, follow(&source, client.get(), "/v1/events?follow=true", &seen, "11-1"));

    EXPECT_THAT(seen, HasSubstr("\"sequence\":1,"));
    EXPECT_THAT(seen, HasSubstr("\"sequence\":2,"));
}

TEST_F(ServerTest, TcpShowsMetricsAndHealthOnly)
{
    ServerOptions open;
    open.socket = folder.path() / "other.sock";
    open.metrics_listen = "127.0.0.1:0";
    const auto second = make_local_server(loop, source, open, silent_log());
    ASSERT_TRUE(second->start());
    const auto client = http::make_client(
        loop, Endpoint{.host = "127.0.0.1", .port = std::to_string(second->metrics_port())});

    const auto metrics = run(loop, client->send({.target = "/metrics"}));
    const auto status = run(loop, client->send({.target = "/v1/status"}));

    ASSERT_TRUE(metrics && status);
    EXPECT_EQ(metrics->status, 200U);
    EXPECT_EQ(status->status, 404U);
    client->close();
    run(loop, second->stop());
}

TEST_F(ServerTest, AnAddressForMetricsThatIsTakenCostsNoSocket)
{
    const auto taken = listen_tcp(loop, "127.0.0.1", 0).value();
    ServerOptions open;
    open.socket = folder.path() / "other.sock";
    open.metrics_listen = "127.0.0.1:" + std::to_string(taken->port());
    const auto second = make_local_server(loop, source, open, silent_log());

    ASSERT_TRUE(second->start());

    EXPECT_THAT(second->metrics_problem(), HasSubstr("in use"));
    EXPECT_EQ(second->metrics_port(), 0);
    EXPECT_TRUE(std::filesystem::exists(open.socket));
    run(loop, second->stop());
    EXPECT_FALSE(std::filesystem::exists(open.socket));
}

TEST_F(ServerTest, ZnodectlPrintsForPeopleAndForScripts)
{
    const auto text = ctl({"workloads"});
    const auto json = ctl({"--json", "workloads"});
    const auto one = ctl({"workloads", "15-1"});
    source.log("a line");
    const auto logs = ctl({"logs", "15-1", "--tail", "3"});
    source.happen("15-1", "running");
    const auto events = ctl({"events"});

    EXPECT_THAT(text.out, HasSubstr("network_resource  running"));
    EXPECT_THAT(json.out, testing::StartsWith(R"({"workloads":[{"gwid":"12-1")"));
    EXPECT_THAT(one.out, HasSubstr("backing_off"));
    EXPECT_EQ(logs.out, "a line\n");
    EXPECT_THAT(events.out, HasSubstr("15-1"));
}

TEST_F(ServerTest, ZnodectlsExitCodesTellWhoIsToBlame)
{
    auto* check = source.doctor_.add_checks();
    check->set_name("kernel");
    check->set_outcome("ok");
    EXPECT_EQ(ctl({"doctor"}).exit.code, 0);
    check->set_outcome("failed");
    EXPECT_EQ(ctl({"doctor"}).exit.code, 1);

    EXPECT_EQ(ctl({"workloads", "77-1"}).exit.code, 1);
    EXPECT_EQ(ctl({"network"}).exit.code, 1);
    EXPECT_EQ(ctl({"frobnicate"}).exit.code, 2);
    EXPECT_EQ(ctl({"maintenance", "maybe"}).exit.code, 2);
    EXPECT_EQ(ctl({"--help"}).exit.code, 0);
    const auto away = ctl({"--socket", folder.path() / "nobody.sock", "status"});
    EXPECT_EQ(away.exit.code, 3);
    EXPECT_THAT(away.err, HasSubstr("systemctl start znoded"));
}

}  // namespace
}  // namespace znode::status
