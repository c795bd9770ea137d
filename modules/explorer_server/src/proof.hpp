#pragma once
// What a node says of its hardware, in the form in which the explorer shows it.

#include "grid/node.hpp"

namespace znode::explorer_server {

/// Out of dmidecode's and smartctl's findings, as the node sent them. Errc::invalid for wrong
/// types.
Result<grid::RawJson> proof_of(const grid::CapacityReport& report, std::int64_t now);

/// As many as are kept of one node; the originals let the list grow with each report.
inline constexpr std::size_t most_proofs = 10;

}  // namespace znode::explorer_server
