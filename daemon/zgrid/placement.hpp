#pragma once
// Where the parts of a deployment go. Pure.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "deployment.hpp"
#include "explorer/customer_api.hpp"
#include "grid/node.hpp"
#include "state.hpp"

namespace znode::zgrid {

/// What the decision is made of.
struct PlacementFacts {
    std::vector<grid::Node> nodes;  ///< Of the pool, those that are up.
    /// Where the parts of this deployment are already ("volume.data"): they stay.
    std::map<std::string, std::string> settled;
    /// Nodes of older volumes that the file names by gwid.
    std::map<std::string, std::string> volume_nodes;
};

/// Node of each part by its key ("container.hub"), and the nodes of each network.
struct Placement {
    std::map<std::string, std::string> parts;
    std::map<std::string, std::vector<std::string>> networks;
};

/// Containers go with their volumes to one node of their network; a free choice takes the node with
/// the most free memory (for storage: the most free disk of its type). Errc::exhausted or invalid
/// names the part for which there is no place, and why.
Result<Placement> place(const Deployment& deployment, const PlacementFacts& facts);

/// Whether the node has so much unreserved; farm and place are not looked at.
bool has_free(const grid::Node& node, const explorer::NodeFilter& wanted);

/// The /24s that the nodes of a network get: what is known stays, new ones take the first free,
/// beginning with the second (.1.0/24). Errc::exhausted when the range is used up.
Result<std::map<std::string, IpNetwork>> divide(
    const IpNetwork& range,
    const std::vector<std::string>& nodes,
    const std::vector<std::pair<std::string, IpNetwork>>& taken);

}  // namespace znode::zgrid
