#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "explorer/customer_api.hpp"
#include "explorer/node_api.hpp"
#include "fake_client.hpp"
#include "grid/challenge.hpp"
#include "grid/document.hpp"
#include "identity/http_signature.hpp"

namespace znode::explorer {
namespace {

using testing::HasSubstr;

class ApiTest : public testing::Test {
protected:
    ApiTest() { user.set_user_id(7); }

    /// Who signed the last request, or the verifier's complaint.
    std::string signer_of_last()
    {
        identity::HeaderValues headers;
        for (const auto& [name, value] : client.last().headers) headers.emplace_back(name, value);
        const auto who = identity::verify_request(headers, {}, [&](const std::string& id) {
            return Result<identity::PublicKey>{
                id == "7" ? user.public_key() : node_self.public_key()};
        });
        return who ? *who : who.error().message;
    }

    asio::io_context loop;
    FakeClient client;
    const identity::Identity node_self = identity::Identity::generate();
    identity::Identity user = identity::Identity::generate();
    const std::unique_ptr<NodeApi> node = make_node_api(client, node_self);
    const std::unique_ptr<CustomerApi> customer = make_customer_api(client, user);
};

TEST_F(ApiTest, RegistrationIsSignedAndNamesTheNode)
{
    client.answer(201, "null\n");
    grid::Node body;
    body.farm_id = 3;

    ASSERT_TRUE(run(loop, node->register_node(body)));

    EXPECT_EQ(client.last().target, "/api/v1/nodes");
    EXPECT_EQ(signer_of_last(), node_self.node_id());
    const auto sent = grid::from_json<grid::Node>(client.last().body);
    EXPECT_EQ(sent->node_id, node_self.node_id());
    EXPECT_EQ(sent->public_key_hex, node_self.public_key_hex());
    EXPECT_EQ(sent->farm_id, 3);
}

TEST_F(ApiTest, ResultIsSignedOverItsBytes)
{
    client.answer(201, "null\n");
    grid::WorkloadResult result;
    result.category = grid::WorkloadType::volume;
    result.state = grid::ResultState::ok;
    result.data.text = R"({"volume_id":"12-1"})";

    ASSERT_TRUE(run(loop, node->put_result({12, 1}, result)));

    EXPECT_EQ(
        client.last().target,
        "/api/v1/reservations/nodes/" + node_self.node_id() + "/workloads/12-1");
    const auto sent = grid::from_json<grid::WorkloadResult>(client.last().body);
    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->workload_id, "12-1");
    EXPECT_GT(sent->epoch.unix, 0);
    EXPECT_TRUE(identity::verify_hex(
        node_self.public_key(), grid::result_signing_bytes(*sent), sent->signature));
}

TEST_F(ApiTest, StatusBecomesWhatTheCallerCanDo)
{
    const std::vector<std::pair<unsigned, Errc>> table{
        {400, Errc::invalid},
        {401, Errc::denied},
        {403, Errc::denied},
        {404, Errc::not_found},
        {409, Errc::exists},
        {429, Errc::unavailable},
        {500, Errc::unavailable},
        {301, Errc::unavailable}};
    for (const auto& [status, code] : table) {
        client.answer(status, R"({"error":"because"})", {{"Retry-After", "17"}});
        const auto outcome = run(loop, node->set_uptime(std::chrono::seconds{5}));
        ASSERT_FALSE(outcome) << status;
        EXPECT_EQ(outcome.error().code, code) << status;
        EXPECT_THAT(outcome.error().message, HasSubstr("because"));
        EXPECT_EQ(node->last_failure().status, status);
        EXPECT_EQ(node->last_failure().retry_after, std::chrono::seconds{17});
    }
}

TEST_F(ApiTest, AnswerThatMakesNoSenseIsUnavailable)
{
    client.answer(200, "<html>");
    EXPECT_EQ(run(loop, node->user(7)).error().code, Errc::unavailable);
    client.answer(201, "{}");
    const auto created = run(loop, customer->create_farm({}));
    EXPECT_EQ(created.error().code, Errc::unavailable);
    EXPECT_THAT(created.error().message, HasSubstr("member id is missing"));
}

TEST_F(ApiTest, WorkloadIsSignedByTheCustomer)
{
    client.answer(201, R"({"reservation_id":55})");
    grid::Workload workload;
    workload.workload_id = 1;
    workload.node_id = node_self.node_id();
    workload.pool_id = 3;
    workload.data = grid::Volume{.size = 5, .type = grid::DiskType::ssd};

    const auto id = run(loop, customer->create_workload(workload));

    ASSERT_TRUE(id) << id.error().message;
    EXPECT_EQ(*id, 55);
    EXPECT_EQ(signer_of_last(), "7");
    const auto sent = grid::from_json<grid::Workload>(client.last().body);
    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->workload_type, grid::WorkloadType::volume);
    EXPECT_EQ(sent->signing_request_delete.quorum_min, 1);
    EXPECT_TRUE(identity::verify_hex(
        user.public_key(), grid::create_message(*sent), sent->customer_signature));
}

