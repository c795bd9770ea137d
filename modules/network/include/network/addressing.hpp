#pragma once
// The address plan of the grid: everything a node or a customer's tool derives from a network's id
// and ranges. Pure functions; names and numbers are those that other tools of the grid compute.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ip.hpp"
#include "kernel/netlink.hpp"

namespace znode::network {

using kernel::MacAddress;

/// Id of a network on its nodes: the first 13 characters of base58(md5(user id ‖ name)). Two users
/// can be made to share one (there is no separator), so who acts on a network compares the owner
/// too.
std::string network_id(std::string_view user_id, std::string_view name);

/// Names of a network's parts; each fits the kernel's 15 characters.
struct NetworkNames {
    std::string space;    ///< Namespace, "n-ID".
    std::string bridge;   ///< "b-ID".
    std::string gateway;  ///< macvlan that carries the gateway address, "n-ID".
    std::string tunnel;   ///< WireGuard, "w-ID".
    std::string vm_tap;   ///< "t-ID".
};
NetworkNames names_of(std::string_view network_id);
/// The way out of a network's namespace.
inline constexpr std::string_view exit_link = "public";

/// First address of the subnet. In a /24: ".1".
IpAddress gateway_of(const IpNetwork& subnet) noexcept;

/// Locally administered MAC that belongs to these bytes for ever: from their md5.
MacAddress mac_of(std::string_view bytes);
/// EUI-64 address that a link with this MAC gives itself in a /64.
IpAddress slaac_address(const IpNetwork& prefix, const MacAddress& mac);

/// IPv6 twin of an IPv4 address inside a network, fdAA:BBCC:DDEE:x::y; a /64 per IPv4 /24.
IpAddress inner_ipv6(std::string_view network_id, const IpAddress& ipv4);

/// 100.64.a.b of a subnet x.a.b.0: the address of its WireGuard interface. The interface carries it
/// with length 16, peers list it with 32.
IpAddress wireguard_address(const IpNetwork& subnet) noexcept;

/// IPv6 twin of a 100.127.x.y lease on the exit, fd00::xxyy.
IpAddress exit_ipv6(const IpAddress& lease) noexcept;

/// Namespace of a 0-db, "zdb-ns-" and the MAC of the pool's or volume's id.
std::string zdb_namespace(std::string_view id);

/// ULA /48 of a node, from its id (RFC 4193 form; the 40 bits are a hash instead of chance, so that
/// the prefix survives a restart).
IpNetwork node_prefix(std::string_view node_id);

/// The planet-wide overlay that nodes of the grid may also carry (address scheme of version 0.3).
struct OverlayAddresses {
    IpAddress address;  ///< 2xx:…
    IpNetwork subnet;   ///< 3xx:…/64
    IpNetwork gateway;  ///< 3xx:…::1/64
};
/// `box_key`: the node's 32-byte Curve25519 key.
OverlayAddresses overlay_addresses(std::string_view box_key);
/// Address of a host in that subnet: first 8 bytes of the sha512 of `seed` (its MAC).
IpAddress overlay_host(const IpNetwork& subnet, std::string_view seed);

}  // namespace znode::network
