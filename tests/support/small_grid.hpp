#pragma once
// A private explorer in a folder of its own, with a farmer, a customer and a node who sign what
// they send. No sockets: requests are handed to the server as the HTTP layer would.

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "explorer_server/explorer_server.hpp"
#include "grid/challenge.hpp"
#include "grid/document.hpp"
#include "grid/pool.hpp"
#include "identity/http_signature.hpp"
#include "identity/identity.hpp"
#include "temp_folder.hpp"

namespace znode::test {

using Json = nlohmann::ordered_json;

/// Who signs a request, and under which id.
struct Signer {
    const identity::Identity* identity = nullptr;
    std::string key_id = {};
};

inline void sign(http::Request& request, const Signer& signer, std::int64_t now)
{
    const auto headers = identity::sign_request(*signer.identity, signer.key_id, now);
    request.headers.set("Date", headers.date);
    request.headers.set("Threebot-Id", headers.threebot_id);
    request.headers.set("Authorization", headers.authorization);
}

inline identity::Identity identity_of(unsigned char first)
{
    std::string seed(32, '\0');
    for (std::size_t i = 0; i < seed.size(); ++i)
        seed[i] = static_cast<char>(first + static_cast<unsigned char>(i));
    return *identity::Identity::from_seed(Secret{seed});
}

class SmallGrid {
public:
    explicit SmallGrid(explorer_server::Options base = {}) : options{std::move(base)}
    {
        options.data = folder.path() / "explorer";
        options.now = [this] { return now; };
        open();
    }
    ~SmallGrid() { close(); }
    SmallGrid(const SmallGrid&) = delete;
    SmallGrid& operator=(const SmallGrid&) = delete;

    void open()
    {
        auto opened = explorer_server::make_explorer_server(loop, options, silent_log());
        if (!opened) throw std::runtime_error{opened.error().message};
        server = *std::move(opened);
    }
    void close()
    {
        if (!server) return;
        run(loop, server->stop());
        server.reset();
    }

    http::Reply send(http::Request request, const Signer& signer = {})
    {
        if (signer.identity != nullptr) sign(request, signer, now);
        const http::Peer peer{.address = "127.0.0.1"};
        return run(loop, server->answer(request, peer));
    }
    http::Reply get(std::string target, const Signer& signer = {})
    {
        return send({.target = "/api/v1" + std::move(target)}, signer);
    }
    http::Reply post(std::string target, std::string body, const Signer& signer = {})
    {
        return send(
            {.method = http::Method::post,
             .target = "/api/v1" + std::move(target),
             .body = std::move(body)},
            signer);
    }
    http::Reply put(std::string target, std::string body, const Signer& signer = {})
    {
        return send(
            {.method = http::Method::put,
             .target = "/api/v1" + std::move(target),
             .body = std::move(body)},
            signer);
    }
    http::Reply del(std::string target, const Signer& signer = {})
    {
        return send({.method = http::Method::del, .target = "/api/v1" + std::move(target)}, signer);
    }
    static Json json(const http::Reply& reply) { return Json::parse(reply.body, nullptr, false); }

