#pragma once
// Firewall rules as nft scripts; each replaces its whole table in one transaction. Pure.

#include <string>
#include <vector>

#include "records.hpp"

namespace znode::network {

/// A network's namespace: out by `public` with address translation, nothing in by it; TCP segments
/// fit the tunnel.
std::string network_ruleset();

/// The exit's namespace: all networks leave by `npub4`; they meet neither each other nor the exit.
std::string exit_ruleset();

struct HostRules {
    std::string uplink;
    std::string exit_link;  ///< Our end of the exit's veth.
    std::vector<IpAddress> uplink_addresses;
    IpNetwork inner_v6;  ///< The node's /48.
    std::vector<ZdbRecord> zdb;
};
/// The machine itself: table `inet znode` and nothing else.
std::string host_ruleset(const HostRules& rules);
/// Removes it; does nothing where there is none.
std::string no_host_ruleset();

/// Where 0-db namespaces get their IPv6 from the IPv4: the last byte in the first /64.
IpAddress zdb_ipv6(const IpNetwork& node_prefix, const IpAddress& inner);

}  // namespace znode::network
