#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/blocking.hpp"
#include "async/task.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "kernel/cgroup.hpp"

namespace znode::container {

/// Host ids that a tenant's containers run under; id 0 inside is `first` outside.
struct IdRange {
    std::uint32_t first = 0;
    std::uint32_t length = 65536;
};

/// Something of the host that is seen inside.
struct VolumeMount {
    std::filesystem::path source;  ///< Folder on the host, owned by id 0 (mounted id-mapped).
    std::string mount_point;       ///< Absolute path, resolved inside of the root only.
    bool read_only = false;
};

/// The root: read-only layers below, what the container writes above.
struct RootLayers {
    std::vector<std::filesystem::path> lower;  ///< Topmost first.
    /// Folder on the host with the quota (a subvolume); `upper` and `work` are made in it.
    std::filesystem::path writable;
};

/// What a container may use.
struct Limits {
    double cpus = 1;  ///< Threads' worth of time: 2 on an 8-thread host is a quarter of it.
    std::uint64_t memory_bytes = 0;
    std::uint32_t pids = 4096;
};

struct LogLimits {
    std::uint64_t segment_bytes = std::uint64_t{10} << 20U;
    std::uint32_t segments = 5;
};

/// The two namespaces that exist before the container does, pinned as files.
struct Namespaces {
    std::filesystem::path user;
    std::filesystem::path
        network;  ///< Owned by the user namespace; to be configured by the caller.
};

struct ContainerSpec {
    std::string gwid;   ///< "12-1"; letters, digits and "_+-." only.
    std::string owner;  ///< JSON put into the OCI annotation `org.znode.owner`.
    IdRange ids;
    RootLayers root;
    std::vector<VolumeMount> volumes;
    std::string entry_point;     ///< Shell-like words; empty: the root's `.startup.toml` decides.
    std::string working_folder;  ///< Empty: `.startup.toml`'s, else "/".
    std::map<std::string, std::string> environment;
    std::map<std::string, Secret> secret_environment;  ///< Wins over `environment`.
    bool interactive = false;  ///< CoreX as program; the entry point is not run.
    std::string hostname;      ///< Empty: the gwid.
    Limits limits;
    LogLimits logs;
    std::vector<std::string> dns_servers;
    /// More lines of /etc/hosts: address and names.
    std::vector<std::string> hosts;
};

struct Running {
    pid_t pid = 0;                 ///< PID 1 as the host sees it.
    std::uint64_t start_time = 0;  ///< Field 22 of its /proc/PID/stat.
    std::int64_t started_ns = 0;   ///< CLOCK_REALTIME.
};

/// How a container ended.
struct ContainerExit {
    std::string gwid;
    enum class Kind { exited, signaled, not_executed, unknown } kind = Kind::unknown;
    int number = 0;  ///< Exit code, signal, or errno of the program's execution.
    bool out_of_memory = false;
    bool out_of_pids = false;  ///< A fork was refused at some time.
    std::int64_t ended_ns = 0;
    std::vector<std::string> last_lines;  ///< At most 5 of its log, printable.

    /// "exit code 7", "killed by signal 9, out of memory".
    std::string text() const;
};

/// What is really there of one container.
struct Found {
    std::string gwid;
    std::optional<Running> running;
    std::optional<ContainerExit> exit;  ///< It ended and was not removed.
    std::string owner;                  ///< The annotation, "" when unreadable.
    std::uint32_t monitor_version = 0;
    kernel::CgroupUse use;
};

/// Containers of one node.
///
/// Every operation may be repeated, and is safe when the agent died in the middle of it before. One
/// operation at a time per gwid. Called from the event loop; nothing here blocks it: what may hang
/// runs in processes with a deadline.
class Containers {
public:
    virtual ~Containers() = default;

    /// Makes and pins the namespaces of a container, so that its network can be set up before it
    /// starts. Existing ones are returned as they are.
    virtual Task<Result<Namespaces>> prepare_namespaces(std::string gwid, IdRange ids) = 0;

    /// Starts the container unless it runs. `prepare_namespaces` is called where it was not yet.
    /// Returns once the program is executed. Errc::invalid: the entry point, a mount point or a
    /// limit is wrong, or the program can't be executed (message says which and why);
    /// Errc::unsupported: the runtime did not put the filter in place. What a failed start made is
    /// removed, but for the namespaces.
    virtual Task<Result<Running>> ensure(ContainerSpec spec) = 0;

    /// SIGTERM, then after `grace` SIGKILL; waits until PID 1 is gone and its output is on disk.
    /// Succeeds when it does not run.
    virtual Task<Result<ContainerExit>> stop(std::string gwid, Duration grace) = 0;

    /// Removes what is left of a stopped container: runtime state, cgroups, root mount, pins, run
    /// folder. A running one is killed first. Logs and the writable layer stay: they are the
    /// caller's. With `keep_namespaces` the next start finds the network as it is.
    virtual Task<Result<>> remove(std::string gwid, bool keep_namespaces = false) = 0;

    /// Everything that is there, after a restart of the agent: takes charge of what runs (dead
    /// monitors are replaced) and watches it from here on.
    virtual Task<Result<std::vector<Found>>> list() = 0;

    /// The next container that ended by itself or by `stop`. One reader.
    virtual Task<ContainerExit> next_exit() = 0;

    /// Ends watching; containers and monitors go on. To be awaited before the object dies.
    virtual Task<> drain() = 0;
};

struct ContainersConfig {
    std::filesystem::path run_dir;             ///< "/run/znode", in the holder's namespace.
    std::filesystem::path log_dir;             ///< Segments of each container below it.
    std::filesystem::path monitor_program;     ///< znode-monitor.
    std::filesystem::path init_program;        ///< znode-init, not on a noexec mount.
    std::filesystem::path corex_program = {};  ///< Empty: interactive containers are refused.
    std::filesystem::path runtime = "/usr/bin/crun";
    std::string node8;  ///< First eight characters of the node id.
    Duration start_patience = std::chrono::seconds{60};
};

/// Containers run by crun. `cgroups`, `blocking`, `loop` outlive the object. Compiles the seccomp
/// filter once, here.
Result<std::unique_ptr<Containers>> make_crun_containers(
    ContainersConfig config,
    kernel::Cgroups cgroups,
    asio::io_context& loop,
    Blocking& blocking,
    Log log);

}  // namespace znode::container
