#include <algorithm>
#include <set>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "identity/identity.hpp"
#include "reservations.hpp"

namespace znode::explorer_server {
namespace {

using grid::NextAction;
using grid::legacy::Reservation;

/// Every node or gateway must be known, and free of charge either all or none.
Answer<> check_nodes(Core& core, const std::vector<Part>& parts)
{
    std::set<std::string> ids;
    for (const auto& part : parts) ids.insert(part.node());
    std::size_t free_ones = 0;
    for (const auto& id : ids) {
        TRY(const auto node, core.node(id));
        TRY(const auto gateway, core.gateway(id));
        if (!node && !gateway) return refuse(500, no_document);
        if (node ? node->free_to_use : gateway->free_to_use) ++free_ones;
    }
    if (free_ones != 0 && free_ones != ids.size())
        return refuse(
            400, "reservation can only contain either free nodes or paid nodes, not both");
    return http::Reply{};
}

Answer<> check_customer(Core& core, const Reservation& sent)
{
    TRY(const auto user, core.user(sent.customer_tid));
    if (!user)
        return refuse(
            400,
            "cannot find user with id '" + std::to_string(sent.customer_tid) + "': " + no_document);
    TRY(const auto signature,
        hex_of(sent.customer_signature, "invalid signature format, expecting hex encoded string"));
    const auto key = identity::key_of_hex(user->pubkey);
    if (!key || !identity::verify(*key, sent.json, signature))
        return refuse(400, "failed to verify customer signature: signature verification failed");
    return http::Reply{};
}

using Find = Result<std::optional<Reservation>> (*)(Core&, std::int64_t, std::int64_t);

Answer<Reservation> reservation_of_path(Core& core, const Call& call, Find find)
{
    auto id = integer_of(call.part(0));
    if (!id) return refuse(400, "invalid reservation id");
    TRY(auto reservation, find(core, *id, call.now));
    if (!reservation) return refuse(404, no_document);
    return *std::move(reservation);
}

/// Adds a signature of one of the signers, in place of an older one of the same.
Answer<> take_signature(
    Core& core,
    const Call& call,
    const Reservation& reservation,
    const grid::SigningRequest& request,
    grid::List<grid::SigningSignature>& signatures)
{
    TRY(auto sent, body_of<grid::SigningSignature>(call));
    TRY(const auto raw, hex_of(sent.signature, "invalid signature expecting hex encoded string"));
    if (std::ranges::find(request.signers, sent.tid) == request.signers.end())
        return refuse(401, "signature not required for '" + std::to_string(sent.tid) + "'");
    TRY(const auto user, core.user(sent.tid));
    if (!user) return refuse(404, std::string{"customer id not found: "} + no_document);
    const auto key = identity::key_of_hex(user->pubkey);
    if (!key || !identity::verify(*key, grid::legacy::sign_text(reservation), raw))
        return refuse(401, "failed to verify signature: signature verification failed");
    std::erase_if(
        signatures, [&](const grid::SigningSignature& old) { return old.tid == sent.tid; });
    sent.epoch.unix = call.now;
    signatures.push_back(std::move(sent));
    return http::Reply{};
}

/// Starts what has its signatures: its nodes are told.
Result<> start_reservation(Core& core, const Reservation& reservation)
{
    if (reservation.next_action != NextAction::deploy) return {};
    for (const auto& part : parts_of(reservation))
        TRY_DO(core.enqueue(part.node(), reservation.id, part.workload_id));
    return {};
}

}  // namespace

Answer<> create_reservation(Core& core, Call& call)
{
    TRY(auto sent, body_of<Reservation>(call));
    // Before anything is computed with its dates.
    sent.epoch.unix = call.now;
    if (sent.data.expiration_reservation.unix <= call.now)
        return refuse(400, "creating for a reservation that expires in the past");
    const auto refused = [](const std::string& why) {
        return refuse(
            400,
            "failed to process reservation state pipeline: invalid reservation object: " + why);
    };
    // Strangers come as far as here: it has counted first, and costs little.
    if (auto why = refusal_of(sent); !why.empty()) return refused(why);
    TRY_DO(check_customer(core, sent));
    // Consents are given to a reservation that has a number, and results by nodes.
    sent.signatures_provision = grid::List<grid::SigningSignature>::none();
    sent.signatures_delete = grid::List<grid::SigningSignature>::none();
    sent.signatures_farmer = grid::List<grid::SigningSignature>::none();
    sent.results = grid::List<grid::WorkloadResult>::none();
    const auto outcome = advance(sent, call.now);
    if (outcome == NextAction::remove || outcome == NextAction::invalid)
        return refuse(
            400, "invalid request wrong status '" + std::string{grid::to_string(outcome)} + "'");
    const auto parts = parts_of(sent);
    TRY_DO(check_nodes(core, parts));
    TRY_DO(stored_text(sent, "reservation", largest_reservation_order));

    TRY(sent.id, core.next_id("workload"));
    sent.next_action = NextAction::create;
    sent.next_action = advance(sent, call.now);
    TRY_DO(save_reservation(core, sent));
    for (std::size_t position = 0; position < parts.size(); ++position)
        TRY_DO(core.db.run(
            "INSERT INTO part (reservation, position, workload_id, node) VALUES (?, ?, ?, ?)",
            {sent.id,
             static_cast<std::int64_t>(position),
             parts[position].workload_id,
             parts[position].node()}));
    TRY_DO(start_reservation(core, sent));
    core.log->info(
        "reservation created id={} workloads={} customer={}",
        sent.id,
        parts.size(),
        sent.customer_tid);
    const auto id = std::to_string(sent.id);
    if (core.options.bare_reservation_id) return json_reply(201, id);
    return json_reply(
        201,
        R"({"reservation_id":)" + id +
            R"(,"escrow_information":{"address":"","asset":"","details":null}})");
}

Answer<> list_reservations(Core& core, Call& call)
{
    std::vector<std::int64_t> ids;
    TRY(auto reply, list_of_customers(core, call, "reservation", ids));
    reply.body = "[";
    for (const auto id : ids) {
        const auto reservation = find_reservation(core, id, call.now);
        if (!reservation) {
            core.log->error(
                "reservation is left out id={} error=\"{}\"", id, reservation.error().message);
            continue;
        }
        if (!*reservation) continue;
        if (!append_to_page(reply.body, grid::to_json(**reservation))) return page_too_large();
    }
    reply.body += "]\n";
    return reply;
}

Answer<> get_reservation(Core& core, Call& call)
{
    TRY(const auto reservation, reservation_of_path(core, call, find_reservation));
    return json_reply(200, grid::to_json(reservation));
}

Answer<> sign_reservation_provision(Core& core, Call& call)
{
    TRY(auto reservation, reservation_of_path(core, call, settled_reservation));
    if (reservation.next_action != NextAction::sign)
        return refuse(401, "reservation not expecting signatures");
    TRY_DO(take_signature(
        core,
        call,
        reservation,
        reservation.data.signing_request_provision,
        reservation.signatures_provision));
    reservation.next_action = advance(reservation, call.now);
    TRY_DO(save_reservation(core, reservation));
    TRY_DO(start_reservation(core, reservation));
    return null_reply(201);
}

Answer<> sign_reservation_delete(Core& core, Call& call)
{
    TRY(auto reservation, reservation_of_path(core, call, settled_reservation));
    TRY_DO(take_signature(
        core,
        call,
        reservation,
        reservation.data.signing_request_delete,
        reservation.signatures_delete));
    const auto before = reservation.next_action;
    if (advance(reservation, call.now) == NextAction::remove && before != NextAction::remove) {
        TRY_DO(end_reservation(core, reservation));
        core.log->info("reservation ends by its customer id={}", reservation.id);
    } else {
        TRY_DO(save_reservation(core, reservation));
    }
    return null_reply(201);
}

namespace {

Result<> expire_one(Core& core, std::int64_t id, std::int64_t now)
{
    TRY(auto found, find_reservation(core, id, now));
    if (!found) return {};
    if (found->next_action != NextAction::remove) return save_reservation(core, *found);
    TRY_DO(end_reservation(core, *found));
    core.log->info("reservation has expired id={}", id);
    return {};
}

}  // namespace

Result<std::int64_t> expire_reservations(Core& core, std::int64_t now)
{
    std::vector<std::int64_t> due;
    TRY_DO(core.db.query(
        "SELECT id FROM reservation WHERE changes <= ? ORDER BY changes LIMIT 100",
        {now},
        [&](const store::Row& row) {
            due.push_back(row.integer(0));
            return true;
        }));
    for (const auto id : due) {
        const auto what = "reservation " + std::to_string(id);
        TRY(const bool done, on_its_own(core, what, [&] { return expire_one(core, id, now); }));
        // Not looked at again: what can't be ended now can't in a second either.
        if (!done) TRY_DO(core.db.run("UPDATE reservation SET changes = NULL WHERE id = ?", {id}));
    }
    TRY(const auto next, core.db.integer("SELECT min(changes) FROM reservation"));
    return next.value_or(now + 3600);
}

}  // namespace znode::explorer_server
