#include "kernel/child.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::kernel {
namespace {

constexpr std::string_view default_path =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::vector<char*> pointers_to(const std::vector<std::string>& texts)
{
    std::vector<char*> pointers;
    pointers.reserve(texts.size() + 1);
    for (const auto& text : texts)
        pointers.push_back(const_cast<char*>(text.c_str()));  // NOLINT: execve's old signature.
    pointers.push_back(nullptr);
    return pointers;
}

/// Where a name without slash lies, as the child's PATH says.
std::string find_program(const std::string& name, const std::vector<std::string>& environment)
{
    if (name.find('/') != std::string::npos) return name;
    std::string_view path = default_path.substr(5);
    for (const auto& entry : environment)
        if (entry.starts_with("PATH=")) path = std::string_view{entry}.substr(5);
    for (const auto folder : split(path, ':')) {
        auto candidate = std::string{folder} + "/" + name;
        if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    }
    return {};
}

/// What the child needs, prepared before the fork: after it only async-signal-safe calls.
struct Plan {
    const ChildSpec* spec;
    const char* program;
    char* const* argv;
    char* const* environment;
    int report;      ///< Pipe to the parent; an errno arrives here, or nothing.
    int highest_to;  ///< Largest number a descriptor is mapped to.
    const char* const* cgroups;
    int netns;
};

struct Report {
    int err;
    char step[28];
};

[[noreturn]] void give_up(int fd, const char* step)
{
    Report report{errno, {}};
    ::strncpy(report.step, step, sizeof report.step - 1);
    (void)!::write(fd, &report, sizeof report);
    ::_exit(127);
}

/// The unit's protection from running out of memory is the agent's, not that of all it starts:
/// they would outlive the customers' containers. Those that must live ask for themselves.
void give_up_protection()
{
    static constexpr char file[] = "/proc/self/oom_score_adj";
    int fd = ::open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    char sign = 0;
    const bool is_protected = ::read(fd, &sign, 1) == 1 && sign == '-';
    ::close(fd);
    if (!is_protected) return;
    fd = ::open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!::write(fd, "0", 1);  // Raising it is everybody's right.
    ::close(fd);
}

// The child side: no allocation, no exception, no return.
[[noreturn]] void become(const Plan& plan)
{
    const ChildSpec& spec = *plan.spec;
    int report = plan.report;

    if (spec.new_session && ::setsid() < 0) give_up(report, "setsid");
    give_up_protection();
    for (const char* const* file = plan.cgroups; *file != nullptr; ++file) {
        const int fd = ::open(*file, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || ::write(fd, "0", 1) < 0) give_up(report, "enter cgroup");
        ::close(fd);
    }
    if (plan.netns >= 0 && ::setns(plan.netns, CLONE_NEWNET) < 0)
        give_up(report, "enter network namespace");

    // Everything of ours first moves above the numbers that the child wants.
    const int floor = std::max(plan.highest_to + 1, 3);
    report = ::fcntl(report, F_DUPFD_CLOEXEC, floor);
    std::array<int, 64> moved{};
    std::size_t count = 0;
    for (const auto& mapping : spec.descriptors) {
        if (count == moved.size()) {
            errno = E2BIG;
            give_up(report, "map descriptors");
        }
        moved[count] = ::fcntl(mapping.from, F_DUPFD_CLOEXEC, floor);
        if (moved[count] < 0) give_up(report, "map descriptors");
        ++count;
    }
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0)
        for (int fd = 0; fd < 3; ++fd)
            if (fd == 0 ||
                std::ranges::none_of(spec.descriptors, [&](const auto& m) { return m.to == fd; }))
                if (fd == 0) ::dup2(null, 0);
    std::size_t next = 0;
    for (const auto& mapping : spec.descriptors)
        if (::dup2(moved[next++], mapping.to) < 0) give_up(report, "map descriptors");
    // All else closes at exec.
    ::syscall(SYS_close_range, static_cast<unsigned>(floor), ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
    for (int fd = 3; fd < floor; ++fd)
        if (std::ranges::none_of(spec.descriptors, [&](const auto& m) { return m.to == fd; }))
            ::fcntl(fd, F_SETFD, FD_CLOEXEC);

    if (spec.umask) ::umask(static_cast<mode_t>(*spec.umask));
    if (spec.gid && (::syscall(SYS_setgroups, 0, nullptr) < 0 || ::setgid(*spec.gid) < 0))
        give_up(report, "set group");
    if (spec.uid && ::setuid(*spec.uid) < 0) give_up(report, "set user");

    for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);

