// The first era: the answers are those of a real server, recorded or made after its vectors.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "explorer/customer_api.hpp"
#include "explorer/node_api.hpp"
#include "explorer/poller.hpp"
#include "fake_client.hpp"
#include "grid/document.hpp"

namespace znode::explorer {
namespace {

using testing::HasSubstr;

class LegacyApiTest : public testing::Test {
protected:
    LegacyApiTest() { user.set_user_id(7); }

    std::string volume(const std::string& gwid, const std::string& changes = "")
    {
        return R"({"workload_id":")" + gwid +
               R"(","user":"7","type":2,"content":{"workload_id":1,)" + R"("node_id":")" +
               self.node_id() +
               R"(","size":10,"type":1,"stats_aggregator":[],"farmer_tid":2147483647},)" +
               R"("created":1585121913,"duration":86399,"signature":"","to_delete":false)" +
               changes + R"(,"node_id":")" + self.node_id() + R"("})";
    }

    asio::io_context loop;
    FakeClient client;
    const identity::Identity self = identity::Identity::generate();
    identity::Identity user = identity::Identity::generate();
    const std::unique_ptr<NodeApi> node = make_node_api(client, self, Era::reservations);
    const std::unique_ptr<CustomerApi> customer =
        make_customer_api(client, user, Era::reservations);
};

TEST_F(LegacyApiTest, PagesAreReadInTheWordsOfTheLaterEra)
{
    client.answer(200, "[" + volume("9012-4") + "]\n");

    const auto page = run(loop, node->poll({.from = 9000}));

    ASSERT_TRUE(page) << page.error().message;
    EXPECT_EQ(
        client.last().target, "/explorer/reservations/workloads/" + self.node_id() + "?from=9000");
    EXPECT_EQ(page->last_id, 9012) << "no x-last-id: what was seen";
    EXPECT_EQ(page->era, Era::reservations);
    ASSERT_EQ(page->entries.size(), 1U);
    const auto& entry = page->entries[0];
    EXPECT_EQ(entry.gwid->text(), "9012-4");
    EXPECT_EQ(entry.expires, 1585121913 + 86399);
    EXPECT_EQ(entry.customer_tid, 7);
    EXPECT_FALSE(entry.is_delete());
    ASSERT_TRUE(entry.workload) << entry.workload.error().message;
    EXPECT_EQ(entry.workload->version, 0) << "secrets are sealed boxes";
    EXPECT_EQ(std::get<grid::Volume>(entry.workload->data).size, 10);
    EXPECT_TRUE(grid::from_json<grid::Workload>(entry.document)) << "the journal keeps this";
}

TEST_F(LegacyApiTest, AnEmptyPageMovesNothingAndAServersOwnCursorCounts)
{
    client.answer(200, "[]\n");
    EXPECT_EQ(run(loop, node->poll({.from = 41}))->last_id, 40);
    http::Headers headers;
    headers.set("x-last-id", "99");
    client.answer(200, "null\n", headers);
    EXPECT_EQ(run(loop, node->poll({.from = 41}))->last_id, 99);
}

TEST_F(LegacyApiTest, ABrokenEntryKeepsItsNameAndHarmsNobody)
{
    const std::string unknown_type =
        R"({"workload_id":"5-1","user":"8","type":77,"content":{},"to_delete":false})";
    const std::string no_own_resource =
        R"({"workload_id":"6-1","user":"8","type":3,"content":{"name":"n","network_resources":[)"
        R"({"node_id":"other"}]},"created":1,"duration":9,"to_delete":true})";
    client.answer(200, "[" + unknown_type + ",7," + no_own_resource + "," + volume("9-1") + "]");

    const auto page = run(loop, node->poll({}));

    ASSERT_TRUE(page);
    ASSERT_EQ(page->entries.size(), 4U);
    EXPECT_EQ(page->entries[0].gwid->text(), "5-1");
    EXPECT_EQ(page->entries[0].customer_tid, 8);
    EXPECT_THAT(page->entries[0].workload.error().message, HasSubstr("77"));
    EXPECT_FALSE(page->entries[1].gwid);
    EXPECT_TRUE(page->entries[2].is_delete()) << "it must go, readable or not";
    EXPECT_THAT(page->entries[2].workload.error().message, HasSubstr("no network_resources"));
    EXPECT_TRUE(page->entries[3].workload);
}

