#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "base/ip.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "kernel/wireguard.hpp"
#include "network/resource.hpp"

namespace znode::network {

enum class WireGuardKind {
    automatic,  ///< The kernel's where it has one, else wireguard-go.
    kernel,
    userspace,
};

/// How a node is a guest on somebody's machine.
struct HostNetworkSpec {
    std::string node_id;
    std::filesystem::path run_dir;  ///< Below it "ns" (pins) and "network"; made if absent.
    std::string uplink;             ///< Empty: the link of the default route.
    WireGuardKind wireguard = WireGuardKind::automatic;
    std::string wireguard_go = "wireguard-go";
    std::vector<std::string> cgroup_procs;  ///< Files by which wireguard-go enters its cgroups.
};

/// What the node's network rests on; for the status.
struct HostNetwork {
    std::string uplink;
    std::vector<IpNetwork> uplink_addresses;
    bool ipv6 = false;  ///< The uplink has a global IPv6 address.
    WireGuardKind wireguard = WireGuardKind::kernel;
    struct Sysctl {
        std::string name;  ///< "net/ipv4/ip_forward"
        std::string before;
        std::string now;
    };
    std::vector<Sysctl> sysctls;
};

/// A network as it is on this node.
struct NetworkFacts {
    std::string gwid;
    std::string id;
    std::string user_id;
    std::string name;
    IpNetwork range;
    IpNetwork subnet;
    IpAddress gateway;
    IpAddress lease;  ///< Its address on the exit, 100.127.x.y.
    std::uint16_t port = 0;
    std::filesystem::path space;            ///< Pin of its namespace.
    std::vector<kernel::TunnelPeer> peers;  ///< With handshakes and counters; empty when away.
    std::vector<std::string> members;       ///< gwids of the containers in it.
    bool superseded = false;  ///< `ensure` was given an older generation than is in force.
};

/// A container that shall be in a network.
struct ContainerJoinSpec {
    std::string gwid;
    std::string user_id;
    std::string network;                 ///< Its name.
    std::filesystem::path space;         ///< Pin of the container's network namespace.
    std::vector<std::string> addresses;  ///< IPv4, at least one.
    bool public_ip6 = false;
};

/// What a container has in its namespace; result and resolv.conf are made of it.
struct Joined {
    std::string gwid;
    std::string network_id;
    std::vector<IpNetwork> addresses;
    std::optional<IpAddress> ipv6;
    IpAddress gateway;
    std::string mac;
    std::vector<IpAddress> nameservers;
};

struct ZdbNamespaceSpec {
    std::string pool_id;
    std::uint16_t port = 9900;  ///< On the uplink and inside; one per pool.
};

struct ZdbNamespace {
    std::string pool_id;
    std::filesystem::path space;
    IpAddress inner;  ///< 100.126.0.x
    std::uint16_t port = 0;
    std::vector<IpAddress> addresses;  ///< To be reported: the uplink's.
};

/// As reported to the explorer.
struct Interface {
    std::string name;
    std::vector<IpNetwork> addresses;
    std::vector<IpAddress> gateways;
    std::string mac;
};

/// What really exists, with whose it is: for adoption and for the janitor.
struct Inventory {
    std::vector<NetworkFacts> networks;
    std::vector<Joined> containers;
    std::vector<ZdbNamespace> zdb;
    std::vector<std::string> foreign;  ///< Named like ours, but without our mark: never touched.
};

/// The node's networks.
///
/// Every operation may be repeated and survives the death of the agent in its middle. All calls are
/// made from the event loop; the work is done on a lane of its own, one operation after the other,
/// so that two of them never meet in one network. The process must be in the mount namespace in
/// which the pins live, and that must not be the machine's own.
class Networks {
public:
    virtual ~Networks() = default;

    /// Makes (or adopts) what the networks share: bridge, exit, address translation. Repeat it when
    /// the uplink has changed. Errc::unsupported says what the machine lacks.
    virtual Task<Result<HostNetwork>> start() = 0;
    /// Ends the watching of tunnels. Everything stays as it is. Must be called before the end.
    virtual Task<> stop() = 0;
    /// Removes everything that is ours, as if we had never been here.
    virtual Task<Result<>> purge() = 0;

    /// Makes the network exist as described. Differences are applied without touching what stays; a
    /// failed update leaves what was in force. Errc::invalid names the wrong member, Errc::exists:
    /// the port is taken, Errc::denied: the id belongs to another user's network.
    virtual Task<Result<NetworkFacts>> ensure(NetworkResourceSpec spec) = 0;
    /// Makes the network of this workload not exist; does nothing when a newer generation is in
    /// force. Succeeds for an id never seen.
    virtual Task<Result<>> remove(std::string gwid) = 0;

    /// Connects a container's namespace. Errc::invalid: address outside of the subnet or taken,
    /// Errc::not_found: no such network here.
    virtual Task<Result<Joined>> join(ContainerJoinSpec spec) = 0;
    virtual Task<Result<>> leave(std::string gwid) = 0;

    /// A namespace for the 0-db of a pool, reachable at the uplink's addresses on this port.
    virtual Task<Result<ZdbNamespace>> ensure_zdb_namespace(ZdbNamespaceSpec spec) = 0;
    virtual Task<Result<>> remove_zdb_namespace(std::string pool_id) = 0;

    virtual Task<Result<Inventory>> list() = 0;
    /// lo and the uplink (and later the public side); never what is only inside.
    virtual Task<Result<std::vector<Interface>>> interfaces() = 0;
    /// UDP ports that customers must not choose for a new network on this node, ascending.
    virtual Task<Result<std::vector<std::uint16_t>>> reserved_ports() = 0;
};

/// `loop` must outlive it.
std::unique_ptr<Networks> make_host_networks(asio::io_context& loop, HostNetworkSpec spec, Log log);

}  // namespace znode::network