    ::execve(plan.program, plan.argv, plan.environment);
    give_up(report, "exec");
}

}  // namespace

std::string Exit::text() const
{
    if (signal != 0) return "signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")";
    return "exit code " + std::to_string(code);
}

Result<Child> Child::spawn(const ChildSpec& spec)
{
    if (spec.argv.empty()) return fail(Errc::internal, "start a program without a name");
    const auto program = find_program(spec.argv[0], spec.environment);
    if (program.empty())
        return fail(Errc::not_found, "start " + spec.argv[0] + ": not found in PATH; install it");

    auto environment = spec.environment;
    if (std::ranges::none_of(environment, [](const auto& e) { return e.starts_with("PATH="); }))
        environment.emplace_back(default_path);

    std::array<int, 2> pipe{};
    int err = error_of(::pipe2(pipe.data(), O_CLOEXEC));
    if (err) return fail_errno(err, "start " + spec.argv[0] + ": pipe");
    const Fd answers{pipe[0]};
    Fd report{pipe[1]};

    Fd netns;
    if (!spec.network_namespace.empty()) {
        TRY(auto opened, open_file(spec.network_namespace, O_RDONLY));
        netns = std::move(opened);
    }

    const auto argv = pointers_to(spec.argv);
    const auto envp = pointers_to(environment);
    const auto cgroups = pointers_to(spec.cgroup_procs);
    int highest = 2;
    for (const auto& mapping : spec.descriptors) highest = std::max(highest, mapping.to);
    const Plan plan{
        &spec,
        program.c_str(),
        argv.data(),
        envp.data(),
        report.get(),
        highest,
        cgroups.data(),
        netns.get()};

    // Signals wait until the child has its default handlers.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = ::fork();
    err = error_of(pid);
    if (pid == 0) become(plan);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (err) return fail_errno(err, "start " + spec.argv[0] + ": fork");
    report.close();

    Fd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    err = error_of(pidfd.get());

    Report answer{};
    const auto got = retry_eintr([&] { return ::read(answers.get(), &answer, sizeof answer); });
    if (got == sizeof answer) {
        retry_eintr([&] { return ::waitpid(pid, nullptr, 0); });
        return fail_errno(answer.err, "start " + spec.argv[0] + ": " + answer.step);
    }
    if (err) {
        ::kill(pid, SIGKILL);
        retry_eintr([&] { return ::waitpid(pid, nullptr, 0); });
        return fail_errno(err, "start " + spec.argv[0] + ": pidfd_open");
    }
    return Child{pid, std::move(pidfd)};
}

Result<Child> Child::adopt(pid_t pid, std::uint64_t start_time)
{
    Fd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    const int err = error_of(pidfd.get());
    if (err) return fail_errno(err, "adopt process " + std::to_string(pid));
    // Asked after the pidfd is held: from here on the number cannot change its owner unseen.
    TRY(const auto started, start_time_of(pid));
    if (started != start_time)
        return fail(Errc::not_found, "process " + std::to_string(pid) + " is another one by now");
    return Child{pid, std::move(pidfd)};
}

Result<> Child::signal(int number) const
{
    const int err = error_of(::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0));
    if (err && err != ESRCH) return fail_errno(err, "signal process " + std::to_string(pid_));
    return {};
}

Result<std::optional<Exit>> Child::poll() const
{
    siginfo_t info{};
    const auto rc = retry_eintr([&] {
        return ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
    });
    const int err = error_of(rc);
    if (err) return fail_errno(err, "wait for process " + std::to_string(pid_));
    if (info.si_pid == 0) return std::nullopt;
    if (info.si_code == CLD_EXITED) return Exit{info.si_status, 0};
    return Exit{0, info.si_status};
}

Result<std::optional<Exit>> Child::wait(std::chrono::milliseconds patience) const
{
    const auto until = std::chrono::steady_clock::now() + patience;
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        pollfd ready{pidfd_.get(), POLLIN, 0};
        const int rc = ::poll(&ready, 1, static_cast<int>(std::max<long>(left.count(), 0)));
        if (rc < 0 && errno == EINTR) continue;
        if (rc == 0) return std::nullopt;
        return poll();
    }
}

