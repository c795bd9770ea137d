#include "engine/customer_check.hpp"

#include <algorithm>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "grid/challenge.hpp"
#include "grid/document.hpp"

namespace znode::engine {
namespace {

/// The signed members of the content alone.
std::string content_of(const grid::Workload& workload)
{
    grid::Workload bare;
    bare.workload_type = workload.workload_type;
    bare.data = workload.data;
    return grid::challenge(bare, {0});
}

bool signed_with_epoch(
    const grid::Workload& workload, const identity::PublicKey& customer, grid::Date epoch)
{
    return identity::verify_hex(
        customer, grid::sha256(grid::challenge(workload, epoch)), workload.customer_signature);
}

}  // namespace

std::optional<Verify> verify_of(std::string_view name)
{
    if (name == "never") return Verify::never;
    if (name == "when-possible") return Verify::when_possible;
    if (name == "always") return Verify::always;
    return std::nullopt;
}

Result<bool> check_signature(const explorer::PollEntry& entry, const identity::PublicKey& customer)
{
    if (!entry.workload) return tl::unexpected(entry.workload.error());
    const auto& workload = *entry.workload;
    if (entry.customer_epoch) {
        if (signed_with_epoch(workload, customer, {*entry.customer_epoch})) return true;
        return fail(
            Errc::denied,
            "the signature of customer " + std::to_string(workload.customer_tid) +
                " does not fit this reservation; sign it anew and reserve again");
    }
    // An explorer that keeps the customer's epoch as the only one.
    return signed_with_epoch(workload, customer, workload.epoch);
}

Result<> check_reservation(
    const grid::Workload& workload,
    const grid::legacy::Reservation& reservation,
    std::string_view node_id,
    const identity::PublicKey& customer)
{
    const auto denied = [&](std::string_view why) {
        return fail(
            Errc::denied,
            "reservation " + std::to_string(workload.id) + " is not what customer " +
                std::to_string(workload.customer_tid) + " signed: " + std::string{why});
    };
    if (reservation.customer_tid != workload.customer_tid || reservation.id != workload.id)
        return denied("it belongs to somebody else");
    if (!identity::verify_hex(
            customer, grid::legacy::create_text(reservation), reservation.customer_signature))
        return denied("the signature does not fit its text");
    auto data = grid::from_json<grid::legacy::ReservationData>(reservation.json);
    if (!data) return denied("its text is not readable");
    grid::legacy::Reservation signed_one;
    signed_one.id = workload.id;
    signed_one.customer_tid = workload.customer_tid;
    signed_one.data = *std::move(data);
    const auto gwid = workload.gwid().text();
    for (const auto& entry : grid::legacy::split(signed_one, node_id)) {
        if (entry.workload_id != gwid) continue;
        const auto wanted = grid::legacy::to_workload(entry, node_id);
        if (wanted && content_of(*wanted) == content_of(workload)) return {};
    }
    return denied("its text has no such workload");
}

bool is_end_signed(const grid::Workload& workload, const identity::PublicKey& customer)
{
    const auto message = grid::delete_message(workload, workload.customer_tid);
    return std::ranges::any_of(
        workload.signatures_delete, [&](const grid::SigningSignature& signature) {
            return signature.tid == workload.customer_tid &&
                   identity::verify_hex(customer, message, signature.signature);
        });
}

bool is_end_signed(
    const grid::legacy::Reservation& reservation, const identity::PublicKey& customer)
{
    const auto message = grid::legacy::sign_text(reservation);
    return std::ranges::any_of(
        reservation.signatures_delete, [&](const grid::SigningSignature& signature) {
            return signature.tid == reservation.customer_tid &&
                   identity::verify_hex(customer, message, signature.signature);
        });
}

std::string fingerprint(const grid::Workload& workload)
{
    grid::Workload bare;
    bare.workload_type = workload.workload_type;
    bare.customer_tid = workload.customer_tid;
    bare.data = workload.data;
    // What the first era does not say is filled in differently by those who convert it.
    if (auto* container = std::get_if<grid::Container>(&bare.data)) {
        container->capacity.disk_size = 0;
        container->capacity.disk_type = {};
        // "-5" is a volume of the same reservation, which its successors name in full.
        for (auto& mount : container->volumes)
            if (mount.volume_id.starts_with('-'))
                mount.volume_id.insert(0, std::to_string(workload.id));
    }
    return to_hex(grid::sha256(grid::challenge(bare, {0})).substr(0, 16));
}

}  // namespace znode::engine
