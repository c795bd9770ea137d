#pragma once
// What customers sign. Each text is hashed with SHA-256 and the 32 bytes of the hash are the
// message that ed25519 signs; signatures travel as hex.

#include <string>
#include <string_view>

#include "grid/workload.hpp"

namespace znode::grid {

/// The members that count, one after the other, nothing between, with the workload's epoch.
std::string challenge(const Workload& workload);
/// The same with another epoch: stored documents carry the server's, the customer signed his own.
std::string challenge(const Workload& workload, Date epoch);

/// 32 bytes to sign for a new workload.
std::string create_message(const Workload& workload);
/// 32 bytes to sign for the end of a workload, with the epoch that the explorer shows.
std::string delete_message(const Workload& workload, std::int64_t tid);
/// 32 bytes to sign for a co-signer's consent.
std::string provision_message(const Workload& workload, std::int64_t tid);

/// SHA-256, 32 raw bytes.
std::string sha256(std::string_view text);

}  // namespace znode::grid
