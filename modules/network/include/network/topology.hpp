#pragma once
// Who of a network's members talks to whom: what a customer's tool computes before it orders the
// network's parts. Pure; the result is the same that other tools of the grid compute.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::network {

/// What the directory says about a node's addresses.
struct ReportedAddresses {
    /// Of its public configuration, IPv4 first, if it has one; then nothing else counts.
    std::vector<IpAddress> public_config;
    /// Of all reported interfaces, in reported order.
    std::vector<IpAddress> interfaces;
};

/// Addresses at which others can dial the node: unicast, not private, not link-local, not of the
/// planet-wide overlay (200::/7). With `lan` private ones count too, for a grid of one's own at
/// home. None: the node is hidden, it can only dial.
std::vector<IpAddress> endpoints_of(const ReportedAddresses& reported, bool lan = false);

/// A node as a member of a network.
struct Member {
    std::string node_id;
    IpNetwork subnet;  ///< Its part of the network's range, a /24.
    std::string public_key;
    std::uint16_t port = 0;
    std::vector<IpAddress> endpoints;  ///< Empty: hidden.
};

/// A machine outside of the grid, reached through the node with id `node_id`.
struct Access {
    std::string node_id;
    IpNetwork subnet;
    std::string public_key;
    bool ipv4 = true;  ///< Which of the access node's endpoints it dials.
};

/// A peer as it stands in a network workload.
struct PlannedPeer {
    std::string public_key;
    std::string endpoint;  ///< "ip:port", "[ip6]:port" or empty.
    IpNetwork subnet;
    std::vector<IpNetwork> allowed;

    bool operator==(const PlannedPeer&) const = default;
};

/// The peers of each member, in the members' order. Says nothing about whether all can talk: a
/// network of hidden nodes has no peers.
std::vector<std::vector<PlannedPeer>> plan_peers(
    const std::vector<Member>& members, const std::vector<Access>& accesses);

/// plan_peers, then every ordered pair is followed hop by hop through the tunnels. Errc::invalid
/// names the two members between which there is no path, or the subnet that is given twice.
Result<std::vector<std::vector<PlannedPeer>>> plan_network(
    const IpNetwork& range,
    const std::vector<Member>& members,
    const std::vector<Access>& accesses);

/// What a laptop's WireGuard is configured with.
struct LaptopConfig {
    IpNetwork address;       ///< 100.64.a.b/32
    Secret private_key;      ///< Empty when the user keeps it himself.
    std::string access_key;  ///< Public key of the access node.
    std::vector<IpNetwork> allowed;
    std::string endpoint;
};
/// Errc::invalid when the access node is no member or has no endpoint of the family asked for.
Result<LaptopConfig> plan_laptop(
    const IpNetwork& range,
    const std::vector<Member>& members,
    const Access& access,
    Secret private_key);
/// The file of wg-quick. Carries the private key.
Secret to_wg_quick(const LaptopConfig& config);

}  // namespace znode::network
