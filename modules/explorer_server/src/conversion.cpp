// Reservations of the first era that go on as workloads of a pool: the customer is shown what each
// of them becomes, signs it and posts it back. Nothing is deployed anew: a converted workload names
// what it continues (`reference`), and its node goes on under the new name.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "explorer_server/accounting.hpp"
#include "grid/challenge.hpp"
#include "grid/units.hpp"
#include "identity/identity.hpp"
#include "reservations.hpp"

namespace znode::explorer_server {
namespace {

using grid::NextAction;
using grid::ResultState;
using grid::legacy::Reservation;

/// What a customer is shown and signs, and what it costs until the reservation's end.
struct Offer {
    grid::Workload workload;
    std::int64_t reservation = 0;
    std::int64_t farm = 0;
    std::int64_t seconds = 0;  ///< That are paid by the reservation.
    grid::CloudUnits units;
};

Result<std::int64_t> farm_of(Core& core, const std::string& node_id)
{
    TRY(const auto node, core.node(node_id));
    if (node) return node->farm_id;
    TRY(const auto gateway, core.gateway(node_id));
    return gateway ? gateway->farm_id : 0;
}

/// The pool that takes the customer's workloads on a farm over. Its number is part of what is
/// signed, so it is given once; the pool itself is made when the signatures come.
Result<std::int64_t> pool_for(Core& core, std::int64_t customer, std::int64_t farm)
{
    TRY(const auto known,
        core.db.integer(
            "SELECT pool FROM conversion_pool WHERE customer = ? AND farm = ?", {customer, farm}));
    if (known) return *known;
    TRY(const auto id, core.next_id("pool"));
    TRY_DO(core.db.run(
        "INSERT INTO conversion_pool (customer, farm, pool) VALUES (?, ?, ?)",
        {customer, farm, id}));
    return id;
}

/// Mounts of the same reservation were written "-5"; in a workload of its own that means itself.
void name_mounts_in_full(grid::Workload& workload, std::int64_t reservation)
{
    auto* const container = std::get_if<grid::Container>(&workload.data);
    if (container == nullptr) return;
    for (auto& mount : container->volumes)
        if (mount.volume_id.starts_with('-'))
            mount.volume_id.insert(0, std::to_string(reservation));
}

/// Only what its node runs can go on: empty while any part has no good result.
Result<std::vector<Offer>> offers_of(Core& core, const Reservation& reservation, std::int64_t now)
{
    std::vector<Offer> offers;
    std::set<std::pair<std::string, std::string>> seen;
    for (const auto& part : parts_of(reservation)) {
        TRY(const auto gone,
            core.db.integer(
                "SELECT 1 FROM part WHERE reservation = ? AND workload_id = ? AND node = ? AND "
                "gone = 1 LIMIT 1",
                {reservation.id, part.workload_id, part.node()}));
        // Of a network that names a node twice the node runs the first.
        if (gone || !seen.emplace(part.entry.workload_id, part.node()).second) continue;

        auto workload = in_new_words(reservation, part);
        TRY(const auto farm, farm_of(core, part.node()));
        if (!workload || workload->result.state != ResultState::ok || farm == 0)
            return std::vector<Offer>{};
        const auto units = grid::resource_units(*workload);
        if (!units) return std::vector<Offer>{};

        workload->id = 0;
        workload->reference = part.entry.workload_id;
        TRY(workload->pool_id, pool_for(core, reservation.customer_tid, farm));
        workload->next_action = NextAction::create;
        workload->epoch.unix = now;
        workload->result = {};
        workload->signing_request_provision = {
            .signers = grid::List<std::int64_t>::none(), .quorum_min = 0};
        workload->signatures_provision = grid::List<grid::SigningSignature>::none();
        workload->signatures_delete = grid::List<grid::SigningSignature>::none();
        workload->customer_signature.clear();
        name_mounts_in_full(*workload, reservation.id);
        offers.push_back(
            {.workload = *std::move(workload),
             .reservation = reservation.id,
             .farm = farm,
             .seconds = reservation.data.expiration_reservation.unix - now,
             .units = grid::cloud_units(*units)});
    }
    return offers;
}

/// Everything of a customer that can go on in a pool.
Result<std::vector<Offer>> offers_to(Core& core, std::int64_t customer, std::int64_t now)
{
    TRY(const auto live,
        core.documents<Reservation>(
            "SELECT document FROM reservation WHERE customer = ? AND next_action = 3 ORDER BY id",
            {customer}));
    std::vector<Offer> all;
    for (const auto& reservation : live) {
        if (advance(reservation, now) != NextAction::deploy) continue;
        TRY(auto offers, offers_of(core, reservation, now));
        std::ranges::move(offers, std::back_inserter(all));
    }
    return all;
}

Answer<> check_signed(
    const grid::Workload& sent, const grid::Workload& offered, const identity::PublicKey& key)
{
    // What is signed is what counts; of the rest the explorer's own words are kept.
    if (grid::challenge(sent) != grid::challenge(offered, sent.epoch))
        return refuse(
            400, "workload " + printable(sent.reference) + " is not what was to be signed");
    TRY(const auto signature,
        hex_of(sent.customer_signature, "invalid signature format, expecting hex encoded string"));
    if (!identity::verify(key, grid::create_message(sent), signature))
        return refuse(400, "failed to verify customer signature: signature verification failed");
    return http::Reply{};
}

/// Makes the pools, each with what the reservations had still paid for.
Answer<> fund_pools(
    Core& core, const std::vector<Offer>& offers, std::int64_t customer, std::int64_t now)
{
    struct Fund {
        std::int64_t farm = 0;
        std::set<std::string> nodes;
        grid::CloudUnits unit_seconds;
    };
    std::map<std::int64_t, Fund> funds;
    for (const auto& offer : offers) {
        auto& fund = funds[offer.workload.pool_id];
        fund.farm = offer.farm;
        fund.nodes.insert(offer.workload.node_id);
        const auto seconds = static_cast<double>(offer.seconds);
        fund.unit_seconds.cu += std::ceil(offer.units.cu * seconds);
        fund.unit_seconds.su += std::ceil(offer.units.su * seconds);
        fund.unit_seconds.ipv4u += std::ceil(offer.units.ipv4u * seconds);
    }
    for (const auto& [id, fund] : funds) {
        TRY(auto stored, core.pool(id));
        if (!stored) {
            stored.emplace();
            stored->pool_id = id;
            stored->customer_tid = customer;
            stored->last_updated = now;
            stored->node_ids = grid::List<std::string>::none();
            stored->active_workload_ids = grid::List<std::int64_t>::none();
            TRY_DO(save_payment(core, id, fund.farm, now));
        }
        for (const auto& node : fund.nodes)
            if (std::ranges::find(stored->node_ids, node) == stored->node_ids.end())
                stored->node_ids.push_back(node);
        add_capacity(*stored, fund.unit_seconds, now);
        TRY_DO(core.save_pool(*stored));
    }
    return http::Reply{};
}

}  // namespace

Answer<> get_conversion(Core& core, Call& call)
{
    TRY(const auto user, signing_user(core, call));
    // Numbers of pools are given here: a question that writes.
    std::vector<Offer> offers;
    TRY_DO(core.db.transaction([&]() -> Result<> {
        TRY(offers, offers_to(core, user, call.now));
        return {};
    }));
    if (offers.empty()) {
        TRY(const auto done,
            core.db.integer(
                "SELECT 1 FROM reservation WHERE customer = ? AND next_action = 7 LIMIT 1",
                {user}));
        if (done) return http::Reply{.status = 204};
    }
    std::vector<grid::Workload> documents;
    documents.reserve(offers.size());
    for (auto& offer : offers) documents.push_back(std::move(offer.workload));
    return json_reply(200, grid::list_to_json(documents));
}

Answer<> post_conversion(Core& core, Call& call)
{
    TRY(const auto customer, signing_user(core, call));
    auto sent = grid::list_from_json<grid::Workload>(call.request.body, sent_limits);
    if (!sent) return refuse(400, std::move(sent).error().message);
    if (sent->empty()) return refuse(400, "need to send at least 1 workload to convert");
    TRY(const auto user, core.user(customer));
    const auto key = identity::key_of_hex(user ? user->pubkey : std::string{});
    if (!key) return refuse(400, "cannot find user with id '" + std::to_string(customer) + "'");

    TRY(auto offers, offers_to(core, customer, call.now));
    std::set<std::int64_t> reservations;
    std::vector<Offer> taken;
    std::vector<std::int64_t> epochs;
    for (const auto& workload : *sent) {
        const auto offer = std::ranges::find_if(offers, [&](const Offer& known) {
            return known.workload.reference == workload.reference &&
                   known.workload.node_id == workload.node_id;
        });
        if (offer == offers.end())
            return refuse(
                400, "workload " + printable(workload.reference) + " is not to be converted");
        TRY_DO(check_signed(workload, offer->workload, *key));
        offer->workload.customer_signature = workload.customer_signature;
        reservations.insert(offer->reservation);
        epochs.push_back(workload.epoch.unix);
        taken.push_back(std::move(*offer));
        offers.erase(offer);
    }
    for (const auto& left : offers)
        if (reservations.contains(left.reservation))
            return refuse(
                400,
                "workload " + left.workload.reference +
                    " is missing: a reservation is converted as a whole");

    TRY_DO(fund_pools(core, taken, customer, call.now));
    for (std::size_t i = 0; i < taken.size(); ++i) {
        Core::StoredWorkload stored{
            .document = std::move(taken[i].workload),
            .customer_epoch = epochs[i],
            .has_epoch = true};
        TRY(stored.document.id, core.next_id("workload"));
        stored.document.epoch.unix = call.now;
        stored.document.next_action = NextAction::deploy;
        TRY_DO(stored_text(stored.document, "workload", largest_order));
        TRY_DO(core.save_workload(stored));
        TRY_DO(core.enqueue(stored.document));
    }
    for (const auto id : reservations) {
        TRY(auto reservation, find_reservation(core, id, call.now));
        if (!reservation) return refuse(404, no_document);
        reservation->next_action = NextAction::migrated;
        TRY_DO(save_reservation(core, *reservation));
        TRY_DO(core.db.run("DELETE FROM queue WHERE id = ?", {id}));
    }
    core.log->info(
        "reservations converted customer={} reservations={} workloads={}",
        customer,
        reservations.size(),
        taken.size());
    return null_reply(201);
}

}  // namespace znode::explorer_server
