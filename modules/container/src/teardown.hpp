#pragma once

#include <sys/types.h>

#include <string>

#include "async/blocking.hpp"
#include "async/task.hpp"
#include "container/containers.hpp"
#include "kernel/cgroup.hpp"

namespace znode::container {

/// From SIGKILL to gone; a process in D state takes longer.
constexpr auto kill_patience = std::chrono::seconds{10};

/// SIGKILL for exactly this process, and its end. Errc::timeout.
[[nodiscard]] Task<Result<>> end_process(pid_t pid, std::uint64_t start_time);

/// Takes away what is left of a container whose program has ended: the runtime's notes, cgroup,
/// root mount, namespaces, bundle. May be repeated. What it refers to outlives it.
struct Teardown {
    const ContainersConfig& config;
    kernel::Cgroups& cgroups;
    Blocking& blocking;
    const Log& log;

    [[nodiscard]] Task<Result<>> take_apart(std::string gwid, bool keep_namespaces) const;

private:
    Task<Result<>> clear_cgroup(std::string gwid) const;
};

}  // namespace znode::container
