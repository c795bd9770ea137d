#include "kernel/userns.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>

#include "base/failpoint.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"

namespace znode::kernel {
namespace {

constexpr long nsfs_magic = 0x6e736673;

/// A process that keeps new namespaces until they are pinned; killed and reaped with the object.
class Keeper {
public:
    explicit Keeper(pid_t pid) : pid_{pid} {}
    ~Keeper()
    {
        ::kill(pid_, SIGKILL);
        (void)retry_eintr([&] { return ::waitpid(pid_, nullptr, 0); });
    }
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;

private:
    pid_t pid_;
};

/// The child's side; calls that are safe in a copy of a process with threads, and no others.
[[noreturn]] void keep_namespaces(int go, int said, pid_t parent)
{
    // Nothing of the agent's stays in here: another keeper would hold this one's pipe open beyond
    // the agent's death, and both would hold its locks. What is kept goes to 0 and 1.
    go = ::fcntl(go, F_DUPFD_CLOEXEC, 2);
    said = ::fcntl(said, F_DUPFD_CLOEXEC, 2);
    if (go < 0 || said < 0 || ::dup2(go, 0) < 0 || ::dup2(said, 1) < 0) ::_exit(1);
    go = 0;
    said = 1;
    if (::syscall(SYS_close_range, 2U, ~0U, 0U) < 0) ::_exit(1);
    // A second way to end: with the thread that made us, which waits until we have.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || ::getppid() != parent) ::_exit(1);
    char byte = 0;
    if (::read(go, &byte, 1) != 1) ::_exit(1);
    // Written in here the numbers are the container's own.
    const int file = ::open("/proc/sys/net/ipv4/ping_group_range", O_WRONLY | O_CLOEXEC);
    static constexpr char range[] = "0 65535";
    if (file >= 0) {
        (void)!::write(file, range, sizeof range - 1);
        ::close(file);
    }
    (void)!::write(said, "k", 1);
    (void)!::read(go, &byte, 1);
    ::_exit(0);
}

Result<> pin(pid_t keeper, const char* kind, const std::filesystem::path& where)
{
    TRY_DO(unpin(where));
    {
        TRY(const auto file, open_file(where.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0444));
    }
    const auto source = "/proc/" + std::to_string(keeper) + "/ns/" + kind;
    const int err = error_of(::mount(source.c_str(), where.c_str(), nullptr, MS_BIND, nullptr));
    if (err) {
        (void)remove_file(where);
        return fail_errno(err, "pin namespace at " + where.string());
    }
    return {};
}

}  // namespace

Result<> make_user_and_network(
    std::uint32_t first,
    std::uint32_t length,
    const std::filesystem::path& user_pin,
    const std::filesystem::path& network_pin)
{
    std::array<int, 2> ends{};
    int err = error_of(::pipe2(ends.data(), O_CLOEXEC));
    if (err) return fail_errno(err, "make namespaces: pipe");
    const Fd go_read{ends[0]};
    const Fd go_write{ends[1]};
    err = error_of(::pipe2(ends.data(), O_CLOEXEC));
    if (err) return fail_errno(err, "make namespaces: pipe");
    const Fd said_read{ends[0]};
    Fd said_write{ends[1]};

    const auto parent = ::getpid();
    // Both in one call: the network namespace then belongs to the user namespace.
    const auto child = static_cast<pid_t>(::syscall(
        SYS_clone, CLONE_NEWUSER | CLONE_NEWNET | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    err = error_of(child);
    if (err) return fail_errno(err, "make namespaces");
    if (child == 0) keep_namespaces(go_read.get(), said_write.get(), parent);
    const Keeper keeper{child};
    said_write.close();

    const auto proc = "/proc/" + std::to_string(child);
    const auto map = "0 " + std::to_string(first) + " " + std::to_string(length) + "\n";
    TRY_DO(write_existing(proc + "/uid_map", map));
    TRY_DO(write_existing(proc + "/gid_map", map));
    TRY_DO(write_all(go_write.get(), "g"));
    char byte = 0;
    if (retry_eintr([&] { return ::read(said_read.get(), &byte, 1); }) != 1)
        return fail(Errc::internal, "make namespaces: the keeper died");

    FP("userns.pin");
    TRY_DO(pin(child, "user", user_pin));
    if (auto pinned = pin(child, "net", network_pin); !pinned) {
        (void)unpin(user_pin);  // The first failure is the one to report.
        return pinned;
    }
    return {};
}

Result<> unpin(const std::filesystem::path& pin)
{
    for (;;) {
        const int err = error_of(::umount2(pin.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW));
        if (!err) continue;
        if (err == EINVAL || err == ENOENT) break;  // No mount (any more), or nothing there at all.
        return fail_errno(err, "unpin " + pin.string());
    }
    return remove_file(pin);
}

bool is_pinned(const std::filesystem::path& pin)
{
    struct statfs info{};
    return ::statfs(pin.c_str(), &info) == 0 && info.f_type == nsfs_magic;
}

}  // namespace znode::kernel
