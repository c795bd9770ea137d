#include <gtest/gtest.h>

#include "rate_limit.hpp"
#include "small_grid.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;
using test::SmallGrid;
using namespace std::chrono_literals;

TEST(UsersTest, NamesAreUniqueAndAddressesHidden)
{
    SmallGrid grid;
    EXPECT_EQ(grid.add_user("alice", grid.customer_identity), 1);
    const Json twice{{"name", "alice"}, {"email", "b@x"}, {"pubkey", std::string(64, 'a')}};
    EXPECT_EQ(grid.post("/users", twice.dump()).status, 409U);

    EXPECT_EQ(SmallGrid::json(grid.get("/users/1")).at("email"), "");
    grid.customer.key_id = "1";
    EXPECT_EQ(
        SmallGrid::json(grid.get("/users/1", grid.customer)).at("email"), "alice@example.com");
    const auto list = grid.get("/users?name=alice");
    EXPECT_EQ(list.headers.get("Pages"), "1");
    EXPECT_EQ(SmallGrid::json(list).size(), 1U);
    EXPECT_EQ(grid.get("/users?name=bob").body, "[]\n");
    EXPECT_EQ(grid.get("/users/0").status, 404U) << "nobody, and not the first one";
}

TEST(UsersTest, UpdateNeedsTheUsersSignature)
{
    SmallGrid grid;
    (void)grid.add_user("alice", grid.customer_identity);
    const auto text = std::string{"1"} + "new@example.com";
    const Json good{
        {"email", "new@example.com"},
        {"sender_signature_hex", grid.customer_identity.sign_hex(text)}};
    const Json bad{
        {"email", "new@example.com"},
        {"sender_signature_hex", grid.farmer_identity.sign_hex(text)}};
    EXPECT_EQ(grid.put("/users/1", bad.dump()).status, 400U);
    EXPECT_EQ(grid.put("/users/1", good.dump()).status, 200U);
}

TEST(FarmsTest, OnlyTheOwnerRegistersAndChangesAFarm)
{
    SmallGrid grid;
    grid.fill();
    const Json farm{
        {"name", "other"},
        {"threebot_id", std::stoll(grid.farmer.key_id)},
        {"wallet_addresses", {{{"asset", "TFT"}, {"address", "G"}}}}};
    EXPECT_EQ(grid.post("/farms", farm.dump()).status, 401U);
    EXPECT_EQ(grid.post("/farms", farm.dump(), grid.customer).status, 403U);
    EXPECT_EQ(grid.put("/farms/1", farm.dump(), grid.customer).status, 404U);
    EXPECT_EQ(grid.put("/farms/1", farm.dump(), grid.farmer).status, 200U);
    EXPECT_EQ(SmallGrid::json(grid.get("/farms?name=other")).size(), 1U);
    EXPECT_EQ(SmallGrid::json(grid.get("/farms?owner=" + grid.farmer.key_id)).size(), 1U);
}

TEST(FarmsTest, AddressesComeAndGo)
{
    SmallGrid grid;
    grid.fill();
    const std::string one = R"([{"address":"185.1.2.3/24","gateway":"185.1.2.1"}])";
    EXPECT_EQ(grid.post("/farms/1/ip", one, grid.farmer).status, 200U);
    EXPECT_EQ(grid.post("/farms/1/ip", one, grid.farmer).status, 200U);
    EXPECT_EQ(SmallGrid::json(grid.get("/farms/1")).at("ipaddresses").size(), 1U);
    http::Request remove{.method = http::Method::del, .target = "/api/v1/farms/1/ip"};
    remove.body = R"(["185.1.2.3/24"])";
    EXPECT_EQ(grid.send(remove, grid.farmer).status, 200U);
    EXPECT_EQ(SmallGrid::json(grid.get("/farms/1")).at("ipaddresses").size(), 0U);
}

TEST(NodesTest, ReportsAreStoredAndNobodyReportsForOthers)
{
    SmallGrid grid;
    grid.fill();
    const auto path = "/nodes/" + grid.node.key_id;
    const auto ok = [&](const char* what, const char* body, unsigned status) {
        EXPECT_EQ(grid.post(path + what, body).status, 401U) << what;
        EXPECT_EQ(grid.post(path + what, body, grid.farmer).status, 401U) << what;
        EXPECT_EQ(grid.post(path + what, body, grid.node).status, status) << what;
    };
    ok("/interfaces", R"([{"name":"zos","addrs":["192.168.1.20/24"],"gateway":null}])", 201);
    ok("/ports", R"({"ports":[9943]})", 200);
    ok("/capacity", R"({"capacity":{"cru":8,"mru":32,"hru":100.5,"sru":931}})", 200);
    ok("/used_resources", R"({"cru":2,"mru":6,"sru":140.25,"container":1})", 200);
    grid.now += 100;
    ok("/uptime", R"({"uptime":3600})", 200);

    const auto node = SmallGrid::json(grid.get(path));
    EXPECT_EQ(node.at("updated"), grid.now);
    EXPECT_EQ(node.at("uptime"), 3600);
    EXPECT_EQ(node.at("wg_ports"), Json::array({9943}));
    EXPECT_EQ(node.at("total_resources").at("hru"), 100.5);
    EXPECT_EQ(node.at("reserved_resources").at("cru"), 2);
    EXPECT_EQ(node.at("workloads").at("container"), 1);
    EXPECT_EQ(node.at("ifaces").at(0).at("addrs").at(0), "192.168.1.20/24");
    EXPECT_EQ(SmallGrid::json(grid.get("/nodes?cru=8&country=Austria")).size(), 1U);
    EXPECT_EQ(SmallGrid::json(grid.get("/nodes?cru=9")).size(), 0U);
}

