#pragma once
// What a pin cannot say of itself stands in a small file beside it. All of it lives as long as the
// namespaces do: gone after a reboot, there after a restart of the agent.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"

namespace znode::network {

/// Owner of a network's namespace, written before the namespace is made.
struct NetworkRecord {
    std::string node_id;
    std::string gwid;
    std::string user_id;
    std::string name;
    std::string id;
    IpNetwork range;
    IpNetwork subnet;
    IpAddress lease;
    std::uint16_t port = 0;
};

/// A container in a network, written before its link is made.
struct JoinRecord {
    std::string node_id;
    std::string gwid;
    std::string network_id;
    std::vector<IpNetwork> addresses;
    std::string space;
};

struct ZdbRecord {
    std::string node_id;
    std::string pool_id;
    IpAddress inner;
    std::uint16_t port = 0;
};

/// What the machine had before we came, and what is ours on it.
struct HostRecord {
    std::string node_id;
    std::map<std::string, std::string> sysctls;  ///< Name and value before.
    std::vector<std::string> links;              ///< Written before they are made.
    int pair = 0;  ///< Which /30 of 100.126.1.0/24 the exit's veth has.
};

/// Where the peers that have no endpoint of their own (hidden nodes, laptops) were seen last. A new
/// process behind the tunnel greets them there; else they would notice after 15 s that it is new.
struct LearntRecord {
    std::string node_id;
    std::map<std::string, std::string> endpoints;  ///< By public key, base64.
};

/// Durable over a restart of the agent, atomic.
Result<> save(const std::filesystem::path& file, const NetworkRecord& record);
Result<> save(const std::filesystem::path& file, const JoinRecord& record);
Result<> save(const std::filesystem::path& file, const ZdbRecord& record);
Result<> save(const std::filesystem::path& file, const HostRecord& record);
Result<> save(const std::filesystem::path& file, const LearntRecord& record);

/// Errc::not_found when there is none, Errc::corrupt when it cannot be read.
template <class Record>
Result<Record> load(const std::filesystem::path& file);

/// All records of a folder whose name ends so; damaged ones are left out.
template <class Record>
std::vector<Record> load_all(const std::filesystem::path& folder, std::string_view ending);

}  // namespace znode::network
