#include "reservation_fixture.hpp"

namespace znode::explorer_server {
namespace {

TEST_F(ReservationTest, IsDeployedAnsweredAndDeletedPartByPart)
{
    const auto id = created();
    ASSERT_EQ(id, 1);
    EXPECT_EQ(action(id), 3);
    EXPECT_EQ(told(grid_.node, 0), (Names{"1-2", "1-1"}));
    EXPECT_EQ(told(second_, 0), (Names{"1-3", "1-1"}));

    for (const auto& [node, gwid] :
         {std::pair{&grid_.node, "1-2"},
          {&grid_.node, "1-1"},
          {&second_, "1-3"},
          {&second_, "1-1"}})
        EXPECT_EQ(report(*node, gwid, ResultState::ok).status, 201U);
    EXPECT_EQ(reservation(id).at("results").size(), 4U) << "a network has one result per node";
    EXPECT_EQ(reservation(id).at("results").at(0).at("data_json").at("Port"), 9900);
    EXPECT_EQ(told(grid_.node, 2), Names{}) << "answered";

    EXPECT_EQ(end(id).status, 201U);
    EXPECT_EQ(action(id), 4);
    EXPECT_EQ(told(grid_.node, 2), (Names{"-1-2", "-1-1"}));
    EXPECT_EQ(end(id).status, 201U) << "once more is harmless";
    EXPECT_EQ(confirm(grid_.node, "1-2").status, 200U);
    EXPECT_EQ(confirm(grid_.node, "1-1").status, 200U);
    EXPECT_EQ(told(grid_.node, 0), Names{});
    EXPECT_EQ(told(second_, 2), (Names{"-1-3", "-1-1"})) << "one node's answer is not another's";
    EXPECT_EQ(action(id), 4);
    EXPECT_EQ(confirm(second_, "1-3").status, 200U);
    EXPECT_EQ(confirm(second_, "1-1").status, 200U);
    EXPECT_EQ(action(id), 6);
    const auto document = reservation(id);
    for (const auto& result : document.at("results")) EXPECT_EQ(result.at("state"), 2);
    EXPECT_EQ(told(second_, 0), Names{});
}

TEST_F(ReservationTest, ReachesANodeWhoseCursorRanAhead)
{
    const auto id = created();
    EXPECT_EQ(told(grid_.node, 100), (Names{"1-2", "1-1"}));
    (void)report(grid_.node, "1-2", ResultState::ok);
    EXPECT_EQ(told(grid_.node, 100), (Names{"1-1"}));
    EXPECT_EQ(id, 1);
}

TEST_F(ReservationTest, OneFailureEndsAllOfIt)
{
    const auto id = created();
    (void)report(second_, "1-3", ResultState::ok);
    EXPECT_EQ(report(grid_.node, "1-2", ResultState::error).status, 201U);
    EXPECT_EQ(action(id), 4);
    EXPECT_EQ(told(second_, 2), (Names{"-1-1", "-1-3"})) << "the one that waited longer first";
    EXPECT_EQ(report(second_, "1-1", ResultState::ok).status, 201U);
    EXPECT_EQ(action(id), 4) << "late news bring nothing back";
    (void)confirm(grid_.node, "1-2");
    const auto results = reservation(id).at("results");
    EXPECT_EQ(results.back().at("state"), 0) << "the failure stays visible";
    EXPECT_EQ(results.back().at("message"), "no room");
}

TEST_F(ReservationTest, AResultThatWouldFillTheDocumentIsRefused)
{
    const auto id = created();
    grid::WorkloadResult result;
    result.state = ResultState::ok;
    result.message = std::string(70'000, 'x');
    result.data.text = R"({"Port":9900})";
    result.signature = grid_.node.identity->sign_hex(grid::result_signing_bytes(result));
    const auto path = "/workloads/1-2/" + grid_.node.key_id;
    const auto refused = send(http::Method::put, path, grid::to_json(result), grid_.node);
    EXPECT_EQ(refused.status, 400U) << refused.body;
    EXPECT_EQ(reservation(id).at("results").size(), 0U);
    EXPECT_EQ(report(grid_.node, "1-2", ResultState::ok).status, 201U);
    EXPECT_EQ(reservation(id).at("results").size(), 1U);
}

TEST_F(ReservationTest, TheReasonOfAFailureHasRoomHoweverManyPartsThereAre)
{
    auto order = data();
    const auto zdb = order["zdbs"][0];
    for (int i = 0; i < 1000; ++i) {
        order["zdbs"].push_back(zdb);
        order["zdbs"].back()["workload_id"] = 10 + i;
    }
    const auto reply = create(order);
    ASSERT_EQ(reply.status, 201U) << reply.body;
    grid::WorkloadResult result;
    result.message = std::string(900, '<');  // Six bytes each.
    result.data.text = "null";
    const auto answer = [&](const std::string& gwid, ResultState state) {
        result.state = state;
        result.signature = grid_.node.identity->sign_hex(grid::result_signing_bytes(result));
        const auto path = "/workloads/" + gwid + "/" + grid_.node.key_id;
        return send(http::Method::put, path, grid::to_json(result), grid_.node).status;
    };
    EXPECT_EQ(answer("1-10", ResultState::ok), 400U) << "beyond its share";
    EXPECT_EQ(answer("1-10", ResultState::error), 201U);
    EXPECT_EQ(action(1), 4);
    const auto stored = *grid::from_json<grid::legacy::Reservation>(get("/1").body);
    ASSERT_EQ(stored.results.size(), 1U);
    EXPECT_EQ(stored.results.front().message, result.message) << "whole, as it was signed";
}

TEST_F(ReservationTest, ExpiresByTheClockAlone)
{
    const auto id = created();
    for (const auto& [node, gwid] :
         {std::pair{&grid_.node, "1-2"},
          {&grid_.node, "1-1"},
          {&second_, "1-3"},
          {&second_, "1-1"}})
        (void)report(*node, gwid, ResultState::ok);
    grid_.now += 1001;
    EXPECT_EQ(action(id), 3) << "all were deployed in time";
    grid_.now += 4000;
    EXPECT_EQ(action(id), 4);
    // The timer has the same news for nodes whose cursor is behind it.
    grid_.close();
    grid_.open();
    EXPECT_EQ(told(grid_.node, 2), (Names{"-1-2", "-1-1"}));
}

TEST_F(ReservationTest, WhoeverComesFirstAfterTheEndNodesAreTold)
{
    const auto id = created();
    for (const auto& [node, gwid] :
         {std::pair{&grid_.node, "1-2"},
          {&grid_.node, "1-1"},
          {&second_, "1-3"},
          {&second_, "1-1"}})
        (void)report(*node, gwid, ResultState::ok);
    grid_.now += 5001;
    // The timer has not looked yet: one node has counted for itself.
    EXPECT_EQ(confirm(grid_.node, "1-2").status, 200U);
    EXPECT_EQ(told(grid_.node, 2), (Names{"-1-1"}));
    EXPECT_EQ(told(second_, 2), (Names{"-1-3", "-1-1"}));
    EXPECT_EQ(end(id).status, 201U);
    EXPECT_EQ(told(second_, 2), (Names{"-1-3", "-1-1"}));
}

TEST_F(ReservationTest, WhatWasNotDeployedInTimeEnds)
{
    const auto id = created();
    (void)report(grid_.node, "1-2", ResultState::ok);
    grid_.now += 1001;
    EXPECT_EQ(action(id), 4);
    EXPECT_EQ(told(second_, 0), (Names{"-1-3", "-1-1"}));
}

TEST_F(ReservationTest, WaitsForTheConsentOfItsSigners)
{
    auto wanted = data();
    wanted["signing_request_provision"] = {{"signers", {customer()}}, {"quorum_min", 1}};
    ASSERT_EQ(create(wanted).status, 201U);
    EXPECT_EQ(action(1), 1);
    EXPECT_EQ(told(grid_.node, 0), Names{});

    const auto stored = *grid::from_json<grid::legacy::Reservation>(get("/1").body);
    const auto signature = grid_.customer_identity.sign_hex(grid::legacy::sign_text(stored));
    const auto consent = [&](std::int64_t tid, const std::string& hex) {
        const Json body{{"tid", tid}, {"signature", hex}, {"epoch", 0}};
        return send(http::Method::post, "/1/sign/provision", body.dump());
    };
    EXPECT_EQ(consent(99, signature).body, "{\"error\":\"signature not required for '99'\"}\n");
    EXPECT_EQ(consent(customer(), "zz").status, 400U);
    EXPECT_EQ(consent(customer(), std::string(128, '0')).status, 401U);
    EXPECT_EQ(consent(customer(), signature).status, 201U);
    EXPECT_EQ(action(1), 3);
    EXPECT_EQ(told(grid_.node, 100), (Names{"1-2", "1-1"}));
    EXPECT_EQ(consent(customer(), signature).status, 401U) << "nothing waits any more";
}

TEST_F(ReservationTest, OnlyItsNodesAnswerForIt)
{
    (void)created();
    EXPECT_EQ(report(second_, "1-2", ResultState::ok).status, 404U);
    EXPECT_EQ(report(grid_.node, "1-9", ResultState::ok).status, 404U);
    EXPECT_EQ(report(grid_.node, "9-1", ResultState::ok).status, 404U);
    const auto target = "/workloads/1-2/" + grid_.node.key_id;
    EXPECT_EQ(send(http::Method::put, target, "{}").status, 401U) << "unsigned";
    EXPECT_EQ(send(http::Method::put, target, "{}", second_).status, 403U);
    EXPECT_EQ(send(http::Method::put, target, "{}", grid_.node).status, 401U)
        << "the result is not signed";
    EXPECT_EQ(send(http::Method::del, target, "", second_).status, 403U);
    EXPECT_EQ(reservation(1).at("results").size(), 0U);
}

TEST_F(ReservationTest, NodesOfTheLaterEraAreToldInTheirWords)
{
    (void)created();
    auto page = grid_.poll(0);
    auto entries = test::SmallGrid::json(page);
    ASSERT_EQ(entries.size(), 2U) << page.body;
    EXPECT_EQ(page.headers.get("x-last-id"), "1");
    EXPECT_EQ(entries.at(0).at("workload_type"), 0);
    EXPECT_EQ(entries.at(0).at("version"), 0) << "secrets are of the old form";
    EXPECT_EQ(entries.at(1).at("workload_type"), 10);
    EXPECT_EQ(entries.at(1).at("network_iprange"), "10.1.0.0/16");

    const auto body = grid_.result_body("1-2", ResultState::ok);
    const auto own = "/reservations/nodes/" + grid_.node.key_id + "/workloads/";
    EXPECT_EQ(grid_.put(own + "1-2", body, grid_.node).status, 201U);
    EXPECT_EQ(reservation(1).at("results").at(0).at("workload_id"), "1-2");
    EXPECT_EQ(grid_.get("/reservations/nodes/workloads/1-2").status, 200U);
    (void)end(1);
    EXPECT_EQ(test::SmallGrid::json(grid_.poll(2)).size(), 2U) << "ends come through the queue";
    EXPECT_EQ(grid_.del(own + "1-2", grid_.node).status, 200U);
    EXPECT_EQ(grid_.del(own + "1-1", grid_.node).status, 200U);
    EXPECT_EQ(grid_.poll(0).body, "null\n");
}

TEST_F(ReservationTest, BothErasShareTheNumbers)
{
    (void)created();
    EXPECT_EQ(grid_.create_volume(), 2);
    EXPECT_EQ(created(), 3);
    EXPECT_EQ(test::SmallGrid::json(grid_.poll(0)).size(), 5U);
}

TEST_F(ReservationTest, RefusalsHaveTheWordsOfTheOriginals)
{
    const auto pipeline =
        std::string{"failed to process reservation state pipeline: invalid reservation object: "};
    const auto error = [&](const Json& sent) {
        const auto reply = send(http::Method::post, "", sent.dump());
        EXPECT_GE(reply.status, 400U) << sent.dump();
        return test::SmallGrid::json(reply).value("error", "");
    };
    EXPECT_EQ(error(Json::object()), "creating for a reservation that expires in the past");
    auto sent = request(data());
    sent["customer_tid"] = 0;
    EXPECT_EQ(error(sent), pipeline + "customer_tid is required");
    sent = request(data());
    sent["data_reservation"]["description"] = "x";
    EXPECT_EQ(error(sent), pipeline + "json data does not match the reservation data");
    sent = request(data());
    sent["data_reservation"]["currencies"] = Json::array();
    EXPECT_EQ(error(sent), pipeline + "json data does not match the reservation data");
    sent = request(data());
    sent["metadata"] = std::string(1025, 'x');
    EXPECT_EQ(error(sent), pipeline + "metadata can not be bigger than 1024 bytes");
    auto other = data();
    other["zdbs"][1]["workload_id"] = 2;
    EXPECT_EQ(error(request(other)), pipeline + "conflicting workload ID '2'");
    other["zdbs"][1]["workload_id"] = -2;
    EXPECT_EQ(error(request(other)), pipeline + "workload ID '-2' is negative");
    other = data();
    other["expiration_provisioning"] = grid_.now - 1;
    EXPECT_EQ(error(request(other)), "invalid request wrong status 'delete'");
    other = data();
    other["zdbs"][1]["node_id"] = "nobody";
    EXPECT_EQ(error(request(other)), "mongo: no documents in result");
    sent = request(data());
    sent["customer_tid"] = 99;
    EXPECT_EQ(error(sent), "cannot find user with id '99': mongo: no documents in result");
    sent = request(data());
    sent["customer_signature"] = std::string(128, '0');
    EXPECT_EQ(error(sent), "failed to verify customer signature: signature verification failed");
    EXPECT_EQ(get("?next_action=deploy").status, 400U);
    EXPECT_EQ(get("/99").status, 404U);
    EXPECT_EQ(get("/99999999999999999999").status, 400U);
    EXPECT_EQ(created(), 1) << "refusals use up no number";
}

TEST_F(ReservationTest, IsListedAndShownByName)
{
    const auto id = created();
    const auto page = get("?customer_tid=" + std::to_string(customer()));
    EXPECT_EQ(page.headers.get("Pages"), "1");
    EXPECT_EQ(test::SmallGrid::json(page).at(0).at("id"), id);
    EXPECT_EQ(get("?customer_tid=99").body, "[]\n");
    EXPECT_EQ(reservation(id).at("json"), data().dump()) << "the very text that is signed";

    auto entry = test::SmallGrid::json(get("/workloads/1-2"));
    EXPECT_TRUE(entry.at("result").is_null());
    (void)report(grid_.node, "1-2", ResultState::ok);
    entry = test::SmallGrid::json(get("/workloads/1-2"));
    EXPECT_EQ(entry.at("result").at(0).at("state"), 1);
    EXPECT_EQ(get("/workloads/1-9").status, 404U);
}

TEST(ReservationReplyTest, IsABareNumberWhereOldClientsWantIt)
{
    test::SmallGrid grid{{.first_id = 9012, .bare_reservation_id = true}};
    grid.fill();
    const Json data{
        {"expiration_provisioning", grid.now + 10}, {"expiration_reservation", grid.now + 10}};
    const Json request{
        {"json", data.dump()},
        {"data_reservation", data},
        {"customer_tid", std::stoll(grid.customer.key_id)},
        {"customer_signature", grid.customer_identity.sign_hex(data.dump())}};
    const auto reply = grid.send(
        {.method = http::Method::post, .target = "/explorer/reservations", .body = request.dump()});
    EXPECT_EQ(reply.status, 201U);
    EXPECT_EQ(reply.body, "9012\n");
}

}  // namespace
}  // namespace znode::explorer_server
