#pragma once
// What becomes of a workload when it is looked at: a function of the document, without clock or
// database.

#include "grid/workload.hpp"

namespace znode::explorer_server {

/// Whether enough of the listed signers have signed, each counted once. A quorum of zero is met for
/// provisioning and never for deletion, which is `zero_suffices`.
bool quorum_met(
    const grid::SigningRequest& request,
    const grid::List<grid::SigningSignature>& signatures,
    bool zero_suffices);

/// The action that follows from the signatures of the document.
grid::NextAction advance(const grid::Workload& workload);

/// What counts for a reservation of the first era, which holds many workloads.
struct ReservationFacts {
    bool provision_signed = false;  ///< The quorum for provisioning is met.
    bool delete_signed = false;
    bool expired = false;               ///< expiration_reservation has passed.
    bool provisioning_expired = false;  ///< expiration_provisioning has passed.
    bool all_results_ok = false;
};
grid::NextAction advance_reservation(grid::NextAction action, const ReservationFacts& facts);

}  // namespace znode::explorer_server
