#pragma once
// The WireGuard device of a network: made, adopted, repaired, removed; in the kernel or in a
// wireguard-go process. Its UDP socket belongs to the namespace of the caller, the device itself to
// the network's namespace.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kernel/child.hpp"
#include "kernel/netlink.hpp"
#include "kernel/wireguard.hpp"
#include "network/networks.hpp"

namespace znode::network {

/// wireguard-go keeps its sockets here and nowhere else; the node mounts a folder of its own over
/// it, since two nodes of one machine may be in the same network.
inline constexpr const char* uapi_folder = "/run/wireguard";

struct TunnelPlace {
    WireGuardKind kind = WireGuardKind::kernel;
    std::string name;  ///< "w-ID"
    int netns = -1;    ///< The network's namespace.
    std::string alias;
    std::string program;  ///< wireguard-go
    std::vector<std::string> cgroup_procs;

    std::filesystem::path socket() const
    {
        return std::filesystem::path{uapi_folder} / (name + ".sock");
    }
};

/// Makes sure that a device exists and is served. The link is left as it is, or down when new.
/// The process that had to be started for it, if any: the caller's child.
Result<std::optional<kernel::Child>> ensure_tunnel_device(const TunnelPlace& place);

/// Its protocol side.
Result<std::unique_ptr<kernel::Tunnel>> open_tunnel(const TunnelPlace& place);

/// The process that serves it, to be watched; none for the kernel's.
Result<std::optional<kernel::Child>> tunnel_process(const TunnelPlace& place);

/// Ends the process and removes the device; its UDP port is free afterwards.
Result<> remove_tunnel_device(const TunnelPlace& place);

}  // namespace znode::network