Result<Output> run_program(
    ChildSpec spec, std::string_view input, std::chrono::milliseconds patience)
{
    constexpr std::size_t out_limit = std::size_t{16} << 20U;
    constexpr std::size_t err_limit = std::size_t{64} << 10U;

    std::array<Fd, 6> ends;
    for (std::size_t i = 0; i < 6; i += 2) {
        std::array<int, 2> pipe{};
        const int err = error_of(::pipe2(pipe.data(), O_CLOEXEC));
        if (err) return fail_errno(err, "pipe");
        ends[i] = Fd{pipe[0]};
        ends[i + 1] = Fd{pipe[1]};
    }
    auto& [in_read, in_write, out_read, out_write, err_read, err_write] = ends;
    spec.descriptors.push_back({in_read.get(), 0});
    spec.descriptors.push_back({out_write.get(), 1});
    spec.descriptors.push_back({err_write.get(), 2});
    spec.new_session = true;  // So that the whole group can be killed.
    TRY(const auto child, Child::spawn(spec));
    in_read.close();
    out_write.close();
    err_write.close();
    ::fcntl(in_write.get(), F_SETFL, O_NONBLOCK);

    const auto until = std::chrono::steady_clock::now() + patience;
    Output output;
    const auto drain = [&](Fd& fd, std::string& into, std::size_t limit, bool keep_tail) {
        std::array<char, 65536> buffer;
        const auto got =
            retry_eintr([&] { return ::read(fd.get(), buffer.data(), buffer.size()); });
        if (got <= 0) {
            fd.close();
            return true;
        }
        into.append(buffer.data(), static_cast<std::size_t>(got));
        if (into.size() <= limit) return true;
        if (!keep_tail) return false;
        into.erase(0, into.size() - limit);
        return true;
    };
    bool broken = false;
    bool late = false;
    while (out_read || err_read) {
        if (in_write && input.empty()) in_write.close();
        std::array<pollfd, 3> fds{
            pollfd{out_read.get(), POLLIN, 0},
            pollfd{err_read.get(), POLLIN, 0},
            pollfd{in_write.get(), POLLOUT, 0}};
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            late = true;
            break;
        }
        const int rc = ::poll(fds.data(), fds.size(), static_cast<int>(left.count()));
        if (rc < 0 && errno == EINTR) continue;
        if (fds[0].revents != 0 && !drain(out_read, output.out, out_limit, false)) {
            broken = true;
            break;
        }
        if (fds[1].revents != 0) drain(err_read, output.err, err_limit, true);
        if (fds[2].revents != 0 && !input.empty()) {
            const auto put = ::write(in_write.get(), input.data(), input.size());
            if (put > 0)
                input.remove_prefix(static_cast<std::size_t>(put));
            else if (errno != EAGAIN && errno != EINTR)
                in_write.close();
        }
    }
    in_write.close();
    if (!late && !broken) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        TRY(const auto ended, child.wait(std::max(left, std::chrono::milliseconds{0})));
        if (ended) {
            output.exit = *ended;
            return output;
        }
        late = true;
    }
    ::kill(-child.pid(), SIGKILL);
    (void)child.wait(std::chrono::seconds{5});  // A process in D state is left to the kernel.
    if (broken) return fail(Errc::exhausted, "run " + spec.argv[0] + ": printed more than 16 MiB");
    return fail(
        Errc::timeout,
        "run " + spec.argv[0] + ": not finished after " + std::to_string(patience.count()) + " ms");
}

Result<std::string> run_checked(
    std::vector<std::string> argv, std::string_view input, std::chrono::milliseconds patience)
{
    ChildSpec spec;
    spec.argv = std::move(argv);
    const auto name = spec.argv.front();
    TRY(auto output, run_program(std::move(spec), input, patience));
    if (output.exit.good()) return std::move(output.out);
    const auto text = trim(output.err);
    const auto line =
        text.substr(text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1);
    return fail(
        Errc::unavailable, "run " + name + ": " + output.exit.text() + ": " + printable(line, 400));
}

}  // namespace znode::kernel
