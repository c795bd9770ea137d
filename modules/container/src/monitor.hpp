#pragma once

#include "async/task.hpp"
#include "bundle.hpp"
#include "kernel/child.hpp"

namespace znode::container {

/// A monitor's answer to its start.
struct MonitorAnswer {
    bool started = false;
    std::string step;  ///< What failed: "crun", "exec", "confine", "prepare", …
    int number = 0;    ///< Pid if started, else exit code or errno.
};

struct StartedMonitor {
    kernel::Child process;
    MonitorAnswer answer;
};

/// Starts a monitor (with `attach` for a container that runs) and waits for its word.
/// Errc::timeout after the config's patience; the monitor is then killed.
Task<Result<StartedMonitor>> start_monitor(
    const ContainersConfig* config,
    std::string gwid,
    std::uint32_t owner,
    LogLimits logs,
    std::vector<std::string> cgroup_doors,
    bool attach);

/// Reads "started 12" or "failed step 2".
[[nodiscard]] Result<MonitorAnswer> parse_answer(std::string_view line);

}  // namespace znode::container
