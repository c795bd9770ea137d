#pragma once

#include "grid/node.hpp"
#include "identity/identity.hpp"

namespace znode::zgrid::test {

/// A node with a key of its own (its id is made from `seed`) and one address.
inline grid::Node sample_node(char seed, const std::string& address, double memory = 16)
{
    grid::Node node;
    node.node_id = identity::Identity::from_seed(Secret{std::string(32, seed)})->node_id();
    node.total_resources.mru = memory;
    node.total_resources.sru = 100;
    grid::Interface interface;
    interface.name = "eth0";
    interface.addrs = {grid::IpRange::parse(address).value()};
    node.ifaces = {interface};
    return node;
}

}  // namespace znode::zgrid::test
