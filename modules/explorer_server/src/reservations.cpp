#include "reservations.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "explorer_server/lifecycle.hpp"

namespace znode::explorer_server {
namespace {

using grid::NextAction;
using grid::ResultState;
using grid::WorkloadType;
using grid::legacy::Reservation;

constexpr std::size_t longest_metadata = 1024;
/// More than any customer has ordered at once; a page holds a reservation whole.
constexpr std::size_t most_parts = 2000;
constexpr std::size_t most_told = std::size_t{16} << 20U;

/// Bytes of a text as a document tells it: some characters take six.
std::size_t bytes_told(std::string_view text)
{
    std::string told;
    grid::json::append_string(told, text);
    return told.size();
}

bool all_results_ok(const Reservation& reservation)
{
    std::set<std::pair<std::string_view, std::string_view>> good;
    for (const auto& result : reservation.results)
        if (result.state == ResultState::ok) good.emplace(result.workload_id, result.node_id);
    const auto entries = grid::legacy::split(reservation, {});
    return std::ranges::all_of(entries, [&](const auto& entry) {
        return good.contains({entry.workload_id, entry.node_id});
    });
}

/// The first workload id that two objects have, networks apart: those were never compared.
std::optional<std::int64_t> repeated_id(const std::vector<Part>& parts)
{
    std::set<std::int64_t> seen;
    for (const auto& part : parts)
        if (part.entry.type != WorkloadType::network && !seen.insert(part.workload_id).second)
            return part.workload_id;
    return std::nullopt;
}

}  // namespace

std::vector<Part> parts_of(const Reservation& reservation, std::string_view node)
{
    std::vector<Part> parts;
    for (auto& entry : grid::legacy::split(reservation, node)) {
        // Its name is "<id>-<number>"; a number that makes it none was refused.
        const auto dash = entry.workload_id.find('-');
        const auto number =
            to_number<std::int64_t>(std::string_view{entry.workload_id}.substr(dash + 1));
        parts.push_back({number.value_or(-1), std::move(entry)});
    }
    return parts;
}

NextAction advance(const Reservation& reservation, std::int64_t now)
{
    // Its workloads live on in a pool, beyond its dates and signatures.
    if (reservation.next_action == NextAction::migrated) return NextAction::migrated;
    const auto& data = reservation.data;
    const bool late = data.expiration_provisioning.unix <= now;
    return advance_reservation(
        reservation.next_action,
        {.provision_signed =
             quorum_met(data.signing_request_provision, reservation.signatures_provision, true),
         .delete_signed =
             quorum_met(data.signing_request_delete, reservation.signatures_delete, false),
         .expired = data.expiration_reservation.unix <= now,
         .provisioning_expired = late,
         .all_results_ok = late && all_results_ok(reservation)});
}

std::optional<std::int64_t> next_change(const Reservation& reservation)
{
    const auto action = reservation.next_action;
    if (action == NextAction::remove || action == NextAction::deleted ||
        action == NextAction::migrated)
        return std::nullopt;
    auto when = reservation.data.expiration_reservation.unix;
    if (!all_results_ok(reservation))
        when = std::min(when, reservation.data.expiration_provisioning.unix);
    return when;
}

std::string too_large(const Reservation& reservation)
{
    const auto& data = reservation.data;
    std::size_t count = data.containers.size() + data.volumes.size() + data.zdbs.size() +
                        data.kubernetes.size() + data.proxies.size() + data.reserve_proxies.size() +
                        data.subdomains.size() + data.domain_delegates.size() +
                        data.gateway4to6.size();
    for (const auto& network : data.networks) count += network.network_resources.size();
    if (count > most_parts)
        return "more than " + std::to_string(most_parts) + " workloads; use several reservations";
    // Each node is told the whole of a network, once for each of its resources there.
    // And the texts of the order and its signers with each of them; lists show them at least once.
    const auto signers =
        data.signing_request_provision.signers.size() + data.signing_request_delete.signers.size();
    std::size_t told =
        std::max<std::size_t>(count, 1) *
        (bytes_told(data.description) + bytes_told(reservation.metadata) + 256 * signers);
    for (const auto& network : data.networks)
        told += network.network_resources.size() * grid::to_json(network).size();
    if (told > most_told) return "too much to tell its nodes; use several reservations";
    return {};
}

std::string refusal_of(const Reservation& reservation)
{
    if (reservation.customer_tid == 0) return "customer_tid is required";
    if (reservation.customer_signature.empty()) return "customer_signature is required";
    if (auto why = too_large(reservation); !why.empty()) return why;
    const auto text = grid::from_json<grid::legacy::ReservationData>(reservation.json, sent_limits);
    if (!text) return "invalid json data on reservation: " + text.error().message;
    if (grid::to_json(*text) != grid::to_json(reservation.data))
        return "json data does not match the reservation data";
    if (reservation.metadata.size() > longest_metadata)
        return "metadata can not be bigger than 1024 bytes";
    const auto parts = parts_of(reservation);
    if (const auto id = repeated_id(parts))
        return "conflicting workload ID '" + std::to_string(*id) + "'";
    // No node could answer for it: names have no sign.
    for (const auto& part : parts)
        if (part.workload_id < 0)
            return "workload ID '" + std::to_string(part.workload_id) + "' is negative";
    return {};
}

Result<grid::Workload> in_new_words(const Reservation& reservation, const Part& part)
{
    TRY(auto workload, grid::legacy::to_workload(part.entry, part.node()));
    workload.description = reservation.data.description;
    workload.metadata = reservation.metadata;
    workload.signing_request_provision = reservation.data.signing_request_provision;
    workload.signing_request_delete = reservation.data.signing_request_delete;
    workload.signatures_provision = reservation.signatures_provision;
    workload.signatures_delete = reservation.signatures_delete;
    workload.next_action = reservation.next_action;
    for (const auto& result : reservation.results)
        if (result.workload_id == part.entry.workload_id && result.node_id == part.node())
            workload.result = result;
    return workload;
}

Result<bool> is_reservation(Core& core, std::int64_t id)
{
    TRY(const auto found, core.db.integer("SELECT 1 FROM reservation WHERE id = ?", {id}));
    return found.has_value();
}

Result<std::optional<Reservation>> find_reservation(Core& core, std::int64_t id, std::int64_t now)
{
    TRY(auto found,
        core.document<Reservation>("SELECT document FROM reservation WHERE id = ?", {id}));
    if (found) found->next_action = advance(*found, now);
    return found;
}

Result<> save_reservation(Core& core, const Reservation& reservation)
{
    store::Value changes{nullptr};
    if (const auto when = next_change(reservation)) changes = *when;
    TRY(auto text, stored_text(reservation, "reservation", largest_reservation));
    TRY_DO(core.db.run(
        "INSERT INTO reservation (id, customer, next_action, changes, document) VALUES (?, ?, ?, "
        "?, ?) ON CONFLICT (id) DO UPDATE SET next_action = excluded.next_action, changes = "
        "excluded.changes, document = excluded.document",
        {reservation.id,
         reservation.customer_tid,
         static_cast<std::int64_t>(reservation.next_action),
         changes,
         std::move(text)}));
    core.timer_changed = true;
    return {};
}

Result<> end_reservation(Core& core, Reservation& reservation)
{
    std::vector<std::pair<std::string, std::int64_t>> live;
    TRY_DO(core.db.query(
        "SELECT DISTINCT node, workload_id FROM part WHERE reservation = ? AND gone = 0",
        {reservation.id},
        [&](const store::Row& row) {
            live.emplace_back(row.text(0), row.integer(1));
            return true;
        }));
    reservation.next_action = live.empty() ? NextAction::deleted : NextAction::remove;
    for (const auto& [node, workload_id] : live)
        TRY_DO(core.enqueue(node, reservation.id, workload_id));
    return save_reservation(core, reservation);
}

Result<std::optional<Reservation>> settled_reservation(
    Core& core, std::int64_t id, std::int64_t now)
{
    TRY(auto found,
        core.document<Reservation>("SELECT document FROM reservation WHERE id = ?", {id}));
    if (!found) return found;
    const auto action = advance(*found, now);
    const bool ends = action == NextAction::remove && found->next_action != NextAction::remove;
    found->next_action = action;
    if (ends) TRY_DO(end_reservation(core, *found));
    return found;
}

}  // namespace znode::explorer_server
