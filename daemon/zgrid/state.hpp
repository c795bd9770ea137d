#pragma once
// What zgrid must remember between calls: the addresses of networks with the laptops' keys, and
// which workload stands for which name of a deployment. One file beside the identity, 0600.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::zgrid {

/// A node's part of a network.
struct KnownMember {
    std::string node;
    IpNetwork subnet;
    std::string public_key;
    std::string sealed_key;  ///< The private key, readable by the node alone.
    std::uint16_t port = 0;
    std::vector<IpAddress> endpoints;
    std::int64_t workload = 0;  ///< The newest one of this node; 0: none was ordered yet.
};

/// A laptop.
struct KnownAccess {
    std::string node;
    IpNetwork subnet;
    std::string public_key;
    Secret private_key;
    bool ipv4 = true;
};

struct KnownNetwork {
    IpNetwork range;
    std::int64_t pool = 0;
    std::vector<KnownMember> members;
    std::vector<KnownAccess> accesses;

    const KnownMember* member(std::string_view node) const;
};

/// A workload that a deployment ordered.
struct KnownItem {
    std::int64_t workload = 0;
    std::string node;
    std::string fingerprint;  ///< Of what was wished for; another one means that it changed.
    std::string ip;           ///< A container's.
};

/// All of it for one explorer and user.
struct KnownGrid {
    std::map<std::string, KnownNetwork> networks;
    std::map<std::string, std::map<std::string, KnownItem>> deployments;
};

/// The file, read whole and replaced atomically after each change.
class State {
public:
    /// A missing file is an empty state. Errc::corrupt for a damaged one, which is left as it is.
    static Result<State> load(
        const std::filesystem::path& identity, const std::string& explorer, std::int64_t user);

    KnownGrid& grid() { return grid_; }
    [[nodiscard]] Result<> save() const;

private:
    std::filesystem::path file_;
    std::string key_;     ///< "explorer user"
    std::string others_;  ///< JSON of what belongs to other explorers and users.
    KnownGrid grid_;
};

}  // namespace znode::zgrid
