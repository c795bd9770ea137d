#include "teardown.hpp"

#include <unistd.h>

#include <csignal>

#include "async/child.hpp"
#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "bundle.hpp"
#include "kernel/mount.hpp"
#include "kernel/userns.hpp"

namespace znode::container {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto unmount_patience = seconds{60};
constexpr auto crun_patience = seconds{30};

Task<Result<>> run_helper(std::vector<std::string> argv, Duration patience)
{
    kernel::ChildSpec child;
    child.argv = std::move(argv);
    const auto name = fs::path{child.argv.front()}.filename().string();
    CO_TRY(const auto output, co_await run_child(std::move(child), {}, patience));
    if (output.exit.good()) co_return Result<>{};
    co_return fail(
        Errc::unavailable,
        name + ": " + output.exit.text() + ": " + printable(trim(output.err), 400));
}

}  // namespace

Task<Result<>> end_process(pid_t pid, std::uint64_t start_time)
{
    if (!process_lives(pid, start_time)) co_return Result<>{};
    const auto process = kernel::Child::adopt(pid, start_time);
    if (!process) co_return Result<>{};
    (void)process->signal(SIGKILL);
    auto gone = co_await run_until(sleep_for(kill_patience), wait_for_exit(&*process));
    if (!gone)
        co_return fail(
            Errc::timeout, "process " + std::to_string(pid) + " is still there 10 s after SIGKILL");
    co_return Result<>{};
}

/// Ends whoever is in the container's cgroup, and removes the cgroup.
Task<Result<>> Teardown::clear_cgroup(std::string gwid) const
{
    for (auto pause = milliseconds{1}; pause < seconds{5}; pause *= 2) {
        CO_TRY(const auto pids, cgroups.pids(gwid));
        if (!pids.empty()) {
            log->warn("processes without an owner killed id={} count={}", gwid, pids.size());
            CO_TRY_DO(cgroups.kill_all(gwid));
        }
        // A dead process leaves its cgroups a moment after it is reaped: EBUSY until then.
        auto removed = cgroups.remove(gwid);
        if (removed) co_return removed;
        if (removed.error().code != Errc::unavailable) co_return removed;
        co_await sleep_for(pause);
    }
    co_return fail(Errc::timeout, "cgroup of container " + gwid + " does not become empty");
}

Task<Result<>> Teardown::take_apart(std::string gwid, bool keep_namespaces) const
{
    const Places places{config, gwid};
    // Before the runtime removes the group: afterwards nobody can ask for it.
    co_await blocking.run([&] { cgroups.give_back_cache(gwid); });

    CO_FP("container.remove.runtime");
    if (std::error_code ec; fs::exists(config.run_dir / "crun" / gwid, ec)) {
        const auto deleted = co_await run_helper(
            {config.runtime,
             "--root=" + (config.run_dir / "crun").string(),
             "--cgroup-manager=cgroupfs",
             "delete",
             "--force",
             gwid},
            crun_patience);
        if (!deleted) log->warn("runtime delete id={} error={}", gwid, deleted.error().message);
        fs::remove_all(config.run_dir / "crun" / gwid, ec);
    }
    CO_TRY_DO(co_await clear_cgroup(gwid));

    CO_FP("container.remove.root");
    CO_TRY(const auto mounted, kernel::is_mounted(places.root));
    if (mounted)
        CO_TRY_DO(co_await run_helper(
            {config.monitor_program, "--unmount", places.root}, unmount_patience));
    ::rmdir(places.root.c_str());

    if (!keep_namespaces) {
        CO_FP("container.remove.namespaces");
        const auto pins = places.namespaces();
        CO_TRY_DO(kernel::unpin(pins.user));
        CO_TRY_DO(kernel::unpin(pins.network));
        ::rmdir(places.pins.c_str());
    }
    CO_FP("container.remove.bundle");
    std::error_code ec;
    fs::remove_all(places.bundle, ec);
    if (ec)
        co_return fail(Errc::unavailable, "remove " + places.bundle.string() + ": " + ec.message());
    co_return Result<>{};
}

}  // namespace znode::container
