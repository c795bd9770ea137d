#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "base/result.hpp"

namespace znode::agent {

/// One storage pool of `[storage] pools`.
struct PoolConfig {
    std::string kind;  ///< "image", "directory" or "disk".
    std::filesystem::path path;
    std::uint64_t size = 0;  ///< Bytes; of an image.
    std::string media = "ssd";
    bool sparse = false;
    bool enable_quota = false;

    bool operator==(const PoolConfig&) const = default;
};

/// Everything that `/etc/znode/znoded.toml` can say, with its defaults. Sizes are bytes.
struct Config {
    struct Node {
        std::int64_t farm_id = 0;
        std::string mode = "host";
        std::filesystem::path state_dir = "/var/lib/znode";
        std::filesystem::path cache_dir = "/var/cache/znode";
        std::filesystem::path run_dir = "/run/znode";
        std::filesystem::path helpers_dir;  ///< Empty: beside znoded, or ../libexec/znode.
        std::filesystem::path own_dir;      ///< Where znoded lies; no setting.
        std::string hostname;               ///< Empty: the machine's.
        std::string log_level = "info";
        std::string continent = "Unknown";
        std::string country = "Unknown";
        std::string city = "Unknown";
        double latitude = 0;
        double longitude = 0;
        std::int64_t cru = 0;   ///< 0: all of the machine.
        std::uint64_t mru = 0;  ///< 0: all of the machine.
        double cpu_overcommit = 4;
        std::optional<std::uint64_t> memory_reserve;
    } node;
    struct Explorer {
        std::string url;
        std::string era = "auto";              ///< Or "pools", "reservations".
        std::string verify = "when-possible";  ///< Customers' signatures; or "never", "always".
        std::string ca_file;
    } explorer;
    struct Storage {
        std::vector<PoolConfig> pools;
        Duration undelete = std::chrono::hours{24};
    } storage;
    struct Network {
        std::string uplink;  ///< Empty: the interface of the default route.
        std::string wireguard = "auto";
        std::int64_t zdb_port_base = 9900;
        bool fix_forward = false;
    } network;
    struct Flist {
        std::string hub_url;  ///< Block store of a container that names none.
        std::uint64_t cache_size = std::uint64_t{10} << 30U;
    } flist;
    struct Zdb {
        std::string command = "znode-zdb";
        std::string user;  ///< Unprivileged user that serves; empty: root.
    } zdb;
    struct Containers {
        std::string runtime = "crun";
        std::string cgroup = "auto";  ///< Or the path of the cgroup that workloads live below.
        bool init = true;
        std::int64_t pids = 4096;
        std::int64_t first_uid = 1'000'000;
    } containers;
    struct Logs {
        std::uint64_t segment_size = std::uint64_t{10} << 20U;
        std::int64_t segments = 5;
    } logs;
    struct Status {
        std::filesystem::path socket;  ///< Empty: status.sock in run_dir.
        std::string group = "znode";
        std::string listen;  ///< ADDRESS:PORT for /metrics and /healthz; empty: off.
    } status;

    std::filesystem::path socket_path() const
    {
        return status.socket.empty() ? node.run_dir / "status.sock" : status.socket;
    }
};

/// Looks up an environment variable; a parameter so that tests need none.
using Environment = std::function<std::optional<std::string>(const std::string&)>;

/// Reads the text of a config file. On failure every mistake is listed, one a line, with the line
/// of the file it stands in and what would be right. `ZNODE_<SECTION>_<KEY>` of the environment
/// wins over the file; `farmer_id=` of `kernel_command_line` is taken where nothing else says a
/// farm.
Result<Config> parse_config(
    std::string_view text,
    const std::string& file_name,
    const Environment& environment,
    std::string_view kernel_command_line);

/// The keys that differ, "node.log_level", in the order of the file.
std::vector<std::string> changed_keys(const Config& before, const Config& after);

/// Reads "24h", "90s", "15m", "2d"; at most a hundred years.
Result<Duration> parse_duration(std::string_view text);

}  // namespace znode::agent
