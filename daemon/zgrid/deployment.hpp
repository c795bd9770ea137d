#pragma once
// The file that `zgrid deploy` reads. Pure: text in, wishes or a list of all mistakes out.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.hpp"
#include "base/secret.hpp"
#include "grid/scalars.hpp"

namespace znode::zgrid {

/// A node by its id, or "auto".
inline constexpr std::string_view any_node = "auto";

struct NetworkWish {
    std::string name;
    int line = 0;
    IpNetwork range;
    std::vector<std::string> nodes;
    std::string access;  ///< Node that laptops dial; "" for none.
};

struct VolumeWish {
    std::string name;
    int line = 0;
    std::string node = std::string{any_node};
    std::int64_t size = 0;  ///< GiB
    grid::DiskType type = grid::DiskType::ssd;
};

struct ZdbWish {
    std::string name;
    int line = 0;
    std::string node = std::string{any_node};
    std::int64_t size = 0;  ///< GiB
    grid::ZdbMode mode = grid::ZdbMode::seq;
    grid::DiskType type = grid::DiskType::ssd;
    Secret password;
    bool is_public = false;
};

struct MountWish {
    std::string path;
    std::string volume;  ///< A name of this file, or a gwid.
    bool is_gwid = false;
};

struct ContainerWish {
    std::string name;
    int line = 0;
    std::string node = std::string{any_node};
    std::string network;
    std::optional<IpAddress> ip;  ///< Absent: the first free one.
    std::string flist;
    std::string hub_url;
    std::string entrypoint;
    bool interactive = false;
    bool public_ip6 = false;
    std::int64_t cpu = 1;
    std::int64_t memory = 0;  ///< MiB
    std::int64_t disk = 0;    ///< MiB; 0: the node's default.
    grid::DiskType disk_type = grid::DiskType::ssd;
    std::vector<MountWish> volumes;
    std::map<std::string, std::string> env;
    std::map<std::string, Secret> secret_env;
    Secret logs;  ///< URL; may carry a password.
    /// Where members stand that are checked against other parts: "ip", "env.NAME", "volumes./PATH".
    std::map<std::string, int> lines;

    int line_of(const std::string& member) const
    {
        const auto known = lines.find(member);
        return known == lines.end() ? line : known->second;
    }
};

struct Deployment {
    std::string name;
    /// How long all of it shall live where the explorer is of the reservations era; absent: a day.
    std::optional<std::chrono::seconds> duration;
    int duration_line = 0;
    std::optional<std::int64_t> pool;  ///< Absent: one of the owner's that covers the nodes.
    std::vector<NetworkWish> networks;
    std::vector<VolumeWish> volumes;
    std::vector<ZdbWish> zdbs;
    std::vector<ContainerWish> containers;
};

/// What is wrong where; `line` 0 for the file as a whole.
struct Mistake {
    int line = 0;
    std::string text;
};

/// Reads the file's text. Names, sizes, addresses and references are checked against each other;
/// what only the grid knows (nodes, flists) is not. Empty `mistakes`: the deployment is complete.
struct ReadDeployment {
    Deployment deployment;
    std::vector<Mistake> mistakes;
};
ReadDeployment read_deployment(std::string_view text);

/// "FILE:LINE: text" for each, by line.
std::string to_text(const std::vector<Mistake>& mistakes, const std::filesystem::path& file);

/// "24h", "90m", "30d", "2w". Errc::invalid.
Result<std::chrono::seconds> parse_lifetime(std::string_view text);

/// Names of the 0-dbs that a value refers to by "{zdb.NAME}".
std::vector<std::string> zdbs_in(std::string_view value);
/// Puts `namespace:password@host:port` in the place of each reference. `found` gives it by name.
std::string with_zdbs(std::string_view value, const std::map<std::string, std::string>& found);
/// That form: IPv6 in brackets, the password percent-encoded.
std::string zdb_reference(
    std::string_view name, const Secret& password, std::string_view host, std::int64_t port);

}  // namespace znode::zgrid
