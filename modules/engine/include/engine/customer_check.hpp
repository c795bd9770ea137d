#pragma once
// Whether what the explorer delivers is what the customer signed. Pure.

#include <optional>
#include <string>
#include <string_view>

#include "explorer/node_api.hpp"
#include "grid/legacy.hpp"
#include "identity/identity.hpp"

namespace znode::engine {

/// `[explorer] verify`: what a node does about customers' signatures.
enum class Verify : std::uint8_t {
    never,
    when_possible,  ///< A wrong one is refused; one that cannot be checked passes, unverified.
    always,         ///< Only what is verified is carried out.
};
std::optional<Verify> verify_of(std::string_view name);

/// A workload of the pools era. True: the customer signed just this. False: it cannot be known,
/// since the explorer has put its own epoch in the place of the customer's and kept no copy.
/// Errc::denied: he signed something else, or somebody else did.
Result<bool> check_signature(const explorer::PollEntry& entry, const identity::PublicKey& customer);

/// A workload of a whole signed reservation: the text must bear the customer's signature, and this
/// workload must stand in the text as the explorer delivered it. Errc::denied otherwise.
Result<> check_reservation(
    const grid::Workload& workload,
    const grid::legacy::Reservation& reservation,
    std::string_view node_id,
    const identity::PublicKey& customer);

/// Whether the customer has signed the end of what is to be deleted, as far as the explorer shows
/// it.
bool is_end_signed(const grid::Workload& workload, const identity::PublicKey& customer);
bool is_end_signed(
    const grid::legacy::Reservation& reservation, const identity::PublicKey& customer);

/// What tells one reservation from another under the same gwid: type, owner and content.
std::string fingerprint(const grid::Workload& workload);

}  // namespace znode::engine
