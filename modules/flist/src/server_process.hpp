#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/secret.hpp"
#include "kernel/child.hpp"
#include "kernel/fd.hpp"

namespace znode::flist {

/// What is written down of a mount, so that a later run of the agent knows it.
struct MountRecord {
    std::string key;
    std::filesystem::path path;
    std::filesystem::path flist;
    std::string md5;
    std::string url;
    std::string store;  ///< Without password; the whole URL is in a file of its own.
    std::uint32_t uid_shift = 0;
    bool remote_store = false;  ///< As of `FlistSpec`.
    pid_t pid = 0;
    std::uint64_t start_time = 0;
};

/// `<state>/mount.json`, 0600.
Result<> write_record(const std::filesystem::path& state, const MountRecord& record);
Result<MountRecord> read_record(const std::filesystem::path& state);

/// How a server is started.
struct ServerSpec {
    std::string program;
    MountRecord record;
    std::filesystem::path state;
    std::filesystem::path cache;
    std::uint64_t cache_limit = 0;
    std::vector<std::string> cgroup_procs;
};

/// A server that was started, and the pipe that says "ready\n" once it answers requests.
struct StartedServer {
    kernel::Child child;
    kernel::Fd ready;
};

/// Starts a server on a mounted /dev/fuse, in a session of its own.
Result<StartedServer> start_server(const ServerSpec& spec, const kernel::Fd& fuse);

/// The server that serves with this state now, whether its start was written down or not.
std::optional<kernel::Child> owner_of(const std::filesystem::path& state);

/// The /dev/fuse descriptor of a living server that an earlier run started.
Result<kernel::Fd> fuse_of(const kernel::Child& server);

}  // namespace znode::flist
