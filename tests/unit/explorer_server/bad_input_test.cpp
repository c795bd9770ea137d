#include <gtest/gtest.h>

#include "small_grid.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;
using test::SmallGrid;

const std::vector<std::pair<http::Method, std::string>> writing_routes{
    {http::Method::post, "/users"},
    {http::Method::put, "/users/1"},
    {http::Method::post, "/users/1/validate"},
    {http::Method::post, "/farms"},
    {http::Method::put, "/farms/1"},
    {http::Method::post, "/farms/1/ip"},
    {http::Method::del, "/farms/1/ip"},
    {http::Method::post, "/nodes"},
    {http::Method::post, "/nodes/NODE/interfaces"},
    {http::Method::post, "/nodes/NODE/ports"},
    {http::Method::post, "/nodes/NODE/capacity"},
    {http::Method::post, "/nodes/NODE/uptime"},
    {http::Method::post, "/nodes/NODE/used_resources"},
    {http::Method::post, "/nodes/NODE/configure_public"},
    {http::Method::post, "/nodes/NODE/configure_free"},
    {http::Method::put, "/nodes/NODE/dedicated"},
    {http::Method::post, "/reservations/pools"},
    {http::Method::post, "/reservations/workloads"},
    {http::Method::post, "/reservations/workloads/1/sign/delete"},
    {http::Method::post, "/reservations/workloads/1/sign/provision"},
    {http::Method::post, "/reservations/convert"},
    {http::Method::post, "/farms/1/deals"},
    {http::Method::put, "/farms/1/deals"},
    {http::Method::put, "/reservations/nodes/NODE/workloads/1-1"},
};

class BadInputTest : public testing::Test {
protected:
    void SetUp() override
    {
        grid_.fill();
        ASSERT_EQ(grid_.create_volume(), 1);
    }
    http::Reply send(http::Method method, std::string target, const std::string& body)
    {
        const bool by_farmer =
            target.ends_with("public") || target.ends_with("free") || target.ends_with("dedicated");
        const bool by_node = !by_farmer && (target.starts_with("/nodes") ||
                                            target.starts_with("/reservations/nodes"));
        const bool by_customer =
            target == "/reservations/workloads" || target == "/reservations/convert";
        if (const auto at = target.find("NODE"); at != std::string::npos)
            target.replace(at, 4, grid_.node.key_id);
        const auto& signer = by_node ? grid_.node : by_customer ? grid_.customer : grid_.farmer;
        return grid_.send({.method = method, .target = "/api/v1" + target, .body = body}, signer);
    }
    SmallGrid grid_;
};

TEST_F(BadInputTest, BrokenJsonIsA400InTheFormOfTheGrid)
{
    const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
    for (const auto& [method, target] : writing_routes)
        for (const std::string body :
             {"", "{", "hello", "{\"a\":", "\xff\xfe", deep.c_str(), "[1"}) {
            const auto reply = send(method, target, body);
            EXPECT_EQ(reply.status, 400U) << target << ": " << body.substr(0, 20);
            EXPECT_EQ(reply.headers.get("Content-Type"), "application/json");
            EXPECT_TRUE(SmallGrid::json(reply).contains("error")) << reply.body;
        }
}

TEST_F(BadInputTest, WrongTypesAre400)
{
    const std::vector<std::pair<std::string, std::string>> cases{
        {"/users", R"({"name":5})"},
        {"/farms", R"({"name":"x","threebot_id":"7"})"},
        {"/nodes/NODE/uptime", R"({"uptime":-1})"},
        {"/nodes/NODE/uptime", R"({"uptime":"1"})"},
        {"/nodes/NODE/ports", R"({"ports":[-1]})"},
        {"/nodes/NODE/capacity", R"({"capacity":{"cru":4.5}})"},
        {"/nodes/NODE/used_resources", R"({"network":70000})"},
        {"/nodes/NODE/interfaces", R"([{"name":"x","addrs":["10.0.0.1"]}])"},
        {"/reservations/pools", R"({"data_reservation":{"cus":1.5}})"},
        {"/reservations/workloads", R"({"workload_type":"2"})"},
        {"/reservations/workloads", R"({"workload_type":12})"},
        {"/reservations/workloads", R"({"workload_type":2,"size":"1"})"},
    };
    for (const auto& [target, body] : cases) {
        const auto reply = send(http::Method::post, target, body);
        EXPECT_EQ(reply.status, 400U) << target << " " << body << " " << reply.body;
        EXPECT_TRUE(SmallGrid::json(reply).contains("error"));
    }
}

