#include <algorithm>
#include <set>

#include "base/hex.hpp"
#include "core.hpp"
#include "explorer_server/accounting.hpp"
#include "identity/identity.hpp"

namespace znode::explorer_server {
namespace {

// Nobody pays here: pools are credited at once. Clients take a record of a payment of zero for
// paid, but want an address and an asset "CODE:ISSUER" to show.
constexpr const char* escrow_address = "nothing-to-pay";
constexpr const char* tft_asset = "TFT:GBOVQKJYHXRR3DX6NOX2RRYFRCUMSADGDESTDNBDS6CDVLGVESRTAC47";

/// 400 unless the user exists and has signed the text.
Answer<> check_signature(
    Core& core,
    std::int64_t tid,
    std::string_view who,
    std::string_view signature,
    std::string_view text)
{
    TRY(const auto user, core.user(tid));
    if (!user)
        return refuse(
            400,
            "cannot find " + std::string{who} + " with id '" + std::to_string(tid) +
                "': " + no_document);
    const auto key = identity::key_of_hex(user->pubkey);
    const auto failed = "failed to verify " + std::string{who} + " signature: ";
    TRY(const auto raw,
        hex_of(signature, failed + "invalid signature format, expecting hex encoded string"));
    if (!key || !identity::verify(*key, text, raw))
        return refuse(400, failed + "signature verification failed");
    return http::Reply{};
}

Answer<> check_reservation(Core& core, const grid::PoolReservation& sent)
{
    if (sent.customer_tid == 0) return refuse(400, "customer_tid is required");
    if (sent.customer_signature.empty()) return refuse(400, "customer_signature is required");
    if (sent.sponsor_tid != 0 && sent.sponsor_signature.empty())
        return refuse(400, "sponsor_signature is required");
    if (sent.data.node_ids.empty())
        return refuse(400, "pool must be applicable to at least 1 node");
    const auto signed_data = grid::from_json<grid::PoolData>(sent.json, sent_limits);
    if (!signed_data)
        return refuse(400, "invalid json data on reservation: " + signed_data.error().message);
    if (grid::to_json(*signed_data) != grid::to_json(sent.data))
        return refuse(400, "json data does not match the reservation data");
    const std::set<std::string> distinct(sent.data.node_ids.begin(), sent.data.node_ids.end());
    if (distinct.size() != sent.data.node_ids.size())
        return refuse(409, "duplicate node ID is not allowed in capacity pool");

    TRY_DO(
        check_signature(core, sent.customer_tid, "customer", sent.customer_signature, sent.json));
    if (sent.sponsor_tid != 0)
        TRY_DO(
            check_signature(core, sent.sponsor_tid, "sponsor", sent.sponsor_signature, sent.json));
    return http::Reply{};
}

/// The farm of all nodes and gateways; 0 when none of them is known.
Answer<std::int64_t> farm_of(Core& core, const grid::PoolData& data)
{
    std::int64_t farm = 0;
    for (const auto& id : data.node_ids) {
        TRY(const auto node, core.node(id));
        TRY(const auto gateway, core.gateway(id));
        const auto its = node ? node->farm_id : gateway ? gateway->farm_id : 0;
        if (!node && !gateway && !core.options.lenient)
            return refuse(400, "cannot find node with id '" + id + "': " + no_document);
        // Gateways may serve several farms' customers.
        if (!node || its == 0) continue;
        if (farm != 0 && farm != its)
            return refuse(400, "all nodes for a capacity pool must belong to the same farm");
        farm = its;
    }
    return farm;
}

Answer<> extend(grid::Pool& pool, const grid::PoolData& data)
{
    if (pool.pool_id == 0)
        return refuse(500, "failed to load pool: the specified pool could not be found");
    for (const auto& old : pool.node_ids)
        if (std::ranges::find(data.node_ids, old) == data.node_ids.end())
            return refuse(500, "nodes can not be removed from a pool");
    const bool same_nodes = pool.node_ids.size() == data.node_ids.size();
    if (same_nodes && data.cus == 0 && data.sus == 0 && data.ipv4us == 0)
        return refuse(400, "this capacity reservation has no observable results");
    return http::Reply{};
}

}  // namespace

Result<> save_payment(Core& core, std::int64_t id, std::int64_t farm, std::int64_t now)
{
    const grid::Payment payment{
        .id = id,
        .farmer_id = farm,
        .address = escrow_address,
        .expiration = {.unix = now + 3600},
        .asset = tft_asset,
        .amount = 0,
        .paid = true,
        .released = true};
    TRY_DO(core.db.run(
        "INSERT INTO payment (id, document) VALUES (?, ?)", {id, grid::to_json(payment)}));
    return {};
}

Answer<> get_prices(Core&, Call&)
{
    // What the units cost on the public grid; here nobody is asked to pay.
    const grid::Prices prices{
        .cu_dollar_month = 10, .su_dollar_month = 8, .tft_price_mill = 100, .ip4u_dollar_month = 6};
    return json_reply(200, grid::to_json(prices));
}

Answer<> create_pool(Core& core, Call& call)
{
    TRY(const auto sent, body_of<grid::PoolReservation>(call));
    TRY_DO(check_reservation(core, sent));
    TRY(const auto farm, farm_of(core, sent.data));

    TRY(const auto id, core.next_id("pool"));
    grid::Pool pool{.pool_id = id};
    if (sent.data.pool_id != 0) {
        TRY(auto stored, core.pool(sent.data.pool_id));
        pool = stored ? *std::move(stored) : grid::Pool{};
        if (auto fits = extend(pool, sent.data); !fits)
            return tl::unexpected(std::move(fits).error().keeping());
    } else {
        pool.customer_tid = sent.customer_tid;
        pool.sponsor_tid = sent.sponsor_tid;
        pool.last_updated = call.now;
        pool.active_workload_ids = grid::List<std::int64_t>::none();
    }
    pool.node_ids = grid::List<std::string>(sent.data.node_ids);
    add_capacity(
        pool,
        {.cu = static_cast<double>(sent.data.cus),
         .su = static_cast<double>(sent.data.sus),
         .ipv4u = static_cast<double>(sent.data.ipv4us)},
        call.now);
    // What runs in it is listed in it later on.
    TRY_DO(stored_text(pool, "pool", largest_pool / 4));
    TRY_DO(core.save_pool(pool));

    TRY_DO(save_payment(core, id, farm, call.now));
    core.log->info(
        "pool credited id={} customer={} public_price_tft={}",
        pool.pool_id,
        pool.customer_tid,
        static_cast<double>(public_price(sent.data, 1)) / 1e7);
    return json_reply(
        201,
        grid::to_json(grid::PoolReply{
            .reservation_id = id,
            .escrow_information = {.address = escrow_address, .asset = tft_asset, .amount = 0}}));
}

Answer<> get_pool(Core& core, Call& call)
{
    TRY(const auto id, integer_of(call.part(0)));
    if (id == 0) return json_reply(200, grid::to_json(grid::Pool{}));
    TRY(auto pool, core.pool(id));
    if (!pool) return refuse(404, "capacity pool not found");
    sync_pool(*pool, call.now);
    return json_reply(200, grid::to_json(*pool));
}

Answer<> list_pools(Core& core, Call& call)
{
    TRY(const auto owner, integer_of(call.part(0)));
    // All of them, as the originals have it; in pages for who asks for a size.
    const bool in_pages = call.argument("size").has_value();
    const auto paging = Paging::of(call);
    TRY(auto list,
        core.list_of<grid::Pool>(
            "SELECT document FROM pool WHERE owner = ? ORDER BY id LIMIT ? OFFSET ?",
            {owner,
             in_pages ? paging.size : std::int64_t{-1},
             in_pages ? paging.offset() : std::int64_t{0}},
            [&](grid::Pool& pool) { sync_pool(pool, call.now); }));
    auto reply = json_reply(200, std::move(list));
    if (in_pages) {
        TRY(const auto total,
            core.db.integer("SELECT count(*) FROM pool WHERE owner = ?", {owner}));
        paging.mark(reply, total.value_or(0));
    }
    return reply;
}

Answer<> get_payment(Core& core, Call& call)
{
    TRY(const auto id, integer_of(call.part(0)));
    TRY(const auto payment,
        core.document<grid::Payment>("SELECT document FROM payment WHERE id = ?", {id}));
    if (!payment) return refuse(404, "escrow information not found");
    return json_reply(200, grid::to_json(*payment));
}

}  // namespace znode::explorer_server
