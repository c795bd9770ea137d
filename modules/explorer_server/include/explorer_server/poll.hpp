#pragma once
// Which entries a node's poll delivers, and where its cursor goes. Pure.

#include <cstdint>
#include <vector>

#include "grid/scalars.hpp"

namespace znode::explorer_server {

inline constexpr std::size_t poll_page = 200;
/// A page ends behind the id that brings it beyond this.
inline constexpr std::size_t poll_page_bytes = std::size_t{4} << 20U;

struct PollEntry {
    std::int64_t id = 0;
    std::int64_t workload_id = 0;
    grid::NextAction next_action = grid::NextAction::create;
};

struct PollPage {
    std::vector<PollEntry> entries;
    std::int64_t last_id = 0;  ///< The header x-last-id; the node goes on behind it.
    bool from_queue = false;   ///< Nothing was new: these are repeated until answered.
};

/// `scanned`: the node's workloads with id ≥ from, ascending. `queued`: what the node has not
/// answered, any order. `counter`: the highest id ever given to anybody.
///
/// What is new comes first, and the cursor follows it; else the queue repeats itself; else the
/// cursor is set to the counter, which also calls back a cursor that ran ahead.
PollPage select_page(
    std::int64_t from,
    const std::vector<PollEntry>& scanned,
    const std::vector<PollEntry>& queued,
    std::int64_t counter);

}  // namespace znode::explorer_server
