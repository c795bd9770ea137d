// znode-holder --run-dir DIR (--cgroup ROOT | --delegated) [--ready-fd N] [--join PID]
//
// Makes the workloads' mount namespace and then only exists, so that the namespace outlives the
// agent. Mounts of the host arrive here (slave), ours never leave. With --join it enters the
// namespace of a living helper instead of making one. With --delegated it is the main process of a
// systemd unit with Delegate=yes and arranges that unit's cgroup first; else --cgroup says below
// which cgroup the workloads are.

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "descriptors.hpp"

namespace {

constexpr long tmpfs_magic = 0x01021994;
constexpr std::size_t path_size = 4096;

struct Options {
    const char* run_dir = nullptr;
    const char* cgroup = nullptr;
    int ready_fd = -1;
    int join = 0;
    bool delegated = false;
};

Options options;

/// Tells whoever waits, or stderr, and ends.
[[noreturn]] void give_up(const char* step, const char* what)
{
    const int err = errno;
    char line[1024];
    const int size =
        std::snprintf(line, sizeof line, "%s %s: %s\n", step, what, std::strerror(err));
    const int fd = options.ready_fd >= 0 ? options.ready_fd : 2;
    if (size > 0) (void)!::write(fd, line, static_cast<std::size_t>(size));
    ::_exit(1);
}

bool read_text(const char* path, char* into, std::size_t size)
{
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
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
    return used > 0;
}

bool write_text(const char* path, const char* text)
{
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const auto size = std::strlen(text);
    const bool good = ::write(fd, text, size) == static_cast<ssize_t>(size);
    const int err = errno;
    ::close(fd);
    errno = err;
    return good;
}

/// The path of our own v2 cgroup, or "" when there is none.
void own_cgroup(char* into, std::size_t size)
{
    into[0] = '\0';
    char text[path_size];
    if (!read_text("/proc/self/cgroup", text, sizeof text)) return;
    for (char* line = std::strtok(text, "\n"); line != nullptr; line = std::strtok(nullptr, "\n"))
        if (std::strncmp(line, "0::", 3) == 0) std::snprintf(into, size, "%s", line + 3);
}

/// Moves us into a leaf, so that the unit's own cgroup may hand out controllers: the kernel allows
/// that only to cgroups without processes.
void arrange_unit(char* root, std::size_t size)
{
    own_cgroup(root, size);
    if (root[0] == '\0' || std::strcmp(root, "/") == 0) {
        errno = EINVAL;
        give_up("delegated", "no cgroup of our own");
    }
    // Started again by hand or by systemd in the leaf: its parent is the unit's.
    char* last = std::strrchr(root, '/');
    if (last != nullptr && last != root && std::strcmp(last, "/holder") == 0) *last = '\0';

    char path[path_size];
    for (const char* leaf : {"holder", "mon"}) {
        std::snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", root, leaf);
        if (::mkdir(path, 0755) < 0 && errno != EEXIST) give_up("make cgroup", path);
    }
    std::snprintf(path, sizeof path, "/sys/fs/cgroup%s/holder/cgroup.procs", root);
    if (!write_text(path, "0")) give_up("enter cgroup", path);
    std::snprintf(path, sizeof path, "/sys/fs/cgroup%s/cgroup.subtree_control", root);
    for (const char* controller : {"+cpu", "+memory", "+pids", "+io"})
        if (!write_text(path, controller) && errno != ENOENT && errno != EINVAL)
            give_up("enable controllers", path);
}

void bind(const char* from, const char* to)
{
    if (::mount(from, to, nullptr, MS_BIND, nullptr) < 0) give_up("bind", from);
}

/// crun refuses a v1 host that has a v2 tree as well. In here it sees the v1 controllers alone: the
/// host's own mounts of them, bound into a tmpfs that takes the place of /sys/fs/cgroup.
void hide_hybrid_cgroups()
{
    struct statfs info{};
    if (::statfs("/sys/fs/cgroup", &info) < 0) give_up("look at", "/sys/fs/cgroup");
    if (info.f_type != tmpfs_magic) return;

    char fresh[path_size];
    std::snprintf(fresh, sizeof fresh, "%s/cg", options.run_dir);
    if (::mkdir(fresh, 0755) < 0 && errno != EEXIST) give_up("make folder", fresh);
    if (::mount(
            "znode-cgroup", fresh, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755,size=64k") <
        0)
        give_up("mount tmpfs on", fresh);

    std::FILE* mounts = std::fopen("/proc/self/mountinfo", "re");
    if (mounts == nullptr) give_up("read", "/proc/self/mountinfo");
    char line[path_size];
    while (std::fgets(line, sizeof line, mounts) != nullptr) {
        if (std::strstr(line, " - cgroup ") == nullptr) continue;
        char target[path_size];
        if (std::sscanf(line, "%*s %*s %*s %*s %4095s", target) != 1) continue;
        const char prefix[] = "/sys/fs/cgroup/";
        if (std::strncmp(target, prefix, sizeof prefix - 1) != 0) continue;
        const char* name = target + sizeof prefix - 1;
        if (*name == '\0' || std::strchr(name, '/') != nullptr) continue;
        char to[path_size];
        if (static_cast<std::size_t>(std::snprintf(to, sizeof to, "%s/%s", fresh, name)) >=
            sizeof to)
            continue;
        if (::mkdir(to, 0755) < 0 && errno != EEXIST) give_up("make folder", to);
        bind(target, to);
    }
    std::fclose(mounts);
    if (::mount(fresh, "/sys/fs/cgroup", nullptr, MS_MOVE, nullptr) < 0) give_up("move", fresh);
    ::rmdir(fresh);
}

void make_namespace()
{
    if (::unshare(CLONE_NEWNS) < 0) give_up("unshare", "mount namespace");
    if (::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) < 0) give_up("make slave", "/");
    bind(options.run_dir, options.run_dir);
    if (::mount(nullptr, options.run_dir, nullptr, MS_PRIVATE, nullptr) < 0)
        give_up("make private", options.run_dir);
    if (::mount("fusectl", "/sys/fs/fuse/connections", "fusectl", 0, nullptr) < 0 &&
        errno != EBUSY && errno != ENOENT && errno != ENODEV)
        give_up("mount", "fusectl");
    hide_hybrid_cgroups();
}

void join_namespace()
{
    const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, options.join, 0));
    if (pidfd < 0 || ::setns(pidfd, CLONE_NEWNS) < 0) give_up("join", "the helper's namespace");
    ::close(pidfd);
}

