#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.hpp"
#include "kernel/cgroup.hpp"

namespace znode::kernel {

/// The process that keeps the workloads' mount namespace while agents come and go.
struct Holder {
    pid_t pid = 0;
    std::uint64_t start_time = 0;
    bool started = false;     ///< By this very call.
    std::string cgroup_root;  ///< "/znode-<8>", or the delegated cgroup of the holder's unit.
};

/// What the holder's record `<run_dir>/holder` says, if that process is alive in this boot.
/// Errc::not_found when there is none.
[[nodiscard]] Result<Holder> find_holder(const std::filesystem::path& run_dir);

/// Puts this process into the workloads' mount namespace; the first thing in `main`, before any
/// thread and before any descriptor that matters is opened: the working folder becomes "/", and
/// descriptors from before stay in the old mounts.
///
/// Starts `program` (znode-holder) when no holder lives; a new holder joins the namespace of a
/// helper that still lives in it (a process in the cgroup "mon"). `node8`: first eight characters
/// of the node id; `run_dir` is absolute. Takes some ms to start one, 10 s at most.
[[nodiscard]] Result<Holder> enter_or_start_holder(
    const std::filesystem::path& run_dir, std::string node8, const std::filesystem::path& program);

/// Ends the holder and removes its record, for the end of everything (the namespace goes when the
/// last process in it does, ourselves included). Succeeds when there is none.
[[nodiscard]] Result<> stop_holder(const std::filesystem::path& run_dir);

}  // namespace znode::kernel
