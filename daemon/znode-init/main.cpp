// /.znode/init STATUS_FD OUT_FD ERR_FD DRAIN_MS -- PROGRAM [ARG...]
//
// PID 1 of a container: starts the program, passes signals on, reaps, and writes how the program
// ended into STATUS_FD, a file outside of the container that survives everybody. OUT_FD and ERR_FD
// are the read ends of the program's output: held open so that the program never meets a broken
// pipe while the monitor is replaced, and watched at the end until the monitor has taken the rest.

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr std::size_t status_size = 64;

long now_ms()
{
    struct timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/// "znode1 WORD NUMBER MS", padded with zeros: one write of one size, never a mixture of two.
void say(int fd, const char* word, int number)
{
    char text[status_size] = {};
    std::snprintf(text, sizeof text, "znode1 %s %d %ld\n", word, number, now_ms());
    (void)!::pwrite(fd, text, sizeof text, 0);
}

int held(int fd)
{
    int bytes = 0;
    return ::ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : 0;
}

/// Ends all other processes of the container and waits for them.
void sweep()
{
    (void)::kill(-1, SIGKILL);
    while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
}

/// Waits until somebody took the last output, a SIGTERM comes, or the time is over.
void drain(int out, int err, long patience_ms)
{
    sigset_t terminate;
    ::sigemptyset(&terminate);
    ::sigaddset(&terminate, SIGTERM);
    const long until = now_ms() + patience_ms;
    // The kernel has no event for "pipe became empty", so this asks; only while a rest is left.
    for (long pause_ns = 200'000; held(out) > 0 || held(err) > 0;) {
        if (now_ms() >= until) return;
        const struct timespec pause{0, pause_ns};
        if (::sigtimedwait(&terminate, nullptr, &pause) == SIGTERM) return;
        if (pause_ns < 20'000'000) pause_ns *= 2;
    }
}

[[noreturn]] void become(char** program, const sigset_t& before, int report)
{
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    (void)::setsid();
    ::execvp(program[0], program);
    const int err = errno;
    (void)!::write(report, &err, sizeof err);
    ::_exit(127);
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 7 || std::strcmp(argv[5], "--") != 0) {
        std::fputs(
            "usage: znode-init STATUS_FD OUT_FD ERR_FD DRAIN_MS -- PROGRAM [ARG...]\n", stderr);
        return 2;
    }
    const int status = std::atoi(argv[1]);
    const int out = std::atoi(argv[2]);
    const int err = std::atoi(argv[3]);
    const long patience_ms = std::atol(argv[4]);
    char** program = argv + 6;

    // The program must not reach these descriptors through /proc/1/fd.
    (void)::prctl(PR_SET_DUMPABLE, 0);
    for (int fd = 3; fd < 64; ++fd) (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);

    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, &before);
    ::sigemptyset(&before);
    say(status, "started", 0);

    int report[2];
    if (::pipe2(report, O_CLOEXEC) < 0) {
        say(status, "exec_errno", errno);
        return 126;
    }
    const pid_t child = ::fork();
    if (child < 0) {
        say(status, "exec_errno", errno);
        return 126;
    }
    if (child == 0) become(program, before, report[1]);
    ::close(report[1]);
    int exec_errno = 0;
    const auto got = ::read(report[0], &exec_errno, sizeof exec_errno);
    // Nothing but the end of the pipe: exec itself closed it, the program runs.
    if (got == static_cast<ssize_t>(sizeof exec_errno)) {
        say(status, "exec_errno", exec_errno);
    } else {
        say(status, "running", 0);
    }
    ::close(report[0]);

    // Our own write ends go: the pipes are empty when the programs' output was taken.
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        ::dup2(null, 1);
        ::dup2(null, 2);
    } else {
        ::close(1);
        ::close(2);
    }

    int code = 127;
    for (bool ended = false; !ended;) {
        siginfo_t info;
        const int signal = ::sigwaitinfo(&all, &info);
        if (signal < 0) continue;
        if (signal != SIGCHLD) {
            (void)::kill(child, signal);
            continue;
        }
        int how = 0;
        for (pid_t gone; (gone = ::waitpid(-1, &how, WNOHANG)) > 0;) {
            if (gone != child) continue;
            ended = true;
            code = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
            if (exec_errno != 0) continue;  // Said already, and more than the code tells.
            if (WIFSIGNALED(how))
                say(status, "signaled", WTERMSIG(how));
            else
                say(status, "exited", WEXITSTATUS(how));
        }
    }
    sweep();
    drain(out, err, patience_ms);
    return code;
}