/// Who and when we are, for the agents to come: by rename, so that it is whole or absent.
void write_record(const char* root)
{
    char stat[path_size];
    char boot[64];
    if (!read_text("/proc/self/stat", stat, sizeof stat)) give_up("read", "/proc/self/stat");
    if (!read_text("/proc/sys/kernel/random/boot_id", boot, sizeof boot))
        give_up("read", "boot_id");
    boot[std::strcspn(boot, "\n")] = '\0';
    unsigned long long started = 0;
    const char* after_name = std::strrchr(stat, ')');
    if (after_name == nullptr ||
        std::sscanf(
            after_name + 1,
            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
            &started) != 1)
        give_up("read", "/proc/self/stat");

    char beside[path_size];
    char path[path_size];
    std::snprintf(beside, sizeof beside, "%s/holder.new", options.run_dir);
    std::snprintf(path, sizeof path, "%s/holder", options.run_dir);
    std::FILE* file = std::fopen(beside, "we");
    if (file == nullptr) give_up("write", beside);
    const int put = std::fprintf(file, "1 %d %llu %s %s\n", ::getpid(), started, boot, root);
    if (std::fclose(file) != 0 || put < 0) give_up("write", beside);
    if (::rename(beside, path) < 0) give_up("rename", beside);
}

/// READY=1 to systemd when it waits for it.
void notify_systemd()
{
    const char* where = std::getenv("NOTIFY_SOCKET");
    if (where == nullptr || where[0] == '\0') return;
    struct sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto size = std::strlen(where);
    if (size >= sizeof address.sun_path) return;
    std::memcpy(address.sun_path, where, size);
    if (where[0] == '@') address.sun_path[0] = '\0';
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    void* to = &address;
    (void)::sendto(
        fd,
        "READY=1",
        7,
        MSG_NOSIGNAL,
        static_cast<struct sockaddr*>(to),
        static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + size));
    ::close(fd);
}

bool parse(int argc, char** argv)
{
    for (int i = 1; i < argc; ++i) {
        const auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
        if (is("--delegated")) {
            options.delegated = true;
            continue;
        }
        if (i + 1 == argc) return false;
        const char* value = argv[i + 1];
        if (is("--run-dir"))
            options.run_dir = value;
        else if (is("--cgroup"))
            options.cgroup = value;
        else if (is("--ready-fd"))
            options.ready_fd = std::atoi(value);
        else if (is("--join"))
            options.join = std::atoi(value);
        else
            return false;
        ++i;
    }
    if (options.run_dir == nullptr || options.run_dir[0] != '/') return false;
    if (options.delegated) return options.cgroup == nullptr;
    return options.cgroup != nullptr && options.cgroup[0] == '/';
}

}  // namespace

int main(int argc, char** argv)
{
    if (!parse(argc, argv)) {
        std::fputs(
            "usage: znode-holder --run-dir /DIR (--cgroup /ROOT | --delegated) [--ready-fd N] "
            "[--join PID]\n",
            stderr);
        return 2;
    }
    ::umask(022);
    (void)::setsid();  // Fails for a session leader, which is what it is for.

    char root[path_size];
    if (!options.delegated) {
        std::snprintf(root, sizeof root, "%s", options.cgroup);
        // The last to go when memory runs out, as its unit would be; not granted everywhere.
        (void)write_text("/proc/self/oom_score_adj", "-1000");
    } else {
        arrange_unit(root, sizeof root);
        if (::mkdir(options.run_dir, 0711) < 0 && errno != EEXIST)
            give_up("make folder", options.run_dir);
        if (::chmod(options.run_dir, 0711) < 0) give_up("set mode of", options.run_dir);
    }
    if (options.join != 0)
        join_namespace();
    else
        make_namespace();
    if (::chdir("/") < 0) give_up("change to", "/");
    // Without it the node works, with one holder less for what must not be lost.
    const int descriptors = znode::holder::open_descriptor_socket(options.run_dir);
    write_record(root);

    if (options.ready_fd >= 0) {
        (void)!::write(options.ready_fd, "ready\n", 6);
        ::close(options.ready_fd);
    }
    notify_systemd();
    znode::holder::keep_descriptors(descriptors);
}
