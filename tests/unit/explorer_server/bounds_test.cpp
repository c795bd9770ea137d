// What one customer, node or stranger sends must not become too much for everybody.
#include "explorer_server/accounting.hpp"
#include "rate_limit.hpp"
#include "reservation_fixture.hpp"
#include "store/database.hpp"

namespace znode::explorer_server {
namespace {

using test::SmallGrid;

class BoundsTest : public testing::Test {
protected:
    void SetUp() override { grid_.fill(); }
    void add_address(const std::string& address)
    {
        const auto body = R"([{"address":")" + address + R"(","gateway":"185.1.2.1"}])";
        ASSERT_EQ(grid_.post("/farms/1/ip", body, grid_.farmer).status, 200U);
    }
    grid::Workload address_order(const std::string& address) const
    {
        auto order = grid_.volume();
        order.workload_type = grid::WorkloadType::public_ip;
        order.data = grid::PublicIp{*grid::IpRange::parse(address)};
        return order;
    }
    /// For addresses, which the pool has no units for.
    void credit_pool()
    {
        auto credit = Json::parse(grid_.pool_request(grid_.pool, 0, 0));
        credit["data_reservation"]["ipv4us"] = 1'000'000;
        credit["json"] = credit["data_reservation"].dump();
        credit["customer_signature"] =
            grid_.customer_identity.sign_hex(credit["json"].get<std::string>());
        ASSERT_EQ(grid_.post("/reservations/pools", credit.dump()).status, 201U);
    }
    /// Addresses of a farm whose texts are as long as they get.
    static Json long_addresses(int count)
    {
        Json list = Json::array();
        for (int i = 0; i < count; ++i)
            list.push_back(
                {{"address",
                  "200.100." + std::to_string(100 + i / 100) + "." + std::to_string(100 + i % 100) +
                      "/32"},
                 {"gateway", "200.100.100.100"}});
        return list;
    }
    std::int64_t holder_of_address()
    {
        return SmallGrid::json(grid_.get("/farms/1"))
            .at("ipaddresses")
            .at(0)
            .at("reservation_id")
            .get<std::int64_t>();
    }
    SmallGrid grid_;
};

TEST_F(BoundsTest, WhatGrowsTooLargeByEscapingIsRefusedAndHarmsNoPage)
{
    ASSERT_EQ(grid_.create_volume(), 1);
    auto large = grid_.volume();
    large.description = std::string(1'200'000, '<');
    const auto reply = grid_.create(large);
    EXPECT_EQ(reply.status, 400U) << reply.body;
    EXPECT_EQ(SmallGrid::json(grid_.poll(0)).size(), 1U);
}

TEST_F(BoundsTest, ALongAddressOfAUserIsRefused)
{
    const Json body{
        {"name", "long"},
        {"email", std::string(1'500'000, '<')},
        {"pubkey", grid_.customer_identity.public_key_hex()}};
    EXPECT_EQ(grid_.post("/users", body.dump()).status, 400U);
}

TEST_F(BoundsTest, APageOfWorkEndsByItsSizeAndTheCursorWithIt)
{
    for (int i = 0; i < 12; ++i) {
        auto order = grid_.volume();
        order.description = std::string(std::size_t{500} << 10U, 'x');
        ASSERT_EQ(grid_.create(order).status, 201U);
    }
    const auto first = grid_.poll(0);
    EXPECT_LT(first.body.size(), std::size_t{5} << 20U);
    const auto told = SmallGrid::json(first).size();
    EXPECT_LT(told, 12U);
    EXPECT_EQ(first.headers.get("x-last-id"), std::to_string(told));
    const auto rest = grid_.poll(static_cast<std::int64_t>(told) + 1);
    EXPECT_EQ(SmallGrid::json(rest).size(), 12U - told);
    EXPECT_EQ(rest.headers.get("x-last-id"), "12");
}

TEST_F(BoundsTest, APageOfAListThatIsTooLargeIsRefusedAndASmallerOneIsWhole)
{
    for (int i = 0; i < 70; ++i) {
        auto order = grid_.volume();
        order.description = std::string(std::size_t{500} << 10U, 'x');
        ASSERT_EQ(grid_.create(order).status, 201U);
    }
    const auto refused = grid_.get("/reservations/workloads?customer_tid=" + grid_.customer.key_id);
    EXPECT_EQ(refused.status, 413U);
    EXPECT_EQ(grid_.get("/reservations/workloads?size=100").status, 413U);
    EXPECT_NE(refused.body.find("smaller page size"), std::string::npos);
    const auto page = grid_.get("/reservations/workloads?size=10");
    EXPECT_EQ(page.status, 200U);
    EXPECT_EQ(SmallGrid::json(page).size(), 10U);
    EXPECT_EQ(page.headers.get("Pages"), "7");
}

TEST_F(BoundsTest, LargeOrdersAreLeftOutOfEverybodysListAlone)
{
    ASSERT_EQ(grid_.create_volume(), 1);
    auto large = grid_.volume();
    large.description = std::string(std::size_t{330} << 10U, 'x');
    ASSERT_EQ(grid_.create(large).status, 201U);
    const auto listed = [&](const std::string& query) {
        return SmallGrid::json(grid_.get("/reservations/workloads" + query)).size();
    };
    EXPECT_EQ(listed(""), 1U);
    EXPECT_EQ(listed("?next_action=3"), 1U);
    EXPECT_EQ(listed("?size=10"), 2U);
    EXPECT_EQ(listed("?customer_tid=" + grid_.customer.key_id), 2U);
    EXPECT_EQ(grid_.workload(2).at("id"), 2) << "visible by its id";
}

TEST_F(BoundsTest, TheOldestProofsOfANodeGoWhenAllAreTooLarge)
{
    const auto path = "/nodes/" + grid_.node.key_id + "/capacity";
    for (const char c : {'a', 'b', 'c'}) {
        const Json capacity{
            {"capacity", {{"cru", 8}}}, {"hypervisor", Json::array({std::string(120'000, c)})}};
        ASSERT_EQ(grid_.post(path, capacity.dump(), grid_.node).status, 200U);
    }
    const auto proofs = SmallGrid::json(grid_.get("/nodes?proofs=true")).at(0).at("proofs");
    ASSERT_EQ(proofs.size(), 2U);
    EXPECT_EQ(proofs.at(1).at("hypervisor").at(0), std::string(120'000, 'c'));
    const Json too_large{
        {"capacity", {{"cru", 8}}}, {"hypervisor", Json::array({std::string(270'000, 'd')})}};
    EXPECT_EQ(grid_.post(path, too_large.dump(), grid_.node).status, 400U);
}

TEST_F(BoundsTest, PoolsComeInPagesForWhoAsksForASize)
{
    ASSERT_EQ(grid_.post("/reservations/pools", grid_.pool_request(0, 1, 1)).status, 201U);
    const auto path = "/reservations/pools/owner/" + grid_.customer.key_id;
    EXPECT_EQ(SmallGrid::json(grid_.get(path + "?page=1")).size(), 2U);
    const auto second = grid_.get(path + "?page=2&size=1");
    ASSERT_EQ(SmallGrid::json(second).size(), 1U);
    EXPECT_EQ(SmallGrid::json(second).at(0).at("pool_id"), 2);
    EXPECT_EQ(second.headers.get("Pages"), "2");
}

TEST_F(BoundsTest, NodesAndFarmsSayLittleOfThemselves)
{
    const auto path = "/nodes/" + grid_.node.key_id;
    const auto registered_as = [&](const std::string& hostname) {
        const Json registration{
            {"node_id", grid_.node.key_id},
            {"hostname", hostname},
            {"farm_id", 1},
            {"os_version", "1"},
            {"public_key_hex", grid_.node_identity.public_key_hex()},
            {"location", {{"country", "Austria"}}}};
        return grid_.post("/nodes", registration.dump(), grid_.node).status;
    };
    EXPECT_EQ(registered_as(std::string(70'000, 'x')), 400U);
    EXPECT_EQ(registered_as("host"), 201U);
    Json ports;
    ports["ports"] = Json::array();
    for (int i = 0; i < 20'000; ++i) ports["ports"].push_back(10'000);
    EXPECT_EQ(grid_.post(path + "/ports", ports.dump(), grid_.node).status, 400U);
    // Proofs are something else.
    const Json capacity{
        {"capacity", {{"cru", 8}}}, {"hypervisor", Json::array({std::string(200'000, 'x')})}};
    EXPECT_EQ(grid_.post(path + "/capacity", capacity.dump(), grid_.node).status, 200U);
    EXPECT_EQ(grid_.post(path + "/uptime", R"({"uptime":60})", grid_.node).status, 200U);

    const Json farm{
        {"name", "farm"},
        {"threebot_id", std::stoll(grid_.farmer.key_id)},
        {"iyo_organization", std::string(70'000, 'x')},
        {"wallet_addresses", {{{"asset", "TFT"}, {"address", "G"}}}}};
    EXPECT_EQ(grid_.put("/farms/1", farm.dump(), grid_.farmer).status, 400U);
}

TEST_F(BoundsTest, AnAddressIsTakenWhenItsWorkloadStartsAndGivenBackWhereItIs)
{
    credit_pool();
    add_address("185.1.2.3/24");
    auto waiting = address_order("185.1.2.3/24");
    waiting.signing_request_provision = {
        .signers = {std::stoll(grid_.farmer.key_id)}, .quorum_min = 1};
    ASSERT_EQ(grid_.create(waiting).status, 201U);
    EXPECT_EQ(holder_of_address(), 0) << "nobody may ever consent";
    const auto started = grid_.create(address_order("185.1.2.3/24"));
    ASSERT_EQ(started.status, 201U) << started.body;
    EXPECT_EQ(holder_of_address(), 2);

    const Json farm{
        {"name", "other"},
        {"threebot_id", std::stoll(grid_.farmer.key_id)},
        {"wallet_addresses", {{{"asset", "TFT"}, {"address", "G"}}}}};
    ASSERT_EQ(grid_.post("/farms", farm.dump(), grid_.farmer).status, 201U);
    const Json moved{
        {"node_id", grid_.node.key_id},
        {"farm_id", 2},
        {"os_version", "1"},
        {"public_key_hex", grid_.node_identity.public_key_hex()},
        {"location", {{"country", "Austria"}}}};
    ASSERT_EQ(grid_.post("/nodes", moved.dump(), grid_.node).status, 201U);
    EXPECT_EQ(grid_.report(2, grid::ResultState::error).status, 201U);
    EXPECT_EQ(holder_of_address(), 0) << "its node is another farm's by now";
}

TEST_F(BoundsTest, AFarmHasAsManyAddressesAsCanAllBeTaken)
{
    const auto add = [&](int count) {
        return grid_.post("/farms/1/ip", long_addresses(count).dump(), grid_.farmer);
    };
    const auto refused = add(3400);
    EXPECT_EQ(refused.status, 400U);
    EXPECT_NE(refused.body.find("all its addresses taken"), std::string::npos) << refused.body;
    EXPECT_EQ(add(3300).status, 200U);
    EXPECT_EQ(add(3300).status, 200U) << "nothing new";
    EXPECT_EQ(SmallGrid::json(grid_.get("/farms/1")).at("ipaddresses").size(), 3300U);

    auto farm = SmallGrid::json(grid_.get("/farms/1"));
    farm["ipaddresses"] = Json::array();
    EXPECT_EQ(grid_.put("/farms/1", farm.dump(), grid_.farmer).status, 200U);
    farm["iyo_organization"] = std::string(60'000, 'x');
    EXPECT_EQ(grid_.put("/farms/1", farm.dump(), grid_.farmer).status, 400U)
        << "with its addresses it would be too large";
}

TEST_F(BoundsTest, AddressesOfALargeFarmOfAFormerVersionStayUsable)
{
    credit_pool();
    add_address("185.1.2.3/24");
    auto farm = SmallGrid::json(grid_.get("/farms/1"));
    for (auto& address : long_addresses(5000)) {
        address["reservation_id"] = 0;
        farm["ipaddresses"].push_back(std::move(address));
    }
    grid_.close();
    {
        auto database = store::Database::open(grid_.options.data / "explorer.db");
        ASSERT_TRUE(database) << database.error().message;
        ASSERT_TRUE(database->run("UPDATE farm SET document = ? WHERE id = 1", {farm.dump()}));
    }
    grid_.open();

    const auto ordered = grid_.create(address_order("185.1.2.3/24"));
    ASSERT_EQ(ordered.status, 201U) << ordered.body;
    EXPECT_EQ(holder_of_address(), 1);
    EXPECT_EQ(grid_.report(1, grid::ResultState::error).status, 201U);
    EXPECT_EQ(holder_of_address(), 0);
    http::Request removal{
        .method = http::Method::del, .target = "/api/v1/farms/1/ip", .body = R"(["185.1.2.3/24"])"};
    EXPECT_EQ(grid_.send(removal, grid_.farmer).status, 200U);
    const std::string more = R"([{"address":"185.1.2.4/24","gateway":"185.1.2.1"}])";
    EXPECT_EQ(grid_.post("/farms/1/ip", more, grid_.farmer).status, 400U) << "but it grows no more";
}

TEST_F(BoundsTest, AContainersDiskOfUnknownTypeIsRefused)
{
    auto order = grid_.volume();
    order.workload_type = grid::WorkloadType::container;
    grid::Container container;
    container.capacity = {
        .cpu = 1, .memory = 1024, .disk_size = 100'000, .disk_type = grid::DiskType{7}};
    order.data = container;
    EXPECT_EQ(grid_.create(order).status, 400U);
    EXPECT_EQ(grid_.poll(0).body, "null\n");
}

TEST_F(ReservationTest, DatesOfStrangersDoNotOverflow)
{
    auto order = data();
    order["expiration_reservation"] = std::numeric_limits<std::int64_t>::max();
    auto sent = request(order);
    sent["epoch"] = std::numeric_limits<std::int64_t>::min();
    EXPECT_EQ(send(http::Method::post, "", sent.dump()).status, 201U);
}

TEST_F(ReservationTest, WhatDiffersFromTheSignedTextIsToldAsTheOriginalTellsIt)
{
    auto sent = request(data());
    sent["data_reservation"]["description"] = "not what was signed";
    sent["customer_signature"] = std::string(128, '0');
    const auto reply = send(http::Method::post, "", sent.dump());
    EXPECT_NE(reply.body.find("json data does not match"), std::string::npos) << reply.body;
}

TEST_F(ReservationTest, ManyPartsAreCountedBeforeTheSignatureIsLookedAt)
{
    auto order = data();
    const auto zdb = order["zdbs"][0];
    for (int i = 0; i < 2001; ++i) order["zdbs"].push_back(zdb);
    auto sent = request(order);
    sent["customer_signature"] = std::string(128, '0');
    const auto reply = send(http::Method::post, "", sent.dump());
    EXPECT_NE(reply.body.find("more than 2000 workloads"), std::string::npos) << reply.body;
}

TEST_F(ReservationTest, AnOrderOfNothingIsCountedToo)
{
    auto order = data();
    order["zdbs"] = Json::array();
    order["networks"] = Json::array();
    order["description"] = std::string(std::size_t{3} << 20U, '<');
    auto sent = request(order);
    sent["customer_signature"] = std::string(128, '0');
    const auto reply = send(http::Method::post, "", sent.dump());
    EXPECT_NE(reply.body.find("too much to tell its nodes"), std::string::npos) << reply.body;
}

TEST_F(ReservationTest, LargeOnesAreLeftOutOfEverybodysListAlone)
{
    ASSERT_EQ(created(), 1);
    auto order = data();
    order["description"] = std::string(200'000, 'x');
    ASSERT_EQ(create(order).status, 201U);
    const auto listed = [&](const std::string& query) {
        return test::SmallGrid::json(get(query)).size();
    };
    EXPECT_EQ(listed(""), 1U);
    EXPECT_EQ(listed("?page=1"), 1U);
    EXPECT_EQ(listed("?customer_tid=0&size=many"), 1U) << "neither says anything";
    EXPECT_EQ(listed("?size=10"), 2U);
    EXPECT_EQ(listed("?customer_tid=" + grid_.customer.key_id), 2U);
    EXPECT_EQ(get("/2").status, 200U) << "visible by its id";
}

TEST_F(ReservationTest, WhatNodesAreToldIsCountedAsItIsWritten)
{
    const auto answer = [&](int more, const std::string& description, const std::string& metadata) {
        auto order = data();
        const auto zdb = order["zdbs"][0];
        for (int i = 0; i < more; ++i) order["zdbs"].push_back(zdb);
        order["description"] = description;
        auto sent = request(order);
        sent["metadata"] = metadata;
        sent["customer_signature"] = std::string(128, '0');
        return send(http::Method::post, "", sent.dump()).body;
    };
    const std::string too_much = "too much to tell its nodes";
    EXPECT_NE(answer(500, std::string(16'384, '<'), "").find(too_much), std::string::npos);
    EXPECT_NE(
        answer(1200, std::string(8'192, 'x'), std::string(1024, '<')).find(too_much),
        std::string::npos)
        << "the metadata with them";
    EXPECT_EQ(answer(500, std::string(16'384, 'x'), "").find(too_much), std::string::npos);
}

TEST(PoolEndTest, TheOtherUnitsOfADryPoolRunOutInTheirTime)
{
    grid::Pool pool;
    pool.last_updated = 1000;
    pool.cus = 0;
    pool.active_cu = 1;
    pool.sus = 500;
    pool.active_su = 2;
    EXPECT_EQ(next_end(pool, 1000), 1250);
    pool.sus = 0;
    EXPECT_EQ(next_end(pool, 1000), grid::Pool::never);
    pool.ipv4us = 0.1;
    pool.active_ipv4 = 1;
    EXPECT_EQ(next_end(pool, 1000), 1001) << "never again in the same second";
}

TEST(HeadLimitTest, LookingAtAHeadIsARequestAndIsCountedOnce)
{
    Options options;
    options.requests_per_second = 0.001;
    options.burst = 2;
    SmallGrid grid{options};
    const http::Peer peer{.address = "2001:db8::1"};
    const http::Peer neighbour{.address = "2001:db8::2"};
    http::Request head{.method = http::Method::post, .target = "/api/v1/users"};
    EXPECT_FALSE(run(grid.loop, grid.server->refuse_head(head, peer)));
    head.head_checked = true;
    EXPECT_NE(run(grid.loop, grid.server->answer(head, peer)).status, 429U);
    EXPECT_FALSE(run(grid.loop, grid.server->refuse_head(head, peer)));
    const auto refused = run(grid.loop, grid.server->refuse_head(head, neighbour));
    ASSERT_TRUE(refused) << "one network, one bucket";
    EXPECT_EQ(refused->status, 429U);
}

TEST(BucketTest, HostsOfIpv6HaveTheirNetworks)
{
    EXPECT_EQ(bucket_of("2001:db8::1"), bucket_of("2001:db8::ffff:1"));
    EXPECT_NE(bucket_of("2001:db8::1"), bucket_of("2001:db8:0:1::1"));
    EXPECT_EQ(bucket_of("::ffff:10.0.0.1"), "10.0.0.1");
    EXPECT_EQ(bucket_of("10.0.0.1"), "10.0.0.1");
}

TEST(HubFolderTest, BelongsToWhoeverPublishedThereFirst)
{
    Options options;
    test::TempFolder hub;
    options.hub = hub.path();
    SmallGrid grid{options};
    const auto identity = test::identity_of(0xC0);
    const test::Signer anna{
        &grid.customer_identity, std::to_string(grid.add_user("anna", grid.customer_identity))};
    const test::Signer other{&identity, std::to_string(grid.add_user("anna.3bot", identity))};
    http::Request put{.method = http::Method::put, .target = "/anna/web.flist", .body = "flist"};
    EXPECT_EQ(grid.send(put, anna).status, 201U);
    EXPECT_EQ(grid.send(put, other).status, 403U);
    EXPECT_EQ(grid.send(put, anna).status, 201U);
}

TEST(HubFileTest, LargeOnesAreStreamedAndTheirDigestFollowsChanges)
{
    struct Gather : http::BodySink {
        std::string bytes;
        Task<Result<>> write(std::string_view piece) override
        {
            bytes += piece;
            co_return Result<>{};
        }
    };
    Options options;
    test::TempFolder hub;
    options.hub = hub.path();
    SmallGrid grid{options};
    grid.fill();
    http::Request put{.method = http::Method::put, .target = "/customer/web.flist"};
    put.body = std::string(1'000'000, 'x');
    const auto md5 = [&] {
        const auto published = SmallGrid::json(grid.send(put, grid.customer));
        EXPECT_EQ(
            grid.send({.target = "/customer/web.flist.md5"}).body,
            published.at("md5").get<std::string>() + "\n");
        return published.at("md5").get<std::string>();
    };
    const auto before = md5();
    auto reply = grid.send({.target = "/customer/web.flist"});
    EXPECT_TRUE(reply.body.empty());
    ASSERT_TRUE(reply.stream);
    EXPECT_EQ(reply.stream_length, put.body.size());
    Gather sink;
    EXPECT_TRUE(run(grid.loop, reply.stream(&sink)));
    EXPECT_EQ(sink.bytes, put.body);
    reply.stream = {};
    put.body = std::string(1'000'000, 'y');
    EXPECT_NE(md5(), before);
}

TEST(LimitsTest, LargeBodiesAreForPublishingOnly)
{
    Options options;
    options.hub = "/nowhere";
    const auto limits = server_limits(options);
    const auto most = [&](http::Method method, const std::string& target) {
        return limits.body_of({.method = method, .target = target});
    };
    EXPECT_EQ(most(http::Method::put, "/anna/web.flist"), limits.body);
    for (const std::string other :
         {"/api/v1/users/1", "/anna", "/anna/b/web.flist", "//api/v1/web.flist", "/anna/web"})
        EXPECT_EQ(most(http::Method::put, other), std::uint64_t{8} << 20U) << other;
    EXPECT_EQ(most(http::Method::post, "/anna/web.flist"), std::uint64_t{8} << 20U);
}

}  // namespace
}  // namespace znode::explorer_server
