#pragma once
// Makes the workloads of a network out of what is wished and what is known. No I/O; keys and ports
// come from the random source.

#include <map>
#include <string>
#include <vector>

#include "grid/node.hpp"
#include "grid/workload.hpp"
#include "network/topology.hpp"
#include "state.hpp"

namespace znode::zgrid {

struct NetworkOrder {
    std::string name;
    IpNetwork range;
    std::vector<std::string> nodes;  ///< Added to those it has.
    std::string access;              ///< Node that a laptop dials; "" for no (further) laptop.
    std::map<std::string, std::vector<IpAddress>> endpoints;  ///< In place of what a node reports.
    bool lan = false;  ///< Private addresses count as endpoints.
};

struct NetworkPlan {
    KnownNetwork network;  ///< As it will be; members without `workload` are to be sent.
    bool changed = false;  ///< Whether anything has to be sent.
    /// One per member, in the members' order.
    std::vector<grid::NetworkResource> resources;
};

/// Errc::invalid: another range than before, no path between two members (both are named), an
/// access node without an endpoint. `nodes` must hold every member's directory entry.
Result<NetworkPlan> plan_network_order(
    const NetworkOrder& order, const KnownNetwork* before, const std::vector<grid::Node>& nodes);

/// The WireGuard file of a laptop (the first that dials `node`, or the first of all).
Result<Secret> laptop_file(const KnownNetwork& network, std::string_view node);

/// The endpoints that a node reports, most public first.
std::vector<IpAddress> reported_endpoints(const grid::Node& node, bool lan);

}  // namespace znode::zgrid
