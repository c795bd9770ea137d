// znode-monitor: the parent of one container. Takes its output to log segments, learns how it
// ended, and leaves both where they survive itself: killed at any moment, `--attach` goes on
// without a line lost or doubled, and the container does not notice.
//
// It says one line on --ready-fd: "started PID", or "failed STEP NUMBER" (STEP crun: exit code,
// exec: errno of the program, else errno), and closes it.

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "options.hpp"
#include "relay.hpp"

namespace znode::monitor {
namespace {

using container::ExitKind;
using container::MonitorPage;
using container::MonitorPhase;

constexpr int lost_retry_ms = 1000;

bool read_text(int folder, const char* path, char* into, std::size_t size)
{
    const int fd = ::openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    std::size_t used = 0;
    while (used + 1 < size) {
        const auto got = ::read(fd, into + used, size - 1 - used);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        used += static_cast<std::size_t>(got);
    }
    ::close(fd);
    into[used] = '\0';
    return true;
}

bool write_file(const char* path, const char* text)
{
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const auto size = static_cast<ssize_t>(std::strlen(text));
    const bool good = ::write(fd, text, static_cast<std::size_t>(size)) == size;
    ::close(fd);
    return good;
}

/// Field 22 of /proc/PID/stat; 0 when there is no such process.
std::uint64_t start_time_of(int pid)
{
    char path[64];
    char stat[2048];
    std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!read_text(AT_FDCWD, path, stat, sizeof stat)) return 0;
    const char* at = std::strrchr(stat, ')');
    // Fields after the name are counted from 3.
    for (int field = 2; at != nullptr && field < 22; ++field) at = std::strchr(at + 1, ' ');
    return at == nullptr ? 0 : std::strtoull(at + 1, nullptr, 10);
}

/// How many filters of system calls a process has; 0 when its status does not say.
unsigned long filters_of(const char* status)
{
    const char* line = std::strstr(status, "\nSeccomp_filters:\t");
    return line == nullptr ? 0 : std::strtoul(line + 18, nullptr, 10);
}

/// Whether a living process lacks the filter, or can gain privileges. The runtime takes a misspelt
/// or refused filter silently. One that has ended already tells nothing, and harms nobody.
bool is_unconfined(int pid)
{
    char path[64];
    char text[8192];
    char own[8192];
    std::snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (!read_text(AT_FDCWD, path, text, sizeof text)) return false;
    if (std::strstr(text, "\nState:\tZ") != nullptr || std::strstr(text, "\nState:\tX") != nullptr)
        return false;
    if (!read_text(AT_FDCWD, "/proc/self/status", own, sizeof own)) return true;
    // A service's own filters are passed on: only one more than we have is the container's.
    return std::strstr(text, "\nSeccomp:\t2\n") == nullptr || filters_of(text) <= filters_of(own) ||
           std::strstr(text, "\nNoNewPrivs:\t1\n") == nullptr;
}

/// What znode-init left in the status file.
struct Status {
    char word[16] = {};
    int number = 0;

    bool is(const char* name) const { return std::strcmp(word, name) == 0; }
    /// The program is executed, or never will be.
    bool decided() const { return word[0] != '\0' && !is("started"); }
};

class Monitor {
public:
    explicit Monitor(const Options& options) : options_{options} {}
    int run();

private:
    void enter_cgroup();
    [[noreturn]] void fail(const char* step, int number);
    void report(const char* text);
    void open_page();
    Status read_status() const;
    void runtime_ended();
    void watch_container();
    void look_at_status();
    void container_ended();
    void reap();

