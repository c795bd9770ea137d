// Each endpoint once with what it is for, below both prefixes.
#include "small_grid.hpp"

namespace znode::explorer_server {
namespace {

using grid::ResultState;
using http::Method;
using test::Json;
using test::Signer;

class EndpointTest : public testing::TestWithParam<const char*> {
protected:
    EndpointTest()
    {
        Options options;
        options.hub = hub_.path();
        grid_.emplace(options);
        grid_->fill();
        farmer_ = grid_->farmer;
        customer_ = grid_->customer;
        node_ = grid_->node;
    }
    http::Reply ask(
        Method method, const std::string& path, std::string body = {}, const Signer& signer = {})
    {
        return grid_->send(
            {.method = method, .target = GetParam() + path, .body = std::move(body)}, signer);
    }
    Json got(const std::string& path, const Signer& signer = {})
    {
        const auto reply = ask(Method::get, path, {}, signer);
        EXPECT_EQ(reply.status, 200U) << path << ": " << reply.body;
        return test::SmallGrid::json(reply);
    }
    void good(
        unsigned status,
        Method method,
        const std::string& path,
        const Json& body = nullptr,
        const Signer& signer = {})
    {
        const auto reply = ask(method, path, body.is_null() ? "" : body.dump(), signer);
        EXPECT_EQ(reply.status, status) << path << ": " << reply.body;
    }