TEST_F(BadInputTest, OddPathsAndMethods)
{
    EXPECT_EQ(grid_.get("/nope").status, 404U);
    EXPECT_EQ(grid_.get("/farms/").status, 404U);
    EXPECT_EQ(grid_.del("/users").status, 405U);
    EXPECT_EQ(grid_.get("/farms/99999999999999999999").status, 400U);
    EXPECT_EQ(grid_.get("/users/abc").status, 400U);
    EXPECT_EQ(grid_.send({.target = "/api//v1/users"}).headers.get("Location"), "/api/v1/users");
    EXPECT_EQ(grid_.send({.target = "/api/v1/users/%00"}).status, 400U);
    EXPECT_EQ(grid_.get("/reservations/nodes/x/workloads").status, 404U) << "from is missing";
    EXPECT_EQ(grid_.get("/reservations/nodes/x/workloads?from=-1").status, 404U);
    EXPECT_EQ(grid_.get("/reservations/nodes/x/workloads?from=99999999999999999999").status, 400U);
    EXPECT_EQ(grid_.get("/users?size=-2").headers.get("Pages"), "1");
    EXPECT_EQ(grid_.get("/users?size=99999999999&page=99999999999999").body, "[]\n");
}

TEST_F(BadInputTest, StaleAndForgedSignaturesAre401)
{
    grid_.now += 301;
    http::Request stale{
        .method = http::Method::post,
        .target = "/api/v1/nodes/" + grid_.node.key_id + "/uptime",
        .body = R"({"uptime":1})"};
    test::sign(stale, grid_.node, grid_.now - 301);
    const auto refused = grid_.send(stale);
    EXPECT_EQ(refused.status, 401U);
    EXPECT_EQ(
        refused.headers.get("WWW-Authenticate"),
        "Signature headers=\"(created) date threebot-id\"");
    test::sign(stale, grid_.node, grid_.now);
    EXPECT_EQ(grid_.send(stale).status, 200U);
    test::sign(stale, {&grid_.farmer_identity, grid_.node.key_id}, grid_.now);
    EXPECT_EQ(grid_.send(stale).status, 401U);
    test::sign(stale, {&grid_.farmer_identity, "0"}, grid_.now);
    EXPECT_EQ(grid_.send(stale).status, 401U) << "user 0 is nobody";
}

TEST_F(BadInputTest, TheHeadAloneIsRefusedForItsSignature)
{
    const http::Peer peer{.address = "127.0.0.1"};
    const auto refused = [&](http::Method method,
                             const std::string& target,
                             const test::Signer& signer = {},
                             std::int64_t age = 0) {
        http::Request head{.method = method, .target = target};
        if (signer.identity != nullptr) test::sign(head, signer, grid_.now - age);
        const auto reply = run(grid_.loop, grid_.server->refuse_head(head, peer));
        return reply ? reply->status : 0U;
    };
    const auto uptime = "/api/v1/nodes/" + grid_.node.key_id + "/uptime";
    const auto result = "/api/v1/reservations/nodes/" + grid_.node.key_id + "/workloads/1-1";
    const auto create = std::string{"/explorer/reservations/workloads"};
    const auto post = http::Method::post;
    EXPECT_EQ(refused(post, uptime), 401U);
    EXPECT_EQ(refused(post, uptime, {&grid_.node_identity, "no key"}), 401U);
    EXPECT_EQ(refused(post, uptime, grid_.node, 301), 401U);
    EXPECT_EQ(refused(post, uptime, grid_.node), 0U);
    EXPECT_EQ(refused(http::Method::put, result), 401U);
    EXPECT_EQ(refused(http::Method::put, result, grid_.node), 0U);
    EXPECT_EQ(refused(post, create, {&grid_.customer_identity, "4711"}), 401U);
    EXPECT_EQ(refused(post, create, grid_.customer), 0U);
    EXPECT_EQ(refused(post, "/api/v1/farms"), 401U);
    EXPECT_EQ(refused(post, "/api/v1/users"), 0U) << "nobody has a key yet";
    EXPECT_EQ(refused(post, "/api/v1/nope"), 0U) << "the handler's to say";
    EXPECT_EQ(refused(http::Method::put, "/customer/web.flist"), 0U) << "no hub here";
}

TEST_F(BadInputTest, ForeignHostNamesAreRefused)
{
    http::Request request{.target = "/api/v1/prices"};
    for (const auto* host : {"127.0.0.1:8080", "[::1]:80", "localhost", "LOCALHOST:1"}) {
        request.headers.set("Host", host);
        EXPECT_EQ(grid_.send(request).status, 200U) << host;
    }
    request.headers.set("Host", "evil.example:8080");
    EXPECT_EQ(grid_.send(request).status, 421U);
}

TEST_F(BadInputTest, OneAddressCannotTakeItAll)
{
    explorer_server::Options options;
    options.requests_per_second = 0.001;
    options.burst = 3;
    SmallGrid slow{options};
    unsigned last = 0;
    for (int i = 0; i < 4; ++i) last = slow.get("/prices").status;
    EXPECT_EQ(last, 429U);
}

}  // namespace
}  // namespace znode::explorer_server
