#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "container/monitor_page.hpp"
#include "options.hpp"

namespace znode::monitor {
namespace {

constexpr std::size_t status_bytes = 64;

int make_fifo(int folder, const char* name, unsigned owner)
{
    (void)::unlinkat(folder, name, 0);
    if (::mkfifoat(folder, name, 0600) < 0) return errno;
    // 0622: everybody inside may open /dev/stdout again; the folder hides it from the host's users.
    if (::fchmodat(folder, name, 0622, 0) < 0) return errno;
    return ::fchownat(folder, name, owner, owner, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
}

/// Files that exist with their full size: a full tmpfs takes no new bytes, but lets old ones
/// change.
int make_file(int folder, const char* name, std::size_t bytes)
{
    (void)::unlinkat(folder, name, 0);
    const int file = ::openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return errno;
    // The buffers' pages come with their first use: an idle container keeps none.
    int err = ::ftruncate(file, static_cast<off_t>(bytes)) < 0 ? errno : 0;
    const auto head = offsetof(container::MonitorPage, buffers);
    const auto now = bytes < head ? bytes : head;
    if (err == 0) err = ::posix_fallocate(file, 0, static_cast<off_t>(now));
    ::close(file);
    return err;
}

int high(int fd)
{
    if (fd < 0) return -1;
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 20);
    ::close(fd);
    return moved;
}

}  // namespace

int prepare_folder(int folder, const Options& options, const char*& step)
{
    for (const char* old : {"pid", "crun.log"}) (void)::unlinkat(folder, old, 0);
    step = "make FIFO";
    if (const int err = make_fifo(folder, "out", options.owner); err != 0) return err;
    if (const int err = make_fifo(folder, "err", options.owner); err != 0) return err;
    step = "make status file";
    if (const int err = make_file(folder, "status", status_bytes); err != 0) return err;
    step = "make page file";
    return make_file(folder, "phase", sizeof(container::MonitorPage));
}

int start_runtime(int folder, const Options& options)
{
    char root[4200];
    char log[4200];
    char pid_file[4200];
    std::snprintf(root, sizeof root, "--root=%s", options.crun_root);
    std::snprintf(log, sizeof log, "--log=%s/crun.log", options.folder);
    std::snprintf(pid_file, sizeof pid_file, "%s/pid", options.folder);
    char manager[] = "--cgroup-manager=cgroupfs";
    char run[] = "run";
    char detach[] = "-d";
    char preserve[] = "--preserve-fds";
    char three[] = "3";
    char pid_option[] = "--pid-file";
    char bundle[] = "--bundle";
    char* argv[] = {
        const_cast<char*>(options.crun),
        root,
        log,
        manager,
        run,
        detach,
        preserve,
        three,
        pid_option,
        pid_file,
        bundle,
        const_cast<char*>(options.folder),
        const_cast<char*>(options.id),
        nullptr};
    char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char* environment[] = {path, nullptr};

    const pid_t child = ::fork();
    if (child != 0) return child;

    const int parts[] = {
        high(::open("/dev/null", O_RDONLY | O_CLOEXEC)),
        high(::openat(folder, "out", O_WRONLY | O_CLOEXEC)),
        high(::openat(folder, "err", O_WRONLY | O_CLOEXEC)),
        high(::openat(folder, "status", O_RDWR | O_CLOEXEC)),
        high(::openat(folder, "out", O_RDONLY | O_NONBLOCK | O_CLOEXEC)),
        high(::openat(folder, "err", O_RDONLY | O_NONBLOCK | O_CLOEXEC)),
    };
    for (int number = 0; number < 6; ++number)
        if (parts[number] < 0 || ::dup2(parts[number], number) < 0) ::_exit(125);
    ::signal(SIGPIPE, SIG_DFL);
    ::execve(options.crun, argv, environment);
    ::_exit(errno == ENOENT ? 126 : 125);
}

}  // namespace znode::monitor