    test::TempFolder hub_;
    std::optional<test::SmallGrid> grid_;
    Signer farmer_, customer_, node_;
};

TEST_P(EndpointTest, Users)
{
    const auto third = test::identity_of(0xA0);
    good(
        201,
        Method::post,
        "/users",
        {{"name", "third"}, {"email", "t@x"}, {"pubkey", third.public_key_hex()}});
    EXPECT_EQ(got("/users").size(), 3U);
    EXPECT_EQ(got("/users?name=third").at(0).at("id"), 3);
    EXPECT_EQ(got("/users/3").at("name"), "third");
    good(
        200,
        Method::put,
        "/users/3",
        {{"host", "h"}, {"sender_signature_hex", third.sign_hex("3h")}});
    EXPECT_EQ(got("/users/3").at("host"), "h");
    const auto asked =
        ask(Method::post,
            "/users/3/validate",
            Json{{"payload", "6162"}, {"signature", third.sign_hex("ab")}}.dump());
    EXPECT_EQ(asked.body, "{\"is_valid\":true}\n");
}

TEST_P(EndpointTest, Farms)
{
    const auto owner = std::stoll(farmer_.key_id);
    Json farm{
        {"name", "second"},
        {"threebot_id", owner},
        {"wallet_addresses", {{{"asset", "TFT"}, {"address", "G"}}}}};
    good(201, Method::post, "/farms", farm, farmer_);
    EXPECT_EQ(got("/farms").size(), 2U);
    farm["email"] = "farm@example.org";
    good(200, Method::put, "/farms/2", farm, farmer_);
    EXPECT_EQ(got("/farms/2", farmer_).at("email"), "farm@example.org");
    EXPECT_EQ(got("/farms/2").at("email"), "");
    const Json ip{{"address", "185.1.2.3/24"}, {"gateway", "185.1.2.1"}};
    good(200, Method::post, "/farms/2/ip", Json::array({ip}), farmer_);
    EXPECT_EQ(got("/farms/2").at("ipaddresses").size(), 1U);
    good(200, Method::del, "/farms/2/ip", Json::array({"185.1.2.3/24"}), farmer_);
    EXPECT_EQ(got("/farms/2").at("ipaddresses").size(), 0U);

    good(403, Method::del, "/farms/2/" + node_.key_id, nullptr, farmer_);
    good(200, Method::del, "/farms/1/" + node_.key_id, nullptr, farmer_);
    EXPECT_EQ(got("/nodes").size(), 0U);
    EXPECT_EQ(got("/nodes?deleted=true").size(), 1U);
}

TEST_P(EndpointTest, DealsAndPricesBelongToTheLaterEra)
{
    const bool later = std::string{GetParam()} == "/api/v1";
    EXPECT_EQ(ask(Method::get, "/prices").status, later ? 200U : 404U);
    const auto customer = std::stoll(customer_.key_id);
    const auto deal = [&](double cu) {
        return Json{
            {"threebot_id", customer},
            {"farm_id", 1},
            {"custom_cloudunits_price", {{"currency", 1}, {"cu", cu}, {"su", 2}}}};
    };
    if (!later) return good(405, Method::post, "/farms/1/deals", deal(5), farmer_);
    good(200, Method::post, "/farms/1/deals", deal(5), farmer_);
    good(200, Method::put, "/farms/1/deals", deal(6), farmer_);
    const auto his = "/farms/1/deals/" + customer_.key_id;
    EXPECT_EQ(got("/farms/1/deals", farmer_).size(), 1U);
    EXPECT_EQ(got(his, customer_).at("custom_cloudunits_price").at("cu"), 6);
    good(400, Method::get, his);
    good(401, Method::put, "/farms/1/deals", deal(0));
    good(404, Method::put, "/farms/1/deals", deal(0), customer_);
    good(200, Method::del, his, nullptr, farmer_);
    EXPECT_EQ(got("/farms/1/deals", customer_).size(), 0U);
}

TEST_P(EndpointTest, NodesSayWhatTheyAreAndFarmersWhatTheyAreFor)
{
    const auto path = "/nodes/" + node_.key_id;
    const Json registration{
        {"node_id", node_.key_id},
        {"farm_id", 1},
        {"os_version", "2"},
        {"public_key_hex", node_.identity->public_key_hex()},
        {"location", {{"city", "Salzburg"}}}};
    good(201, Method::post, "/nodes", registration, node_);
    good(201, Method::post, path + "/interfaces", Json::array(), node_);
    good(200, Method::post, path + "/ports", {{"ports", {9943}}}, node_);
    good(200, Method::post, path + "/capacity", {{"capacity", {{"cru", 8}}}}, node_);
    good(200, Method::post, path + "/uptime", {{"uptime", 60}}, node_);
    good(200, Method::post, path + "/used_resources", {{"cru", 1}}, node_);
    good(200, Method::post, path + "/configure_free", {{"free_to_use", true}}, farmer_);
    good(
        201,
        Method::post,
        path + "/configure_public",
        {{"master", "eth1"},
         {"ipv4", "185.69.166.5/24"},
         {"ipv6", "2a02::5/64"},
         {"gw4", "185.69.166.1"},
         {"gw6", "fe80::1"}},
        farmer_);
    good(403, Method::put, path + "/dedicated", {{"user_id", 1}}, customer_);
    good(404, Method::put, path + "/dedicated", {{"user_id", 77}}, farmer_);
    good(200, Method::put, path + "/dedicated", {{"user_id", 1}}, farmer_);

    const auto node = got(path);
    EXPECT_EQ(node.at("os_version"), "2");
    EXPECT_EQ(node.at("total_resources").at("cru"), 8);
    EXPECT_EQ(node.at("reserved_resources").at("cru"), 1);
    EXPECT_EQ(node.at("free_to_use"), true);
    EXPECT_EQ(node.at("public_config").at("master"), "eth1");
    EXPECT_EQ(node.at("dedicated"), 1);
    EXPECT_EQ(got("/nodes?city=Salzburg&proofs=true").at(0).at("proofs").size(), 1U);
    const auto refused = grid_->create(grid_->volume());
    EXPECT_EQ(refused.status, 401U) << "it is the farmer's alone: " << refused.body;
}

TEST_P(EndpointTest, Gateways)
{
    const auto identity = test::identity_of(0xB0);
    const Signer gateway{&identity, identity.node_id()};
    const auto path = "/gateways/" + gateway.key_id;
    const Json registration{
        {"node_id", gateway.key_id},
        {"farm_id", 1},
        {"os_version", "1"},
        {"public_key_hex", identity.public_key_hex()},
        {"location", {{"country", "Austria"}}},
        {"dns_nameserver", {"ns.example.org"}},
        {"tcp_router_port", 18000}};
    good(401, Method::post, "/gateways", registration);
    good(403, Method::post, "/gateways", registration, node_);
    good(201, Method::post, "/gateways", registration, gateway);
    auto with_domain = registration;
    with_domain["managed_domains"] = Json::array({"example.org"});
    good(403, Method::post, "/gateways", with_domain, gateway);
    with_domain["managed_domains"] = Json::array({"-no name-"});
    good(400, Method::post, "/gateways", with_domain, gateway);
    grid_->now += 50;
    good(403, Method::post, path + "/uptime", {{"uptime", 60}}, node_);
    good(200, Method::post, path + "/uptime", {{"uptime", 60}}, gateway);
    good(200, Method::post, path + "/reserved_resources", {{"proxy", 3}}, gateway);

    const auto shown = got(path);
    EXPECT_EQ(shown.at("uptime"), 60);
    EXPECT_EQ(shown.at("updated"), grid_->now);
    EXPECT_EQ(shown.at("workloads").at("proxy"), 3);
    EXPECT_EQ(got("/gateways?farm_id=1&country=Austria").size(), 1U);
    EXPECT_EQ(got("/gateways?farm_id=2").size(), 0U);
    good(404, Method::get, "/gateways/nobody");
}

TEST_P(EndpointTest, Pools)
{
    const auto made = ask(Method::post, "/reservations/pools", grid_->pool_request(0, 1000, 2000));
    ASSERT_EQ(made.status, 201U) << made.body;
    EXPECT_EQ(got("/reservations/pools/2").at("cus"), 1000);
    EXPECT_EQ(got("/reservations/pools/owner/" + customer_.key_id).size(), 2U);
    EXPECT_EQ(got("/reservations/pools/payment/2").at("paid"), true);
}

TEST_P(EndpointTest, WorkloadsAlsoUnderTheNameThatALibraryAsksFor)
{
    for (const std::string list : {"/reservations/workloads", "/workloads"}) {
        auto order = grid_->volume();
        order.signing_request_provision = {
            .signers = {std::stoll(farmer_.key_id)}, .quorum_min = 1};
        order.customer_signature = customer_.identity->sign_hex(grid::create_message(order));
        const auto made = ask(Method::post, list, grid::to_json(order), customer_);
        ASSERT_EQ(made.status, 201U) << made.body;
        const auto id = test::SmallGrid::json(made).at("reservation_id").get<std::int64_t>();
        const auto one = list + "/" + std::to_string(id);
        const auto document = *grid::from_json<grid::Workload>(got(one).dump());
        const auto sign = [&](const Signer& who, const std::string& message) {
            return Json{
                {"tid", std::stoll(who.key_id)}, {"signature", who.identity->sign_hex(message)}};
        };
        good(
            201,
            Method::post,
            one + "/sign/provision",
            sign(farmer_, grid::provision_message(document, std::stoll(farmer_.key_id))));
        EXPECT_EQ(got(list + "?next_action=3&customer_tid=" + customer_.key_id).size(), 1U);

        const auto gwid = std::to_string(id) + "-1";
        const auto told = "/reservations/nodes/" + node_.key_id + "/workloads";
        EXPECT_EQ(got(told + "?from=0").at(0).at("id"), id);
        const auto body = Json::parse(grid_->result_body(gwid, ResultState::ok));
        good(201, Method::put, told + "/" + gwid, body, node_);
        EXPECT_EQ(got("/reservations/nodes/workloads/" + gwid).at("result").at("state"), 1);
        good(
            201,
            Method::post,
            one + "/sign/delete",
            sign(customer_, grid::delete_message(document, std::stoll(customer_.key_id))));
        good(200, Method::del, told + "/" + gwid, nullptr, node_);
        EXPECT_EQ(got(one).at("next_action"), 6);
    }
}

TEST_P(EndpointTest, ConversionBelongsToTheLaterEra)
{
    const bool later = std::string{GetParam()} == "/api/v1";
    const auto path = "/reservations/convert";
    EXPECT_EQ(ask(Method::get, path, {}, customer_).status, later ? 200U : 404U);
    good(later ? 400 : 404, Method::post, path, Json::array(), customer_);
}

TEST_P(EndpointTest, TheHubIsBelowNoPrefix)
{
    http::Request put{.method = Method::put, .target = "/customer/web.flist", .body = "flist"};
    EXPECT_EQ(grid_->send(put, customer_).status, 201U);
    EXPECT_EQ(grid_->send({.target = "/api/flist"}).status, 200U);
    const auto list = test::SmallGrid::json(grid_->send({.target = "/api/flist/customer"}));
    EXPECT_EQ(list.at(0).at("name"), "web.flist");
    const auto light = grid_->send({.target = "/api/flist/customer/web.flist/light"});
    EXPECT_EQ(test::SmallGrid::json(light).at("size"), 5);
    EXPECT_EQ(grid_->send({.method = Method::head, .target = "/customer/web.flist"}).status, 200U);
    EXPECT_EQ(ask(Method::get, "/customer/web.flist").status, 404U);
}

INSTANTIATE_TEST_SUITE_P(
    BothPrefixes, EndpointTest, testing::Values("/api/v1", "/explorer"), [](const auto& info) {
        return std::string{info.param == std::string_view{"/api/v1"} ? "Later" : "First"};
    });

}  // namespace
}  // namespace znode::explorer_server