    std::int64_t add_user(const std::string& name, const identity::Identity& who)
    {
        const Json body{
            {"name", name}, {"email", name + "@example.com"}, {"pubkey", who.public_key_hex()}};
        return json(post("/users", body.dump())).at("id").get<std::int64_t>();
    }
    /// Farmer, farm 1, the node, the customer and his pool.
    void fill(double cus = 1e9, double sus = 1e9)
    {
        farmer.key_id = std::to_string(add_user("farmer", *farmer.identity));
        customer.key_id = std::to_string(add_user("customer", *customer.identity));
        const Json farm{
            {"name", "farm"},
            {"threebot_id", std::stoll(farmer.key_id)},
            {"wallet_addresses", {{{"asset", "TFT"}, {"address", "G"}}}}};
        ASSERT_EQ(post("/farms", farm.dump(), farmer).status, 201U);
        const Json registration{
            {"node_id", node.key_id},
            {"farm_id", 1},
            {"os_version", "1"},
            {"public_key_hex", node.identity->public_key_hex()},
            {"location", {{"country", "Austria"}}}};
        const auto registered = post("/nodes", registration.dump(), node);
        ASSERT_EQ(registered.status, 201U) << registered.body;
        const auto made = post("/reservations/pools", pool_request(0, cus, sus));
        ASSERT_EQ(made.status, 201U) << made.body;
        pool = json(made).at("reservation_id").get<std::int64_t>();
    }
    std::string pool_request(std::int64_t id, double cus, double sus) const
    {
        const Json data{
            {"pool_id", id},
            {"cus", static_cast<std::int64_t>(cus)},
            {"sus", static_cast<std::int64_t>(sus)},
            {"ipv4us", 0},
            {"node_ids", {node.key_id}},
            {"currencies", {"TFT"}}};
        const Json request{
            {"json", data.dump()},
            {"data_reservation", data},
            {"customer_tid", std::stoll(customer.key_id)},
            {"customer_signature", customer.identity->sign_hex(data.dump())}};
        return request.dump();
    }
    grid::Workload volume(std::int64_t gib = 10) const
    {
        grid::Workload workload;
        workload.workload_id = 1;
        workload.node_id = node.key_id;
        workload.pool_id = pool;
        workload.customer_tid = std::stoll(customer.key_id);
        workload.epoch.unix = now;
        workload.signing_request_delete = {
            .signers = {std::stoll(customer.key_id)}, .quorum_min = 1};
        workload.workload_type = grid::WorkloadType::volume;
        workload.data = grid::Volume{.size = gib, .type = grid::DiskType::ssd};
        return workload;
    }
    http::Reply create(grid::Workload workload)
    {
        workload.customer_signature = customer.identity->sign_hex(grid::create_message(workload));
        return post("/reservations/workloads", grid::to_json(workload), customer);
    }
    /// Creates and gives the id; 0 when it was refused.
    std::int64_t create_volume(std::int64_t gib = 10)
    {
        const auto reply = create(volume(gib));
        return reply.status == 201 ? json(reply).at("reservation_id").get<std::int64_t>() : 0;
    }
    Json workload(std::int64_t id)
    {
        return json(get("/reservations/workloads/" + std::to_string(id)));
    }
    std::string result_body(
        std::string_view gwid, grid::ResultState state, std::string message = {}) const
    {
        grid::WorkloadResult result;
        result.category = grid::WorkloadType::volume;
        result.state = state;
        result.message = std::move(message);
        result.data.text = "{\"volume_id\":\"" + std::string{gwid} + "\"}";
        result.signature = node.identity->sign_hex(grid::result_signing_bytes(result));
        return grid::to_json(result);
    }
    http::Reply report(std::int64_t id, grid::ResultState state, std::string message = {})
    {
        const auto gwid = std::to_string(id) + "-1";
        return put(
            "/reservations/nodes/" + node.key_id + "/workloads/" + gwid,
            result_body(gwid, state, std::move(message)),
            node);
    }
    http::Reply confirm_deleted(std::int64_t id)
    {
        return del(
            "/reservations/nodes/" + node.key_id + "/workloads/" + std::to_string(id) + "-1", node);
    }
    http::Reply sign_delete(std::int64_t id)
    {
        const auto stored = get("/reservations/workloads/" + std::to_string(id));
        const auto document = *grid::from_json<grid::Workload>(stored.body);
        const auto tid = std::stoll(customer.key_id);
        const Json body{
            {"tid", tid},
            {"signature", customer.identity->sign_hex(grid::delete_message(document, tid))}};
        return post("/reservations/workloads/" + std::to_string(id) + "/sign/delete", body.dump());
    }
    http::Request poll_request(std::int64_t from) const
    {
        return {
            .target = "/api/v1/reservations/nodes/" + node.key_id +
                      "/workloads?from=" + std::to_string(from)};
    }
    http::Reply poll(std::int64_t from) { return send(poll_request(from)); }

    TempFolder folder;
    asio::io_context loop{1};
    explorer_server::Options options;
    std::int64_t now = 1'700'000'000;
    std::unique_ptr<explorer_server::ExplorerServer> server;

    identity::Identity node_identity = identity_of(0x00);
    identity::Identity farmer_identity = identity_of(0x20);
    identity::Identity customer_identity = identity_of(0x40);
    Signer node{&node_identity, node_identity.node_id()};
    Signer farmer{&farmer_identity};
    Signer customer{&customer_identity};
    std::int64_t pool = 0;
};

}  // namespace znode::test
