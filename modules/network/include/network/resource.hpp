#pragma once
// A network workload before and after it was checked.

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"
#include "kernel/wireguard.hpp"

namespace znode::network {

/// A network resource as the workload has it; texts are unchecked.
struct NetworkResourceSpec {
    std::string gwid;     ///< "12-1"
    std::string user_id;  ///< The customer's, decimal.
    std::string name;
    std::string range;       ///< network_iprange
    std::string subnet;      ///< iprange
    Secret private_key;      ///< Decrypted, base64.
    std::string public_key;  ///< May be empty, else it must fit the private one.
    std::int64_t listen_port = 0;
    struct Peer {
        std::string public_key;
        std::string endpoint;
        std::string subnet;
        std::vector<std::string> allowed;
    };
    std::vector<Peer> peers;
};

/// The same, checked and read.
struct NetworkResource {
    std::string gwid;
    std::string user_id;
    std::string name;
    std::string id;  ///< network_id(user_id, name)
    IpNetwork range;
    IpNetwork subnet;
    kernel::TunnelConfig tunnel;
};

/// UDP ports that no tunnel may have: clients of the grid know them as taken on every node.
inline constexpr std::uint16_t taken_ports[] = {9943, 9944, 9945};

/// Errc::invalid names the member of the workload that is wrong and what it should be.
Result<NetworkResource> check(const NetworkResourceSpec& spec);

/// Whether the workload `candidate` was made after `other`; ids are compared as numbers.
bool is_newer(const std::string& candidate, const std::string& other);

}  // namespace znode::network
