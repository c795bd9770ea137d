#pragma once

#include <cstdint>

namespace znode::monitor {

/// What the agent says on the command line. Nothing secret is among it.
struct Options {
    const char* folder = nullptr;     ///< The container's run folder, 0700.
    const char* id = nullptr;         ///< gwid.
    const char* crun = "crun";        ///< The runtime, an absolute path.
    const char* crun_root = nullptr;  ///< Its state folder.
    const char* logs = nullptr;       ///< Folder of the segments.
    std::uint64_t segment_bytes = 10U << 20U;
    std::uint32_t segments = 5;
    unsigned owner = 0;  ///< Host uid of the container's root.
    int ready_fd = -1;
    bool attach = false;
    const char* cgroups[16] = {};  ///< cgroup.procs files to enter.
    int cgroup_count = 0;
};

/// Makes the FIFOs, the status file and a fresh page in the folder. 0, or errno and the step.
int prepare_folder(int folder, const Options& options, const char*& step);

/// Starts `crun run -d` with the descriptors that znode-init expects; its pid, or -1 and errno.
int start_runtime(int folder, const Options& options);

/// `--prepare-root`, `--unmount`: what may hang below a FUSE server runs in a process of its own.
int prepare_root(int argc, char** argv);
int unmount(const char* target);

}  // namespace znode::monitor