    const Options& options_;
    int folder_ = -1;
    int fifos_[2] = {-1, -1};
    int inotify_ = -1;
    int pidfd_ = -1;
    int runtime_ = 0;  // Pid of crun while it runs.
    int runtime_fd_ = -1;
    int pid1_status_ = -1;  // Of waitpid, once reaped.
    bool reported_ = false;
    MonitorPage* page_ = nullptr;
    Relay* relay_ = nullptr;
};

void Monitor::report(const char* text)
{
    if (reported_) return;
    reported_ = true;
    if (options_.ready_fd < 0) return;
    (void)!::write(options_.ready_fd, text, std::strlen(text));
    ::close(options_.ready_fd);
}

void Monitor::fail(const char* step, int number)
{
    char text[128];
    std::snprintf(text, sizeof text, "failed %s %d\n", step, number);
    report(text);
    // Of a program that runs only a monitor failed, not the start: a successor tries again. Called
    // failed, it would be killed and started anew.
    if (page_ != nullptr && page_->pid == 0) page_->phase = MonitorPhase::failed;
    ::_exit(1);
}

void Monitor::open_page()
{
    const int file = ::openat(folder_, "phase", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) fail("page", errno);
    struct stat info{};
    if (::fstat(file, &info) < 0 || info.st_size < static_cast<off_t>(sizeof(MonitorPage)))
        fail("page", EINVAL);
    void* mapped =
        ::mmap(nullptr, sizeof(MonitorPage), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) fail("page", errno);
    ::close(file);
    // What was touched once stays: a page fault must not fail in the middle of a read.
    (void)::syscall(SYS_mlock2, mapped, sizeof(MonitorPage), MLOCK_ONFAULT);
    auto* const page = static_cast<MonitorPage*>(mapped);
    if (!options_.attach) {
        page->magic = container::monitor_page_magic;
        page->version = container::monitor_page_version;
        page->bytes = sizeof(MonitorPage);
    } else if (
        page->magic != container::monitor_page_magic ||
        page->version != container::monitor_page_version) {
        fail("page", EPROTO);
    }
    page_ = page;
    char boot[64] = {};
    (void)read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    boot[std::strcspn(boot, "\n")] = '\0';
    std::snprintf(page_->boot_id, sizeof page_->boot_id, "%.36s", boot);
    page_->monitor_start = start_time_of(::getpid());
    page_->monitor_pid = ::getpid();
}

Status Monitor::read_status() const
{
    Status status;
    char text[65];
    if (!read_text(folder_, "status", text, sizeof text)) return status;
    if (std::sscanf(text, "znode1 %15s %d", status.word, &status.number) < 1) status.word[0] = '\0';
    return status;
}

void Monitor::reap()
{
    int how = 0;
    for (int gone; (gone = ::waitpid(-1, &how, WNOHANG)) > 0;) {
        if (gone == page_->pid && page_->pid != 0) pid1_status_ = how;
    }
}

/// crun has returned: PID 1 is ours from here on, or there is none.
void Monitor::runtime_ended()
{
    int how = 0;
    if (::waitpid(runtime_, &how, 0) < 0) how = 0xff00;
    ::close(runtime_fd_);
    runtime_fd_ = -1;
    runtime_ = 0;
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0) {
        while (relay_->move()) {
        }
        relay_->flush();
        fail("crun", WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how));
    }
    char text[32];
    if (!read_text(folder_, "pid", text, sizeof text)) fail("pid", errno);
    page_->pid = std::atoi(text);
    page_->pid_start = start_time_of(page_->pid);
    page_->started_ns = wall_ns();
    watch_container();
    page_->phase = MonitorPhase::running;
    std::snprintf(text, sizeof text, "pid=%d", page_->pid);
    relay_->mark(logs::Kind::started, text);
}

void Monitor::watch_container()
{
    pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, page_->pid, 0));
    // The number may be somebody else's by now, after an attach.
    if (pidfd_ >= 0 && start_time_of(page_->pid) != page_->pid_start) {
        ::close(pidfd_);
        pidfd_ = -1;
    }
}

/// Reports once it is known whether the program could be executed.
void Monitor::look_at_status()
{
    if (reported_ || page_->phase != MonitorPhase::running) return;
    const auto status = read_status();
    if (status.word[0] == '\0') return;
    // Not before init spoke: the runtime returns a moment before the filter is in place.
    if (!options_.attach && is_unconfined(page_->pid)) {
        if (pidfd_ >= 0) (void)::syscall(SYS_pidfd_send_signal, pidfd_, SIGKILL, nullptr, 0);
        page_->phase = MonitorPhase::failed;
        fail("confine", EPERM);
    }
    char text[64];
    if (options_.attach || (status.decided() && !status.is("exec_errno"))) {
        std::snprintf(text, sizeof text, "started %d\n", page_->pid);
        report(text);
    } else if (status.is("exec_errno")) {
        std::snprintf(text, sizeof text, "failed exec %d\n", status.number);
        report(text);
    }
    if (reported_ && inotify_ >= 0) {
        ::close(inotify_);
        inotify_ = -1;
    }
}

