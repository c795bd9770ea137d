#include <gtest/gtest.h>

#include "small_grid.hpp"
#include "store/database.hpp"

namespace znode::explorer_server {
namespace {

using grid::NextAction;
using grid::ResultState;
using test::Json;

class WorkloadTest : public testing::Test {
protected:
    void SetUp() override { grid_.fill(); }
    static int action(const Json& workload) { return workload.at("next_action").get<int>(); }

    test::SmallGrid grid_;
};

TEST_F(WorkloadTest, LivesFromCreateToDeleted)
{
    const auto id = grid_.create_volume();
    ASSERT_EQ(id, 1);
    EXPECT_EQ(action(grid_.workload(id)), 3);
    EXPECT_EQ(grid_.workload(id).at("customer_epoch"), grid_.now) << "stays verifiable";

    auto page = grid_.poll(0);
    EXPECT_EQ(page.headers.get("x-last-id"), "1");
    EXPECT_EQ(test::SmallGrid::json(page).size(), 1U);

    EXPECT_EQ(grid_.report(id, ResultState::ok).status, 201U);
    EXPECT_EQ(grid_.workload(id).at("result").at("state"), 1);
    EXPECT_EQ(grid_.workload(id).at("result").at("data_json").at("volume_id"), "1-1");
    EXPECT_EQ(grid_.poll(2).body, "null\n") << "answered: no longer queued";

    EXPECT_EQ(grid_.sign_delete(id).status, 201U);
    EXPECT_EQ(action(grid_.workload(id)), 4);
    page = grid_.poll(2);
    EXPECT_EQ(test::SmallGrid::json(page).at(0).at("next_action"), 4);
    EXPECT_EQ(page.headers.get("x-last-id"), "2") << "the queue leaves the cursor where it is";

    EXPECT_EQ(grid_.confirm_deleted(id).status, 200U);
    EXPECT_EQ(action(grid_.workload(id)), 6);
    EXPECT_EQ(grid_.workload(id).at("result").at("state"), 2);
    EXPECT_EQ(grid_.poll(0).body, "null\n");
}

TEST_F(WorkloadTest, PoolIsChargedFromTheFirstOkToTheEnd)
{
    const auto id = grid_.create_volume(300);
    (void)grid_.report(id, ResultState::ok);
    (void)grid_.report(id, ResultState::ok);
    grid_.now += 1000;
    auto pool = test::SmallGrid::json(grid_.get("/reservations/pools/1"));
    EXPECT_EQ(pool.at("active_su"), 1);
    EXPECT_EQ(pool.at("sus"), 1'000'000'000 - 1000);
    (void)grid_.sign_delete(id);
    (void)grid_.confirm_deleted(id);
    grid_.now += 1000;
    pool = test::SmallGrid::json(grid_.get("/reservations/pools/1"));
    EXPECT_EQ(pool.at("active_su"), 0);
    EXPECT_EQ(pool.at("sus"), 1'000'000'000 - 1000);
}

TEST_F(WorkloadTest, FailureStaysAFailureAfterTheNodesDelete)
{
    const auto id = grid_.create_volume();
    (void)grid_.report(id, ResultState::error, "no room");
    EXPECT_EQ(action(grid_.workload(id)), 4);
    EXPECT_EQ(grid_.confirm_deleted(id).status, 200U);
    EXPECT_EQ(grid_.workload(id).at("result").at("state"), 0);
    EXPECT_EQ(grid_.workload(id).at("result").at("message"), "no room");
}

TEST_F(WorkloadTest, LateNewsChangeNothing)
{
    const auto id = grid_.create_volume(300);
    (void)grid_.report(id, ResultState::ok);
    (void)grid_.sign_delete(id);
    EXPECT_EQ(grid_.report(id, ResultState::ok).status, 201U);
    EXPECT_NE(grid_.poll(5).body, "null\n") << "the delete is still to be told";
    (void)grid_.confirm_deleted(id);
    EXPECT_EQ(grid_.report(id, ResultState::ok).status, 201U);
    EXPECT_EQ(action(grid_.workload(id)), 6);
    EXPECT_EQ(test::SmallGrid::json(grid_.get("/reservations/pools/1")).at("active_su"), 0);
}

TEST_F(WorkloadTest, AResultThatWouldFillTheDocumentIsRefused)
{
    const auto id = grid_.create_volume();
    const auto refused = grid_.report(id, ResultState::ok, std::string(300'000, 'x'));
    EXPECT_EQ(refused.status, 400U) << refused.body;
    EXPECT_EQ(grid_.workload(id).at("result").at("workload_id"), "");
    EXPECT_EQ(grid_.report(id, ResultState::ok).status, 201U);
}

TEST_F(WorkloadTest, OnlyTheNodeItselfSpeaksOfItsWorkloads)
{
    const auto id = grid_.create_volume();
    const auto path = "/reservations/nodes/" + grid_.node.key_id + "/workloads/1-1";
    const auto body = grid_.result_body("1-1", ResultState::ok);
    EXPECT_EQ(grid_.put(path, body).status, 401U) << "unsigned request";
    EXPECT_EQ(grid_.del(path).status, 401U);
    const auto stranger = test::identity_of(0x77);
    const test::Signer other{&stranger, stranger.node_id()};
    EXPECT_EQ(grid_.put(path, body, other).status, 403U);
    auto forged = Json::parse(body);
    forged["message"] = "forged";
    EXPECT_EQ(grid_.put(path, forged.dump(), grid_.node).status, 401U) << "result's signature";
    EXPECT_EQ(grid_.workload(id).at("result").at("workload_id"), "");
}

TEST_F(WorkloadTest, CustomersChoiceOfNextActionIsIgnored)
{
    auto workload = grid_.volume();
    workload.next_action = NextAction::deleted;
    ASSERT_EQ(grid_.create(workload).status, 201U);
    EXPECT_EQ(action(grid_.workload(1)), 3);
    EXPECT_EQ(test::SmallGrid::json(grid_.poll(2)).at(0).at("next_action"), 3);
}

TEST_F(WorkloadTest, RefusalsHaveTheOriginalsWords)
{
    const auto refused = [&](grid::Workload workload, unsigned status, const std::string& text) {
        const auto reply = grid_.create(std::move(workload));
        EXPECT_EQ(reply.status, status) << text;
        EXPECT_NE(reply.body.find(text), std::string::npos) << reply.body;
        EXPECT_EQ(reply.headers.get("Content-Type"), "application/json");
    };
    auto workload = grid_.volume();
    workload.pool_id = 99;
    refused(workload, 404, "pool does not exist");
    workload = grid_.volume();
    workload.pool_id = 0;
    refused(workload, 400, "pool is required");
    workload = grid_.volume();
    workload.node_id = "nope";
    refused(workload, 400, "cannot find node with id 'nope'");
    workload = grid_.volume();
    workload.metadata = std::string(1025, 'x');
    refused(workload, 400, "metadata can not be bigger than 1024 bytes");
    workload = grid_.volume();
    workload.reference = "1-1";
    refused(workload, 400, "reference is illegal for new workloads");
    refused(grid_.volume(100'000'000'000), 402, "pool needs additional capacity to support this");
    EXPECT_EQ(action(grid_.workload(1)), 5) << "kept to be seen, never to be deployed";
    EXPECT_EQ(grid_.poll(0).body, "null\n");

    workload = grid_.volume();
    workload.customer_signature = grid_.customer_identity.sign_hex("something else");
    const auto reply =
        grid_.post("/reservations/workloads", grid::to_json(workload), grid_.customer);
    EXPECT_EQ(reply.status, 400U);
    EXPECT_NE(reply.body.find("failed to verify customer signature"), std::string::npos);
}

/// A volume that the farmer must consent to, and his consent.
class ConsentTest : public WorkloadTest {
protected:
    std::int64_t farmer() const { return std::stoll(grid_.farmer.key_id); }
    std::int64_t ask(grid::Workload workload)
    {
        workload.signing_request_provision = {.signers = {farmer()}, .quorum_min = 1};
        const auto reply = grid_.create(std::move(workload));
        EXPECT_EQ(reply.status, 201U) << reply.body;
        return test::SmallGrid::json(reply).at("reservation_id").get<std::int64_t>();
    }
    http::Reply consent(std::int64_t id, const identity::Identity& who, std::int64_t tid)
    {
        const auto path = "/reservations/workloads/" + std::to_string(id);
        const auto document = *grid::from_json<grid::Workload>(grid_.get(path).body);
        const Json body{
            {"tid", tid}, {"signature", who.sign_hex(grid::provision_message(document, tid))}};
        return grid_.post(path + "/sign/provision", body.dump());
    }
};

TEST_F(ConsentTest, WhoeverIsNamedMustSignBeforeANodeHearsOfIt)
{
    const auto id = ask(grid_.volume());
    EXPECT_EQ(action(grid_.workload(id)), 1);
    EXPECT_EQ(grid_.poll(0).body, "null\n");

    EXPECT_EQ(consent(id, grid_.farmer_identity, farmer()).status, 201U);
    EXPECT_EQ(action(grid_.workload(id)), 3);
    EXPECT_EQ(grid_.workload(id).at("signatures_provision").size(), 1U);
    EXPECT_EQ(test::SmallGrid::json(grid_.poll(0)).size(), 1U);
    EXPECT_EQ(grid_.report(id, ResultState::ok).status, 201U);
    const auto late = consent(id, grid_.farmer_identity, farmer());
    EXPECT_EQ(late.status, 401U);
    EXPECT_NE(late.body.find("workload not expecting signatures"), std::string::npos);
}

TEST_F(ConsentTest, RefusalsHaveTheOriginalsWords)
{
    const auto id = ask(grid_.volume());
    const auto refused = [](const http::Reply& reply, unsigned status, const std::string& text) {
        EXPECT_EQ(reply.status, status) << text;
        EXPECT_NE(reply.body.find(text), std::string::npos) << reply.body;
    };
    const auto customer = std::stoll(grid_.customer.key_id);
    refused(
        consent(id, grid_.customer_identity, customer),
        401,
        "signature not required for user '" + grid_.customer.key_id + "'");
    refused(
        consent(id, grid_.customer_identity, farmer()),
        401,
        "failed to verify signature: signature verification failed");
    const auto path = "/reservations/workloads/" + std::to_string(id) + "/sign/provision";
    const Json no_hex{{"tid", farmer()}, {"signature", "zz"}};
    refused(grid_.post(path, no_hex.dump()), 400, "invalid signature expecting hex encoded string");
    const Json nobody{{"tid", farmer()}, {"signature", "00"}};
    refused(
        grid_.post("/reservations/workloads/99/sign/provision", nobody.dump()),
        404,
        "no documents");
    EXPECT_EQ(action(grid_.workload(id)), 1);
}

TEST_F(ConsentTest, APoolThatIsUsedUpMeanwhileRefusesTheLastSignature)
{
    grid_.close();
    test::SmallGrid small;
    small.fill(0, 1000);
    auto workload = small.volume(300);
    workload.signing_request_provision = {
        .signers = {std::stoll(small.farmer.key_id)}, .quorum_min = 1};
    ASSERT_EQ(small.create(workload).status, 201U);
    ASSERT_EQ(small.create_volume(300), 2);
    (void)small.report(2, ResultState::ok);
    small.now += 900;
    const auto tid = std::stoll(small.farmer.key_id);
    const auto document =
        *grid::from_json<grid::Workload>(small.get("/reservations/workloads/1").body);
    const Json body{
        {"tid", tid},
        {"signature", small.farmer_identity.sign_hex(grid::provision_message(document, tid))}};
    const auto sign = [&] {
        return small.post("/reservations/workloads/1/sign/provision", body.dump()).status;
    };
    EXPECT_EQ(sign(), 402U);
    EXPECT_EQ(action(small.workload(1)), 1) << "may be signed again";
    ASSERT_EQ(
        small.post("/reservations/pools", small.pool_request(small.pool, 0, 100'000)).status, 201U);
    EXPECT_EQ(sign(), 201U);
    EXPECT_EQ(action(small.workload(1)), 3);
}

TEST_F(ConsentTest, AnAddressThatAFormerVersionGaveItIsItsOwn)
{
    auto credit = Json::parse(grid_.pool_request(grid_.pool, 0, 0));
    credit["data_reservation"]["ipv4us"] = 1'000'000;
    credit["json"] = credit["data_reservation"].dump();
    credit["customer_signature"] =
        grid_.customer_identity.sign_hex(credit["json"].get<std::string>());
    ASSERT_EQ(grid_.post("/reservations/pools", credit.dump()).status, 201U);
    const std::string address = R"([{"address":"185.1.2.3/24","gateway":"185.1.2.1"}])";
    ASSERT_EQ(grid_.post("/farms/1/ip", address, grid_.farmer).status, 200U);
    auto order = grid_.volume();
    order.workload_type = grid::WorkloadType::public_ip;
    order.data = grid::PublicIp{*grid::IpRange::parse("185.1.2.3/24")};
    const auto id = ask(order);

    grid_.close();
    {
        auto database = store::Database::open(grid_.options.data / "explorer.db");
        ASSERT_TRUE(database) << database.error().message;
        ASSERT_TRUE(database->run(
            "UPDATE farm SET document = replace(document, '\"reservation_id\":0', "
            "'\"reservation_id\":" +
            std::to_string(id) + "')"));
    }
    grid_.open();
    const auto farm = test::SmallGrid::json(grid_.get("/farms/1"));
    ASSERT_EQ(farm.at("ipaddresses").at(0).at("reservation_id"), id);
    const auto reply = consent(id, grid_.farmer_identity, farmer());
    EXPECT_EQ(reply.status, 201U) << reply.body;
    EXPECT_EQ(action(grid_.workload(id)), 3);
}

TEST_F(ConsentTest, TheCustomerMayEndWhatWaitsForConsent)
{
    const auto id = ask(grid_.volume());
    EXPECT_EQ(grid_.sign_delete(id).status, 201U);
    EXPECT_EQ(test::SmallGrid::json(grid_.poll(5)).at(0).at("next_action"), 4);
    EXPECT_EQ(grid_.confirm_deleted(id).status, 200U);
    EXPECT_EQ(action(grid_.workload(id)), 6);
}

TEST_F(WorkloadTest, UnknownDiskTypeIsRefusedAndReachesNoNode)
{
    auto workload = grid_.volume();
    workload.data = grid::Volume{.size = 1, .type = static_cast<grid::DiskType>(7)};
    EXPECT_EQ(grid_.create(workload).status, 400U);
    EXPECT_EQ(grid_.poll(0).body, "null\n");
}

TEST_F(WorkloadTest, EmptyPoolEndsWhatUsesItAndLeavesTheRest)
{
    grid_.close();
    test::SmallGrid small;
    small.fill(0, 1000);
    const auto id = small.create_volume(300);
    ASSERT_EQ(id, 1);
    (void)small.report(id, ResultState::ok);
    small.now += 1001;
    small.close();
    small.open();  // Looks at start.
    for (int turn = 0; turn < 100 && small.workload(id).at("next_action") == 3; ++turn) {
    }
    EXPECT_EQ(small.workload(id).at("next_action"), 4);
    EXPECT_EQ(test::SmallGrid::json(small.poll(2)).size(), 1U);
}

TEST_F(WorkloadTest, EverythingSurvivesARestart)
{
    const auto id = grid_.create_volume();
    const auto before = grid_.workload(id);
    const auto page = grid_.poll(9).body;
    grid_.close();
    grid_.open();
    EXPECT_EQ(grid_.workload(id), before);
    EXPECT_EQ(grid_.poll(9).body, page) << "the queue too";
    EXPECT_EQ(grid_.create_volume(), id + 1);
}

TEST_F(WorkloadTest, EtagCountsWhatBecameDeliverable)
{
    auto request = grid_.poll_request(0);
    request.headers.set("Prefer", "wait=30");
    const auto etag = [&] { return std::string{grid_.send(request).headers.get("ETag")}; };
    const auto empty = etag();
    EXPECT_FALSE(empty.empty());
    const auto id = grid_.create_volume();
    const auto created = etag();
    EXPECT_NE(created, empty);
    (void)grid_.report(id, ResultState::ok);
    EXPECT_EQ(etag(), created) << "the node's answers do not change it";
    (void)grid_.sign_delete(id);
    EXPECT_NE(etag(), created);
}

}  // namespace
}  // namespace znode::explorer_server