TEST_F(ApiTest, DeleteIsSignedOverTheStoredEpoch)
{
    grid::Workload stored;
    stored.id = 55;
    stored.epoch = {1619600123};
    stored.workload_type = grid::WorkloadType::volume;
    stored.data = grid::Volume{};
    client.answer(200, grid::to_json(stored));
    client.answer(201, "null");

    ASSERT_TRUE(run(loop, customer->delete_workload(55)));

    EXPECT_EQ(client.last().target, "/api/v1/reservations/workloads/55/sign/delete");
    const auto sent = grid::from_json<grid::SigningSignature>(client.last().body);
    EXPECT_EQ(sent->tid, 7);
    EXPECT_TRUE(
        identity::verify_hex(user.public_key(), grid::delete_message(stored, 7), sent->signature));
}

TEST_F(ApiTest, ConsentIsSignedOverTheStoredEpoch)
{
    grid::Workload stored;
    stored.id = 55;
    stored.epoch = {1619600123};
    stored.workload_type = grid::WorkloadType::volume;
    stored.data = grid::Volume{};
    client.answer(200, grid::to_json(stored));
    client.answer(201, "null");

    ASSERT_TRUE(run(loop, customer->consent(55)));

    EXPECT_EQ(client.last().target, "/api/v1/reservations/workloads/55/sign/provision");
    const auto sent = grid::from_json<grid::SigningSignature>(client.last().body);
    EXPECT_TRUE(identity::verify_hex(
        user.public_key(), grid::provision_message(stored, 7), sent->signature));
}

TEST_F(ApiTest, OnlyWhatTheUserHasReservedIsSignedForAPool)
{
    grid::legacy::Reservation reservation;
    reservation.id = 9;
    reservation.customer_tid = 7;
    grid::legacy::Volume volume;
    volume.workload_id = 4;
    volume.node_id = node_self.node_id();
    volume.size = 5;
    reservation.data.volumes = {volume};
    reservation.json = grid::to_json(reservation.data);
    reservation.customer_signature = user.sign_hex(reservation.json);
    grid::Workload offer;
    offer.workload_id = 4;
    offer.node_id = node_self.node_id();
    offer.customer_tid = 7;
    offer.reference = "9-4";
    offer.pool_id = 3;
    offer.epoch = {1619600123};
    offer.workload_type = grid::WorkloadType::volume;
    offer.data = grid::Volume{.size = 5, .type = grid::DiskType::hdd};
    const auto convert = [&](const grid::Workload& offered) {
        client.asked.clear();
        client.answers.clear();
        client.answer(200, grid::list_to_json(std::vector{offered}));
        client.answer(200, grid::to_json(reservation));
        client.answer(201, "null");
        return run(loop, customer->convert());
    };

    const auto done = convert(offer);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->size(), 1U);
    EXPECT_EQ(client.last().target, "/api/v1/reservations/convert");
    const auto sent = grid::list_from_json<grid::Workload>(client.last().body);
    ASSERT_EQ(sent->size(), 1U);
    EXPECT_TRUE(identity::verify_hex(
        user.public_key(), grid::create_message(sent->front()), sent->front().customer_signature));

    auto larger = offer;
    larger.data = grid::Volume{.size = 500, .type = grid::DiskType::hdd};
    EXPECT_EQ(convert(larger).error().code, Errc::denied);
    auto invented = offer;
    invented.reference = "9-5";
    EXPECT_EQ(convert(invented).error().code, Errc::denied);
    EXPECT_EQ(client.asked.size(), 2U) << "nothing was posted";
    reservation.customer_signature = node_self.sign_hex(reservation.json);
    EXPECT_EQ(convert(offer).error().code, Errc::denied);

    client.answers.clear();
    client.answer(204, "");
    EXPECT_TRUE(run(loop, customer->convert())->empty());
}

TEST_F(ApiTest, PoolTextIsWhatWasSigned)
{
    client.answer(201, R"({"reservation_id":4,"escrow_information":{"address":"x"}})");
    grid::PoolData data;
    data.cus = 100;
    data.node_ids = {"a"};
    data.currencies = {"TFT"};

    ASSERT_TRUE(run(loop, customer->reserve_pool(data)));

    const auto sent = grid::from_json<grid::PoolReservation>(client.last().body);
    ASSERT_TRUE(sent);
    EXPECT_TRUE(identity::verify_hex(user.public_key(), sent->json, sent->customer_signature));
    EXPECT_EQ(
        grid::to_json(*grid::from_json<grid::PoolData>(sent->json)), grid::to_json(sent->data));
}