TEST_F(LegacyApiTest, AnEndThatCannotBeMeantNeverComes)
{
    auto far = volume("1-1");
    far.replace(far.find("86399"), 5, "9223372036854775807");
    auto past = volume("2-1");
    past.replace(past.find("86399"), 5, "-5");
    const auto entries = read_legacy_page("[" + far + "," + past + "]", self.node_id());
    ASSERT_TRUE(entries);
    EXPECT_EQ((*entries)[0].expires, 0);
    EXPECT_EQ((*entries)[1].expires, 1585121913);
}

TEST_F(LegacyApiTest, ResultsGoToThePathsOfThatEra)
{
    client.answer(201, "null\n");
    grid::WorkloadResult result;
    result.state = grid::ResultState::ok;
    result.data = {R"({"volume_id":"3-1"})"};
    ASSERT_TRUE(run(loop, node->put_result({3, 1}, result)));
    EXPECT_EQ(client.last().target, "/explorer/reservations/workloads/3-1/" + self.node_id());
    const auto sent = grid::from_json<grid::WorkloadResult>(client.last().body);
    EXPECT_TRUE(identity::verify_hex(
        self.public_key(), grid::result_signing_bytes(*sent), sent->signature));

    client.answer(200, "null\n");
    ASSERT_TRUE(run(loop, node->report_deleted({3, 1})));
    EXPECT_EQ(client.last().method, http::Method::del);
    EXPECT_EQ(client.last().target, "/explorer/reservations/workloads/3-1/" + self.node_id());
}

TEST_F(LegacyApiTest, AmountsInUseAreWholeNumbers)
{
    client.answer(200, "null\n");
    grid::UsedReport used;
    used.resources = {2, 6.5, 0, 140.25};
    used.workloads.network_resource = 3;
    ASSERT_TRUE(run(loop, node->set_used(used)));
    EXPECT_THAT(client.last().body, HasSubstr(R"("mru":6,"hru":0,"sru":140)"));
    EXPECT_THAT(client.last().body, testing::Not(HasSubstr("network_resource")));
}

