#pragma once

#include "async/task.hpp"
#include "kernel/child.hpp"

namespace znode {

/// Waits for the end of a process without a thread. Only readable pidfds are used, so a process
/// that is not our child can be waited for too: its exit is then unknown (Errc::unavailable).
Task<Result<kernel::Exit>> wait_for_exit(const kernel::Child* child);

/// Starts a program, feeds `input` to its stdin, gathers its output (16 MiB at most) and waits.
/// Killed with its whole group when the deadline passes (Errc::timeout) or the task is cancelled.
Task<Result<kernel::Output>> run_child(
    kernel::ChildSpec spec, std::string input, Duration patience);

}  // namespace znode
