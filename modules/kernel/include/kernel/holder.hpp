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
    bool managed = false;     ///< By a service manager: not ours to end.
};

/// What the holder's record `<run_dir>/holder` says, if that process is alive in this boot.
/// Errc::not_found when there is none.
[[nodiscard]] Result<Holder> find_holder(const std::filesystem::path& run_dir);

/// Puts this process into the holder's mount namespace: its only thread, since the kernel moves no
/// other. The working folder becomes "/".
[[nodiscard]] Result<> enter_holder(const Holder& holder);

/// How a holder is found, or started where none lives.
struct HolderSpec {
    std::filesystem::path run_dir;  ///< Absolute.
    std::filesystem::path program;  ///< znode-holder.
    std::string cgroup_root;        ///< Of a node without a holder so far: "/znode-01234567".
    /// A service manager keeps the holder, in a unit of its own. Then a first one is never started
    /// from here: it would live and die with this process' unit and see only its sandbox.
    bool managed = false;
};

/// Puts this process into the workloads' mount namespace; the first thing in `main`, before any
/// thread and before any descriptor that matters is opened: the working folder becomes "/", and
/// descriptors from before stay in the old mounts.
///
/// Where no holder lives one is started; it joins the namespace of a helper that still lives there
/// (a process in the cgroup "mon" of the last holder's root), and goes into the cgroup "holder"
/// where the last one's unit had made that. Errc::unavailable when `managed` and there is neither
/// a holder nor such a helper. Takes some ms to start one, 10 s at most.
[[nodiscard]] Result<Holder> enter_or_start_holder(const HolderSpec& spec);

/// Ends the holder and removes its record, for the end of everything (the namespace goes when the
/// last process in it does, ourselves included). Succeeds when there is none.
[[nodiscard]] Result<> stop_holder(const std::filesystem::path& run_dir);

}  // namespace znode::kernel
