#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "kernel/fd.hpp"

namespace znode::kernel {

/// How a process ended.
struct Exit {
    int code = 0;    ///< Exit code, meaningful when `signal` is 0.
    int signal = 0;  ///< The signal that killed it, or 0.

    bool good() const noexcept { return code == 0 && signal == 0; }
    /// "exit code 3" or "signal 9 (Killed)".
    std::string text() const;
};

/// What to start. Descriptors are given by number as they shall appear in the child; 0 is
/// /dev/null unless mapped; everything that is not mapped is closed.
struct ChildSpec {
    std::vector<std::string> argv;         ///< argv[0] is looked up in PATH when it has no slash.
    std::vector<std::string> environment;  ///< "NAME=value"; PATH is added when absent.
    struct Mapping {
        int from;  ///< Descriptor of ours.
        int to;    ///< Its number in the child.
    };
    std::vector<Mapping> descriptors;
    bool new_session = false;               ///< setsid: survives the terminal of its parent.
    std::vector<std::string> cgroup_procs;  ///< Files the child writes "0" to before exec.
    std::optional<uid_t> uid;               ///< Switched to, with its gid and no other groups.
    std::optional<gid_t> gid;
    std::string network_namespace;  ///< Path of a netns to enter, if not empty.
    std::optional<int> umask;
};

/// A process of ours with its pidfd. The destructor neither kills nor waits: what must end is
/// ended by name, what must outlive us is released.
class Child {
public:
    /// fork, arrange, exec. A program that cannot be started is an error here (Errc::not_found for
    /// a missing one), not an exit code later.
    [[nodiscard]] static Result<Child> spawn(const ChildSpec& spec);
    /// A process that an earlier run of ours started; `start_time` guards against a reused pid.
    [[nodiscard]] static Result<Child> adopt(pid_t pid, std::uint64_t start_time);

    pid_t pid() const noexcept { return pid_; }
    /// Readable once the process has ended.
    int pidfd() const noexcept { return pidfd_.get(); }
    [[nodiscard]] Result<> signal(int number) const;
    /// Reaps; empty while it runs. Errc::unavailable (ECHILD) for a process that is not our child.
    [[nodiscard]] Result<std::optional<Exit>> poll() const;
    /// Waits at most so long; empty when the time is over.
    [[nodiscard]] Result<std::optional<Exit>> wait(std::chrono::milliseconds patience) const;

private:
    Child(pid_t pid, Fd pidfd) noexcept : pid_{pid}, pidfd_{std::move(pidfd)} {}
    pid_t pid_;
    Fd pidfd_;
};

/// Output of a program that was run to its end.
struct Output {
    Exit exit;
    std::string out;
    std::string err;  ///< Its last 64 KiB.
};

/// Runs a program to its end, with `input` on its stdin. Blocks: for lanes and tools. Killed with
/// its process group and Errc::timeout when `patience` is over; output is bounded to 16 MiB.
[[nodiscard]] Result<Output> run_program(
    ChildSpec spec, std::string_view input, std::chrono::milliseconds patience);

/// Same, and any exit but 0 is an error that carries the last line of stderr.
[[nodiscard]] Result<std::string> run_checked(
    std::vector<std::string> argv,
    std::string_view input = {},
    std::chrono::milliseconds patience = std::chrono::seconds{30});

}  // namespace znode::kernel
