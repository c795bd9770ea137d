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
#include "kernel/fd.hpp"

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
    /// In the workloads of this generation, so that one whose number was never heard is found.
    std::string token;
    /// Workloads of former generations. They end when all members have one of this generation.
    std::vector<std::int64_t> ending;

    const KnownMember* member(std::string_view node) const;
};

/// A workload that a deployment ordered.
struct KnownItem {
    std::int64_t workload = 0;  ///< 0: about to be ordered; whether it was, the token tells.
    std::string node;
    std::string fingerprint;  ///< Of what was wished for; another one means that it changed.
    std::string ip;           ///< A container's.
    std::string token;        ///< In the workload, as KnownNetwork's.
};

/// All of it for one explorer and user.
struct KnownGrid {
    std::map<std::string, KnownNetwork> networks;
    std::map<std::string, std::map<std::string, KnownItem>> deployments;
};

/// Words that nobody has chosen before.
std::string new_token();

/// The file, read whole and replaced atomically after each change.
class State {
public:
    /// A missing file is an empty state. Errc::corrupt for a damaged one, which is left as it is.
    static Result<State> load(
        const std::filesystem::path& identity, const std::string& explorer, std::int64_t user);
    /// The same to be saved: no other zgrid changes the file until this object is gone or said
    /// `release`. Errc::unavailable names the one that is at it now.
    static Result<State> load_for_change(
        const std::filesystem::path& identity, const std::string& explorer, std::int64_t user);

    KnownGrid& grid() { return grid_; }
    /// Only of a state that was loaded for change: the whole file is written.
    [[nodiscard]] Result<> save() const;
    /// Lets others change the file.
    void release() { lock_.close(); }

private:
    std::filesystem::path file_;
    std::string key_;     ///< "explorer user"
    std::string others_;  ///< JSON of what belongs to other explorers and users.
    KnownGrid grid_;
    kernel::Fd lock_;
};

}  // namespace znode::zgrid
