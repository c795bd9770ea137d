#pragma once

#include "network_order.hpp"
#include "progress.hpp"
#include "state.hpp"

namespace znode::zgrid {

/// A pool of the user: the wanted one, or the first that has all these nodes. Errc::not_found says
/// which nodes no pool covers. In the reservations era, which has none, one of number 0 over all
/// nodes.
Task<Result<grid::Pool>> choose_pool(
    Session* session, std::optional<std::int64_t> wanted, std::vector<std::string> nodes);

/// Directory entries of nodes; one that the explorer does not know is Errc::not_found.
Task<Result<std::vector<grid::Node>>> nodes_of(Session* session, std::vector<std::string> ids);

/// Whether the workload is on a node, or on its way there.
bool is_alive(const grid::Workload& workload);

/// Orders what has to change of a network and remembers it. Parts are called "network.NAME@NODE".
/// After an update it waits for the new parts and then ends those that they replace.
Task<Result<>> run_network_order(
    Session* session, State* state, Progress* progress, NetworkOrder order, std::int64_t pool);

}  // namespace znode::zgrid