/// PID 1 is gone: nobody writes any more. Takes the rest and says how it ended.
void Monitor::container_ended()
{
    while (relay_->move() || relay_->waiting() > 0) {
    }
    relay_->flush();
    reap();
    const auto status = read_status();
    // The program's own end, as init saw it, comes before init's.
    auto kind = ExitKind::unknown;
    int number = 0;
    if (status.is("exited")) kind = ExitKind::exited;
    if (status.is("signaled")) kind = ExitKind::signaled;
    if (status.is("exec_errno")) kind = ExitKind::exec_errno;
    if (kind != ExitKind::unknown) {
        number = status.number;
    } else if (pid1_status_ >= 0 && WIFSIGNALED(pid1_status_)) {
        kind = ExitKind::signaled;
        number = WTERMSIG(pid1_status_);
    } else if (pid1_status_ >= 0 && WIFEXITED(pid1_status_)) {
        kind = ExitKind::exited;
        number = WEXITSTATUS(pid1_status_);
    }
    if (page_->ended_ns == 0) page_->ended_ns = wall_ns();
    page_->exit = kind;
    page_->exit_number = number;
    char text[32] = "unknown";
    if (kind == ExitKind::exited) std::snprintf(text, sizeof text, "code=%d", number);
    if (kind == ExitKind::signaled) std::snprintf(text, sizeof text, "signal=%d", number);
    if (kind == ExitKind::exec_errno) std::snprintf(text, sizeof text, "code=127");
    if (page_->exit_marked == 0) relay_->mark(logs::Kind::exited, text);
    look_at_status();
    if (!reported_) {
        std::snprintf(text, sizeof text, "failed init %d\n", number);
        report(text);
    }
    page_->phase = MonitorPhase::ended;
}

/// The first move between cgroups may wait for a grace period of the kernel (20 ms); those that
/// come with it are free. So this is done while the runtime is at it too.
void Monitor::enter_cgroup()
{
    for (int i = 0; i < options_.cgroup_count; ++i) {
        if (write_file(options_.cgroups[i], "0")) continue;
        const int err = errno;
        if (runtime_fd_ >= 0)
            (void)::syscall(SYS_pidfd_send_signal, runtime_fd_, SIGKILL, nullptr, 0);
        fail("cgroup", err);
    }
}