TEST(NodesTest, FirstRegistrationBringsNoPrivileges)
{
    SmallGrid grid;
    grid.fill();
    const auto other = test::identity_of(0x90);
    const test::Signer signer{&other, other.node_id()};
    const Json greedy{
        {"node_id", other.node_id()},
        {"farm_id", 1},
        {"os_version", "1"},
        {"public_key_hex", other.public_key_hex()},
        {"location", {{"country", "Austria"}}},
        {"total_resources", {{"cru", 64}}},
        {"free_to_use", true},
        {"approved", true}};
    EXPECT_EQ(grid.post("/nodes", greedy.dump(), signer).status, 201U);
    const auto node = SmallGrid::json(grid.get("/nodes/" + other.node_id()));
    EXPECT_EQ(node.at("total_resources").at("cru"), 0);
    EXPECT_EQ(node.at("free_to_use"), false);
    EXPECT_EQ(node.at("approved"), false);
}

TEST(NodesTest, PublicConfigIsTheFarmers)
{
    SmallGrid grid;
    grid.fill();
    const auto path = "/nodes/" + grid.node.key_id + "/configure_public";
    const std::string config =
        R"({"master":"eth1","type":0,"ipv4":"185.69.166.5/24","ipv6":"2a02::5/64",)"
        R"("gw4":"185.69.166.1","gw6":"fe80::1","version":0})";
    EXPECT_EQ(grid.post(path, config, grid.customer).status, 403U);
    EXPECT_EQ(grid.post(path, config, grid.farmer).status, 201U);
    EXPECT_EQ(grid.post(path, config, grid.farmer).status, 201U);
    const auto node = SmallGrid::json(grid.get("/nodes/" + grid.node.key_id));
    EXPECT_EQ(node.at("public_config").at("version"), 2);
}

TEST(PoolsTest, ExtensionAddsAndNothingCosts)
{
    SmallGrid grid;
    grid.fill(1000, 2000);
    const auto made =
        SmallGrid::json(grid.post("/reservations/pools", grid.pool_request(grid.pool, 500, 0)));
    EXPECT_EQ(made.at("escrow_information").at("amount"), 0);
    EXPECT_NE(made.at("escrow_information").at("address"), "");
    const auto pool = SmallGrid::json(grid.get("/reservations/pools/1"));
    EXPECT_EQ(pool.at("cus"), 1500);
    EXPECT_EQ(pool.at("sus"), 2000);
    EXPECT_EQ(pool.at("empty_at"), INT64_MAX);
    const auto payment = SmallGrid::json(grid.get("/reservations/pools/payment/2"));
    EXPECT_EQ(payment.at("paid"), true);
    EXPECT_EQ(payment.at("released"), true);
    EXPECT_EQ(
        SmallGrid::json(grid.get("/reservations/pools/owner/" + grid.customer.key_id)).size(), 1U);
    EXPECT_EQ(grid.post("/reservations/pools", grid.pool_request(77, 1, 0)).status, 500U);
}

TEST(HubTest, PublishesOnlyUnderOnesOwnName)
{
    Options options;
    test::TempFolder hub;
    options.hub = hub.path();
    SmallGrid grid{options};
    grid.fill();
    http::Request put{.method = http::Method::put, .target = "/customer/web.flist"};
    put.body = "not really a flist";
    EXPECT_EQ(grid.send(put).status, 401U);
    EXPECT_EQ(grid.send(put, grid.farmer).status, 403U);
    EXPECT_EQ(grid.send(put, grid.customer).status, 201U);
    EXPECT_EQ(grid.send({.target = "/customer/web.flist"}).body, put.body);
    EXPECT_EQ(
        grid.send({.target = "/customer/web.flist.md5"}).body,
        "fe85c7c5f4a8dab6a3dca0b4d33f1bd2\n");
    for (const auto* wrong : {"/../web.flist", "/customer/..%2fx.flist", "/customer/nope.flist"})
        EXPECT_EQ(grid.send({.target = wrong}).status, 404U) << wrong;
}

TEST(RateLimitTest, BucketsFillWithTimeAndAreForgotten)
{
    RateLimit limit{10, 2};
    const RateLimit::Time start{};
    EXPECT_TRUE(limit.allow("a", start));
    EXPECT_TRUE(limit.allow("a", start));
    EXPECT_FALSE(limit.allow("a", start));
    EXPECT_TRUE(limit.allow("b", start));
    EXPECT_TRUE(limit.allow("a", start + 100ms));
    for (std::size_t i = 0; i < 2 * RateLimit::most_addresses; ++i)
        (void)limit.allow(std::to_string(i), start + 1h);
    EXPECT_LE(limit.addresses(), RateLimit::most_addresses);
}

}  // namespace
}  // namespace znode::explorer_server
