#include "explorer_server/lifecycle.hpp"

#include <algorithm>
#include <set>

namespace znode::explorer_server {

using grid::NextAction;

bool quorum_met(
    const grid::SigningRequest& request,
    const grid::List<grid::SigningSignature>& signatures,
    bool zero_suffices)
{
    if (request.quorum_min <= 0) return zero_suffices;
    std::set<std::int64_t> signed_by;
    for (const auto& signature : signatures)
        if (std::ranges::find(request.signers, signature.tid) != request.signers.end())
            signed_by.insert(signature.tid);
    return static_cast<std::int64_t>(signed_by.size()) >= request.quorum_min;
}

NextAction advance(const grid::Workload& workload)
{
    auto action = workload.next_action;
    if (action == NextAction::remove || action == NextAction::deleted) return action;
    if (quorum_met(workload.signing_request_delete, workload.signatures_delete, false))
        return NextAction::remove;
    if (action == NextAction::create) action = NextAction::sign;
    if (action == NextAction::sign &&
        quorum_met(workload.signing_request_provision, workload.signatures_provision, true))
        action = NextAction::pay;
    return action;
}

NextAction advance_reservation(NextAction action, const ReservationFacts& facts)
{
    if (action == NextAction::remove || action == NextAction::deleted) return action;
    const bool came_too_late = facts.provisioning_expired && !facts.all_results_ok;
    if (facts.expired || came_too_late || facts.delete_signed) return NextAction::remove;
    if (action == NextAction::create) action = NextAction::sign;
    if (action == NextAction::sign && facts.provision_signed) action = NextAction::pay;
    // Nothing is paid any more.
    if (action == NextAction::pay) action = NextAction::deploy;
    return action;
}

}  // namespace znode::explorer_server