int Monitor::run()
{
    ::signal(SIGPIPE, SIG_IGN);
    ::umask(077);
    (void)::setsid();
    if (options_.ready_fd >= 0) (void)::fcntl(options_.ready_fd, F_SETFD, FD_CLOEXEC);
    (void)::prctl(PR_SET_CHILD_SUBREAPER, 1);
    // The last to go when memory runs out; not granted everywhere.
    (void)write_file("/proc/self/oom_score_adj", "-500");

    folder_ = ::open(options_.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_ < 0) fail("folder", errno);
    if (::flock(folder_, LOCK_EX | LOCK_NB) < 0) fail("lock", errno);
    const char* step = "";
    if (!options_.attach)
        if (const int err = prepare_folder(folder_, options_, step); err != 0) fail("prepare", err);
    open_page();

    const char* names[] = {"out", "err"};
    for (int i = 0; i < 2; ++i) {
        // Reading and writing: never an end of file, whoever else comes and goes.
        fifos_[i] = ::openat(folder_, names[i], O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
        if (fifos_[i] < 0) fail("fifo", errno);
        (void)::fcntl(fifos_[i], F_SETPIPE_SZ, 1 << 20);
    }
    if (::mkdir(options_.logs, 0700) < 0 && errno != EEXIST) fail("logs", errno);
    const int log_folder = ::open(options_.logs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log_folder < 0) fail("logs", errno);
    Segments segments{log_folder, options_.segment_bytes, options_.segments};
    Relay relay{page_, &segments, fifos_};
    relay_ = &relay;
    const int err = options_.attach ? relay.resume() : relay.begin();
    if (err != 0) fail("logs", err);

    inotify_ = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    char status_path[4200];
    std::snprintf(status_path, sizeof status_path, "%s/status", options_.folder);
    if (inotify_ >= 0) (void)::inotify_add_watch(inotify_, status_path, IN_MODIFY);

    if (!options_.attach) {
        runtime_ = start_runtime(folder_, options_);
        if (runtime_ < 0) fail("fork", errno);
        runtime_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, runtime_, 0));
        if (runtime_fd_ < 0) fail("pidfd", errno);
        enter_cgroup();
    } else {
        enter_cgroup();
        if (page_->pid == 0) fail("page", ESRCH);
        watch_container();
    }

    for (;;) {
        const bool more = relay.move();
        if (relay.owes()) relay.tell_lost();
        if (runtime_ == 0 && pidfd_ < 0) {  // Attached too late: it is gone already.
            container_ended();
            return 0;
        }
        look_at_status();
        struct pollfd wait[] = {
            {fifos_[0], POLLIN, 0},
            {fifos_[1], POLLIN, 0},
            {runtime_fd_, POLLIN, 0},
            {pidfd_, POLLIN, 0},
            {inotify_, POLLIN, 0},
        };
        // A program that is silent now shall hear of its loss too, once the disk has room.
        const int patience = more ? 0 : relay.owes() ? lost_retry_ms : -1;
        if (::poll(wait, 5, patience) < 0 && errno != EINTR) fail("poll", errno);
        if ((wait[4].revents & POLLIN) != 0) {
            char events[4096];
            (void)!::read(inotify_, events, sizeof events);
        }
        if (runtime_fd_ >= 0 && (wait[2].revents & POLLIN) != 0) runtime_ended();
        if (pidfd_ >= 0 && (wait[3].revents & POLLIN) != 0) {
            container_ended();
            return 0;
        }
    }
}

bool parse(int argc, char** argv, Options& options)
{
    for (int i = 1; i < argc; ++i) {
        const auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
        if (is("--attach")) {
            options.attach = true;
            continue;
        }
        if (i + 1 == argc) return false;
        const char* value = argv[i + 1];
        if (is("--dir"))
            options.folder = value;
        else if (is("--id"))
            options.id = value;
        else if (is("--crun"))
            options.crun = value;
        else if (is("--crun-root"))
            options.crun_root = value;
        else if (is("--logs"))
            options.logs = value;
        else if (is("--segment-bytes"))
            options.segment_bytes = std::strtoull(value, nullptr, 10);
        else if (is("--segments"))
            options.segments = static_cast<std::uint32_t>(std::atoi(value));
        else if (is("--owner"))
            options.owner = static_cast<unsigned>(std::strtoul(value, nullptr, 10));
        else if (is("--ready-fd"))
            options.ready_fd = std::atoi(value);
        else if (is("--cgroup") && options.cgroup_count < 16)
            options.cgroups[options.cgroup_count++] = value;
        else
            return false;
        ++i;
    }
    return options.folder != nullptr && options.id != nullptr && options.logs != nullptr &&
           (options.attach || options.crun_root != nullptr);
}

}  // namespace
}  // namespace znode::monitor

int main(int argc, char** argv)
{
    using namespace znode::monitor;
    if (argc >= 4 && std::strcmp(argv[1], "--prepare-root") == 0)
        return prepare_root(argc - 2, argv + 2);
    if (argc == 3 && std::strcmp(argv[1], "--unmount") == 0) return unmount(argv[2]);
    Options options;
    if (!parse(argc, argv, options)) {
        std::fputs(
            "usage: znode-monitor --dir DIR --id ID --logs DIR --crun PATH --crun-root DIR\n"
            "                     [--owner UID] [--segment-bytes N] [--segments N] [--cgroup "
            "FILE]...\n"
            "                     [--ready-fd N] [--attach]\n"
            "       znode-monitor --prepare-root TARGET OVERLAY_OPTIONS\n"
            "       znode-monitor --unmount TARGET\n",
            stderr);
        return 2;
    }
    Monitor monitor{options};
    return monitor.run();
}