TEST_F(LegacyApiTest, AWorkloadBecomesASignedReservationOfItsOwn)
{
    grid::Workload workload;
    workload.workload_id = 1;
    workload.node_id = self.node_id();
    grid::Zdb zdb;
    zdb.size = 10;
    zdb.disk_type = grid::DiskType::ssd;
    workload.data = zdb;
    for (const auto* answer : {"9012\n", R"({"reservation_id":9012,"escrow_information":null})"}) {
        client.answer(201, answer);
        const auto id = run(loop, customer->create_workload(workload));
        ASSERT_TRUE(id) << id.error().message;
        EXPECT_EQ(*id, 9012);
    }
    EXPECT_EQ(client.last().target, "/explorer/reservations");
    const auto sent = grid::from_json<grid::legacy::Reservation>(client.last().body);
    ASSERT_TRUE(sent);
    EXPECT_TRUE(identity::verify_hex(
        user.public_key(), grid::legacy::create_text(*sent), sent->customer_signature));
    EXPECT_EQ(sent->data.zdbs.at(0).size, 10);
    EXPECT_EQ(sent->data.signing_request_delete.signers.at(0), 7);
    EXPECT_GT(sent->data.expiration_reservation.unix, 1'600'000'000);
    EXPECT_EQ(grid::to_json(sent->data), sent->json) << "the text is that of the data";
}

TEST_F(LegacyApiTest, AReservationIsSeenAsAWorkloadWithItsResult)
{
    grid::legacy::Reservation stored;
    stored.id = 9012;
    stored.customer_tid = 7;
    stored.json = "{}";
    stored.next_action = grid::NextAction::deploy;
    stored.data.zdbs = {grid::legacy::Zdb{}};
    stored.data.zdbs[0].workload_id = 4;
    stored.data.zdbs[0].node_id = self.node_id();
    grid::WorkloadResult result;
    result.workload_id = "9012-4";
    result.node_id = self.node_id();
    result.state = grid::ResultState::ok;
    stored.results = {result};
    client.answer(200, grid::to_json(stored));

    const auto seen = run(loop, customer->workload(9012));

    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_EQ(client.last().target, "/explorer/reservations/9012");
    EXPECT_EQ(seen->gwid().text(), "9012-4");
    EXPECT_EQ(seen->result.state, grid::ResultState::ok);

    client.answer(200, grid::to_json(stored));
    client.answer(201, "null\n");
    ASSERT_TRUE(run(loop, customer->delete_workload(9012)));
    const auto ending = grid::from_json<grid::SigningSignature>(client.last().body);
    EXPECT_TRUE(identity::verify_hex(user.public_key(), "9012{}", ending->signature));
}

TEST_F(LegacyApiTest, WhatTheEraDoesNotHaveIsSaid)
{
    const auto pools = run(loop, customer->pools());
    ASSERT_FALSE(pools);
    EXPECT_EQ(pools.error().code, Errc::unsupported);
    grid::Workload workload;
    workload.data = grid::PublicIp{};
    EXPECT_EQ(run(loop, customer->create_workload(workload)).error().code, Errc::unsupported);
}

class EraTest : public LegacyApiTest {
protected:
    const std::unique_ptr<NodeApi> any = make_any_node_api(loop, client, self);
};

TEST_F(EraTest, PricesMeanPools)
{
    client.answer(200, R"({"CuPriceDollarMonth":10})");
    client.answer(200, "null");
    ASSERT_TRUE(run(loop, any->poll({})));
    EXPECT_EQ(any->era(), Era::pools);
    EXPECT_EQ(client.asked.at(0).target, "/api/v1/prices");
    EXPECT_THAT(client.last().target, HasSubstr("/api/v1/reservations/nodes/"));
}

TEST_F(EraTest, NodesWithoutPricesMeanReservationsAndTheAnswerIsKept)
{
    client.answer(404, "404 page not found\n");
    client.answer(200, "[]");
    client.answer(200, "[]");
    client.answer(200, "[]");
    ASSERT_TRUE(run(loop, any->poll({})));
    ASSERT_TRUE(run(loop, any->poll({})));
    EXPECT_EQ(any->era(), Era::reservations);
    EXPECT_EQ(client.asked.size(), 4U) << "two questions for the era, then two polls";
}

TEST_F(EraTest, APollThatIsUnknownAsksForTheEraAgain)
{
    client.answer(404, "404 page not found\n");
    client.answer(200, "[]");
    client.answer(404, "404 page not found\n");  // The poll: another server lives there now.
    EXPECT_FALSE(run(loop, any->poll({})));
    client.answer(200, R"({"CuPriceDollarMonth":10})");
    client.answer(200, "null");
    ASSERT_TRUE(run(loop, any->poll({})));
    EXPECT_EQ(any->era(), Era::pools);
}

TEST_F(EraTest, NobodyAndABusyServerLeaveItOpen)
{
    EXPECT_FALSE(run(loop, any->probe()));
    EXPECT_FALSE(any->era());
    client.answer(503, "later");
    EXPECT_EQ(run(loop, any->probe()).error().code, Errc::unavailable);
    EXPECT_FALSE(any->era());
    client.answer(404, "404 page not found\n");
    client.answer(200, "<html>");
    EXPECT_FALSE(run(loop, any->probe())) << "something else answers there";
}

TEST_F(EraTest, AServerThatComesUpBetweenTwoQuestionsIsNotOfTheFirstEra)
{
    client.refuse();
    client.answer(200, "[]");  // What an explorer of either era says to the second question.
    EXPECT_FALSE(run(loop, any->probe()));
    EXPECT_FALSE(any->era());
    client.answers.clear();
    client.answer(200, R"({"CuPriceDollarMonth":10})");
    EXPECT_TRUE(run(loop, any->probe()));
    EXPECT_EQ(any->era(), Era::pools);
}

TEST_F(EraTest, ThePollerBeginsAnewInAnotherEra)
{
    Poller poller{*any, 500, 1};
    client.answer(200, R"({"CuPriceDollarMonth":10})");
    http::Headers headers;
    headers.set("x-last-id", "600");
    client.answer(200, "null", headers);
    ASSERT_TRUE(run(loop, poller.next()));
    EXPECT_EQ(poller.cursor(), 0) << "a first answer reads all: who knows whose the cursor was";
}

}  // namespace
}  // namespace znode::explorer
