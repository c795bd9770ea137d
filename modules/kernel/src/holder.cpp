#include "kernel/holder.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/child.hpp"
#include "kernel/descriptor_wire.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"
#include "kernel/mount.hpp"

namespace znode::kernel {
namespace {

namespace fs = std::filesystem;

/// Longest time a new holder may need to say that it is ready.
constexpr int ready_patience_ms = 10'000;

Result<Fd> open_process(pid_t pid)
{
    Fd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    const int err = error_of(pidfd.get());
    if (err) return fail_errno(err, "open process " + std::to_string(pid));
    return pidfd;
}

Result<> enter_mounts_of(pid_t pid, std::uint64_t start_time)
{
    TRY(const auto pidfd, open_process(pid));
    // The descriptor was opened by number: only now is it sure whose it is.
    TRY(const auto started, start_time_of(pid));
    if (started != start_time)
        return fail(
            Errc::unavailable,
            "enter the workloads' mount namespace: process " + std::to_string(pid) +
                " ended just now");
    const int err = error_of(::setns(pidfd.get(), CLONE_NEWNS));
    if (err) return fail_errno(err, "enter the mount namespace of process " + std::to_string(pid));
    return {};
}

/// A process that outlived its holder in the workloads' namespace.
struct Helper {
    pid_t pid = 0;  ///< 0: none.
    std::uint64_t start_time = 0;
};

/// Whatever sits in the cgroup of helpers in another mount namespace than ours that has its own
/// mount at the run folder.
Helper living_helper(const std::string& cgroup_root, const fs::path& run_dir)
{
    const auto cgroups = Cgroups::find(cgroup_root);
    if (!cgroups) return {};
    const auto pids = cgroups->pids("mon");
    if (!pids) return {};
    for (const auto pid : *pids) {
        const auto started = start_time_of(pid);
        if (!started) continue;
        const auto mounts = read_mounts(std::to_string(pid));
        if (!mounts) continue;
        const bool ours = std::ranges::any_of(
            *mounts, [&](const auto& mount) { return mount.target == run_dir; });
        std::error_code ec;
        const auto here = fs::read_symlink("/proc/self/ns/mnt", ec);
        const auto there = fs::read_symlink("/proc/" + std::to_string(pid) + "/ns/mnt", ec);
        if (ours && !ec && here != there) return {pid, *started};
    }
    return {};
}

/// The door of the leaf that a unit's holder makes for itself; none on other layouts. systemd
/// takes the leaf away when the holder ends.
std::vector<std::string> holder_door(const HolderSpec& how, const std::string& cgroup_root)
{
    const auto leaf = "/sys/fs/cgroup" + cgroup_root + "/holder";
    if (how.managed) (void)::mkdir(leaf.c_str(), 0755);
    const auto door = leaf + "/cgroup.procs";
    if (::access(door.c_str(), W_OK) < 0) return {};
    return {door};
}

Result<> start_holder(const HolderSpec& how, const std::string& cgroup_root, const Helper& helper)
{
    // What our own unit is kept from is not kept from the holder.
    if (helper.pid != 0) TRY_DO(enter_mounts_of(helper.pid, helper.start_time));

    std::array<int, 2> ends{};
    const int err = error_of(::pipe2(ends.data(), O_CLOEXEC));
    if (err) return fail_errno(err, "start the holder: pipe");
    const Fd ready{ends[0]};
    Fd report{ends[1]};

    ChildSpec spec;
    spec.argv = {how.program, "--run-dir", how.run_dir, "--cgroup", cgroup_root, "--ready-fd", "3"};
    spec.cgroup_procs = holder_door(how, cgroup_root);
    if (helper.pid != 0) {
        spec.argv.emplace_back("--join");
        spec.argv.push_back(std::to_string(helper.pid));
    }
    spec.descriptors.push_back({report.get(), 3});
    spec.new_session = true;
    TRY(const auto child, Child::spawn(spec));
    report.close();

    // It says "ready" or why not, and closes its end.
    std::string said;
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::milliseconds{ready_patience_ms};
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        struct pollfd wait{ready.get(), POLLIN, 0};
        const int come = ::poll(&wait, 1, static_cast<int>(std::max<long>(left.count(), 0)));
        if (come < 0 && errno == EINTR) continue;
        if (come <= 0) {
            (void)child.signal(SIGKILL);
            return fail(Errc::timeout, "start the holder: not ready after 10 s");
        }
        std::array<char, 512> buffer;
        const auto got = ::read(ready.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        said.append(buffer.data(), static_cast<std::size_t>(got));
    }
    if (said == "ready\n") return {};
    (void)child.wait(std::chrono::seconds{1});
    return fail(
        Errc::unavailable,
        "start the holder: " + (said.empty() ? "it died" : printable(trim(said), 400)));
}

/// What the record says, of this boot and no matter whether that process lives.
Result<Holder> recorded_holder(const fs::path& run_dir)
{
    TRY(const auto text, read_file(run_dir / "holder", 4096));
    // "1 PID START BOOT CGROUP\n"; the first number is the record's version.
    const auto fields = split(trim(text), ' ');
    if (fields.size() < 5 || fields[0] != "1")
        return fail(Errc::not_found, "record of the holder: not one that we know");
    const auto pid = to_number<pid_t>(fields[1]);
    const auto started = to_number<std::uint64_t>(fields[2]);
    TRY(const auto boot, boot_id());
    if (!pid || !started || fields[3] != boot)
        return fail(Errc::not_found, "record of the holder: of an earlier boot");
    return Holder{.pid = *pid, .start_time = *started, .cgroup_root = std::string{fields[4]}};
}

}  // namespace

Result<Holder> find_holder(const fs::path& run_dir)
{
    TRY(auto holder, recorded_holder(run_dir));
    const auto now = start_time_of(holder.pid);
    if (!now || *now != holder.start_time) return fail(Errc::not_found, "the holder is dead");
    // A zombie keeps its start time but has no namespace any more.
    TRY(const auto stat, read_file("/proc/" + std::to_string(holder.pid) + "/stat"));
    const auto end = stat.rfind(')');
    if (end != std::string::npos && end + 2 < stat.size() &&
        (stat[end + 2] == 'Z' || stat[end + 2] == 'X'))
        return fail(Errc::not_found, "the holder is dead");
    return holder;
}

Result<> enter_holder(const Holder& holder)
{
    return enter_mounts_of(holder.pid, holder.start_time);
}

Result<Holder> enter_or_start_holder(const HolderSpec& spec)
{
    const auto& run_dir = spec.run_dir;
    TRY_DO(make_folders(run_dir, 0711));
    // Containers' runtimes walk through here below a user namespace.
    const int mode_err = error_of(::chmod(run_dir.c_str(), 0711));
    if (mode_err) return fail_errno(mode_err, "set mode of " + run_dir.string());

    // Two agents started at once must not make two namespaces.
    TRY(const auto lock, open_file((run_dir / "holder.lock").c_str(), O_RDWR | O_CREAT, 0600));
    const int lock_err = error_of(retry_eintr([&] { return ::flock(lock.get(), LOCK_EX); }));
    if (lock_err) return fail_errno(lock_err, "lock " + run_dir.string() + "/holder.lock");

    bool started = false;
    auto holder = find_holder(run_dir);
    if (!holder) {
        // Where the dead one kept its workloads, they still are.
        const auto last = recorded_holder(run_dir);
        const auto root = last ? last->cgroup_root : spec.cgroup_root;
        const auto helper = living_helper(root, run_dir);
        if (spec.managed && helper.pid == 0)
            return fail(
                Errc::unavailable,
                "nobody holds the workloads' mounts: start znode-workloads.service, which "
                "znoded.service wants (journalctl -u znode-workloads says why it does not run)");
        FP("holder.start");
        TRY_DO(start_holder(spec, root, helper));
        FP("holder.started");
        started = true;
        holder = find_holder(run_dir);
        if (!holder) return tl::unexpected(std::move(holder).error().during("start the holder"));
    }
    TRY_DO(enter_holder(*holder));
    holder->started = started;
    holder->managed = spec.managed;
    return holder;
}

Result<> stop_holder(const fs::path& run_dir)
{
    const auto holder = find_holder(run_dir);
    if (holder) {
        TRY(const auto child, Child::adopt(holder->pid, holder->start_time));
        TRY_DO(child.signal(SIGKILL));
        struct pollfd gone{child.pidfd(), POLLIN, 0};
        (void)::poll(&gone, 1, 5000);
        (void)child.poll();  // Reaped if it is ours.
    }
    TRY_DO(remove_file(run_dir / descriptor_wire::socket_name));
    TRY_DO(remove_file(run_dir / "holder"));
    return remove_file(run_dir / "holder.lock");
}

}  // namespace znode::kernel