TEST_F(ApiTest, ListsComeWithAllTheirPages)
{
    client.answer(200, R"([{"id":1,"name":"a"}])", {{"Pages", "2"}});
    client.answer(200, R"([{"id":2,"name":"b"}])", {{"Pages", "2"}});

    const auto farms = run(loop, customer->farms(7));

    ASSERT_TRUE(farms);
    ASSERT_EQ(farms->size(), 2U);
    EXPECT_EQ(client.asked[0].target, "/api/v1/farms?owner=7&page=1");
    EXPECT_EQ(client.asked[1].target, "/api/v1/farms?owner=7&page=2");
}

TEST_F(ApiTest, APageThatIsTooLargeIsAskedForInSmallerOnes)
{
    client.answer(200, R"([{"id":1,"name":"a"}])", {{"Pages", "2"}});
    client.answer(413, R"({"error":"ask for a smaller page size"})");
    client.answer(200, R"([{"id":2,"name":"b"}])", {{"Pages", "12"}});
    client.answer(200, R"([{"id":3,"name":"c"}])", {{"Pages", "12"}});

    const auto farms = run(loop, customer->farms(7));

    ASSERT_TRUE(farms) << farms.error().message;
    EXPECT_EQ(farms->size(), 3U);
    EXPECT_EQ(client.asked[1].target, "/api/v1/farms?owner=7&page=2");
    EXPECT_EQ(client.asked[2].target, "/api/v1/farms?owner=7&page=11&size=10");
    EXPECT_EQ(client.asked[3].target, "/api/v1/farms?owner=7&page=12&size=10");

    for (int i = 0; i < 3; ++i) client.answer(413, R"({"error":"too large"})");
    EXPECT_EQ(run(loop, customer->farms(7)).error().code, Errc::invalid) << "not even one";
}

TEST_F(ApiTest, PagesOfGatewaysBecomeSmallerToo)
{
    client.answer(413, R"({"error":"ask for a smaller page size"})");
    client.answer(200, "[]");

    ASSERT_TRUE(run(loop, customer->gateways({.farm = 3, .country = "Austria"})));

    EXPECT_EQ(client.asked[0].target, "/api/v1/gateways?farm_id=3&country=Austria&page=1");
    EXPECT_EQ(client.asked[1].target, "/api/v1/gateways?farm_id=3&country=Austria&page=1&size=10");
    client.answer(200, "[]");
    ASSERT_TRUE(run(loop, customer->gateways({})));
    EXPECT_EQ(client.last().target, "/api/v1/gateways?page=1");
}

TEST_F(ApiTest, APageOfTooManyValuesIsAskedForInSmallerOnes)
{
    std::string list = R"([{"id":1,"name":"a","more":[0)";
    for (int i = 0; i < 500'000; ++i) list += ",0";
    list += "]}]";
    ASSERT_LT(list.size(), std::size_t{1} << 20U);
    client.answer(200, list);
    client.answer(200, R"([{"id":1,"name":"a"}])");

    const auto farms = run(loop, customer->farms(7));

    ASSERT_TRUE(farms) << farms.error().message;
    EXPECT_EQ(farms->size(), 1U);
    EXPECT_EQ(client.last().target, "/api/v1/farms?owner=7&page=1&size=10");
}

TEST_F(ApiTest, APageMayBeAsLargeAsAnAnswer)
{
    const std::string name(std::size_t{5} << 20U, 'x');
    client.answer(200, R"([{"id":1,"name":")" + name + R"("},{"id":2,"name":")" + name + R"("}])");

    const auto farms = run(loop, customer->farms(7));

    ASSERT_TRUE(farms) << farms.error().message;
    EXPECT_EQ(farms->size(), 2U);
}

TEST_F(ApiTest, WithoutAUserIdNothingIsSent)
{
    const auto stranger = identity::Identity::generate();
    const auto api = make_customer_api(client, stranger);

    EXPECT_EQ(run(loop, api->create_workload({})).error().code, Errc::invalid);
    EXPECT_EQ(run(loop, api->pools()).error().code, Errc::invalid);
    EXPECT_TRUE(client.asked.empty());
}

TEST(ExplorerRootTest, KnownEndingsAreCutOff)
{
    EXPECT_EQ(explorer_root("http://h:1/api/v1"), "http://h:1");
    EXPECT_EQ(explorer_root("http://h/explorer/"), "http://h");
    EXPECT_EQ(explorer_root("http://h/"), "http://h");
    EXPECT_EQ(explorer_root("https://h/x/api/v1/"), "https://h/x");
}

}  // namespace
}  // namespace znode::explorer
