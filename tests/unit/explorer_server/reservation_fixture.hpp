#pragma once

#include <gtest/gtest.h>

#include "grid/legacy.hpp"
#include "small_grid.hpp"

namespace znode::explorer_server {

using grid::NextAction;
using grid::ResultState;
using test::Json;

/// A customer's order of the first era: two zdbs on two nodes, and a network over both.
class ReservationTest : public testing::Test {
protected:
    void SetUp() override
    {
        grid_.fill();
        second_.key_id = second_identity_.node_id();
        const Json registration{
            {"node_id", second_.key_id},
            {"farm_id", 1},
            {"os_version", "1"},
            {"public_key_hex", second_identity_.public_key_hex()},
            {"location", {{"country", "Austria"}}}};
        ASSERT_EQ(grid_.post("/nodes", registration.dump(), second_).status, 201U);
    }

    http::Reply send(
        http::Method method,
        std::string target,
        std::string body = {},
        const test::Signer& signer = {})
    {
        return grid_.send(
            {.method = method,
             .target = "/explorer/reservations" + std::move(target),
             .body = std::move(body)},
            signer);
    }
    http::Reply get(std::string target) { return send(http::Method::get, std::move(target)); }

    std::int64_t customer() const { return std::stoll(grid_.customer.key_id); }

    Json data() const
    {
        const auto zdb = [](int id, const std::string& node) {
            return Json{
                {"workload_id", id},
                {"node_id", node},
                {"size", 10},
                {"mode", 0},
                {"password", ""},
                {"disk_type", 1},
                {"public", false},
                {"stats_aggregator", Json::array()},
                {"farmer_tid", 2147483647}};
        };
        Json resources = Json::array();
        for (const auto& node : {grid_.node.key_id, second_.key_id})
            resources.push_back({{"node_id", node}, {"iprange", "10.1.1.0/24"}, {"peers", {}}});
        return {
            {"description", ""},
            {"signing_request_provision", {{"signers", Json::array()}, {"quorum_min", 0}}},
            {"signing_request_delete", {{"signers", {customer()}}, {"quorum_min", 1}}},
            {"containers", Json::array()},
            {"volumes", Json::array()},
            {"zdbs", {zdb(2, grid_.node.key_id), zdb(3, second_.key_id)}},
            {"networks",
             {{{"name", "net"},
               {"workload_id", 1},
               {"iprange", "10.1.0.0/16"},
               {"network_resources", resources}}}},
            {"kubernetes", Json::array()},
            {"expiration_provisioning", grid_.now + 1000},
            {"expiration_reservation", grid_.now + 5000}};
    }
    Json request(const Json& data) const
    {
        return {
            {"json", data.dump()},
            {"data_reservation", data},
            {"customer_tid", customer()},
            {"customer_signature", grid_.customer_identity.sign_hex(data.dump())},
            {"next_action", 0},
            {"epoch", 0},
            {"results", Json::array()}};
    }
    http::Reply create(const Json& data)
    {
        return send(http::Method::post, "", request(data).dump());
    }
    std::int64_t created()
    {
        const auto reply = create(data());
        EXPECT_EQ(reply.status, 201U) << reply.body;
        return reply.status == 201
                   ? test::SmallGrid::json(reply).at("reservation_id").get<std::int64_t>()
                   : 0;
    }
    Json reservation(std::int64_t id)
    {
        return test::SmallGrid::json(get("/" + std::to_string(id)));
    }
    int action(std::int64_t id) { return reservation(id).at("next_action").get<int>(); }

    http::Reply report(const test::Signer& node, const std::string& gwid, ResultState state)
    {
        grid::WorkloadResult result;
        result.category = grid::WorkloadType::zdb;
        result.state = state;
        result.message = state == ResultState::error ? "no room" : "";
        result.data.text = R"({"Namespace":")" + gwid + R"(","IP":"10.0.0.1","Port":9900})";
        result.signature = node.identity->sign_hex(grid::result_signing_bytes(result));
        return send(
            http::Method::put, "/workloads/" + gwid + "/" + node.key_id, to_json(result), node);
    }
    http::Reply confirm(const test::Signer& node, const std::string& gwid)
    {
        return send(http::Method::del, "/workloads/" + gwid + "/" + node.key_id, {}, node);
    }
    http::Reply end(std::int64_t id)
    {
        const auto stored =
            *grid::from_json<grid::legacy::Reservation>(get("/" + std::to_string(id)).body);
        const Json body{
            {"tid", customer()},
            {"signature", grid_.customer_identity.sign_hex(grid::legacy::sign_text(stored))},
            {"epoch", 0}};
        return send(http::Method::post, "/" + std::to_string(id) + "/sign/delete", body.dump());
    }
    /// What a node of that era is told: names, with a '-' in front when they are to be deleted.
    std::vector<std::string> told(const test::Signer& node, std::int64_t from)
    {
        const auto reply = get("/workloads/" + node.key_id + "?from=" + std::to_string(from));
        EXPECT_EQ(reply.status, 200U) << reply.body;
        std::vector<std::string> names;
        for (const auto& entry : test::SmallGrid::json(reply))
            names.push_back(
                (entry.at("to_delete").get<bool>() ? "-" : "") +
                entry.at("workload_id").get<std::string>());
        return names;
    }
    using Names = std::vector<std::string>;

    test::SmallGrid grid_;
    identity::Identity second_identity_ = test::identity_of(0x80);
    test::Signer second_{&second_identity_};
};

}  // namespace znode::explorer_server
