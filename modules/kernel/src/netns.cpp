#include "kernel/netns.hpp"

#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <thread>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/child.hpp"
#include "kernel/files.hpp"
#include "kernel/netlink.hpp"

namespace znode::kernel {
namespace {

/// Namespaces belong to threads: one that is made for a piece of work takes its change to the
/// grave.
Result<> on_own_thread(const std::function<Result<>()>& work)
{
    Result<> outcome;
    std::thread thread{[&] { outcome = work(); }};
    thread.join();
    return outcome;
}

Result<> loopback_up()
{
    TRY(auto links, RouteSocket::open());
    TRY(const auto loopback, links.need_link("lo"));
    return links.set_up(loopback.index, true);
}

}  // namespace

Result<> run_in_netns(int netns, const std::function<Result<>()>& work)
{
    return on_own_thread([&]() -> Result<> {
        const int err = error_of(::setns(netns, CLONE_NEWNET));
        if (err) return fail_errno(err, "enter network namespace");
        return work();
    });
}

Result<Fd> make_pinned_netns(const std::filesystem::path& pin)
{
    if (is_pinned_netns(pin))
        return fail(Errc::exists, "a namespace is pinned at " + pin.string() + " already");
    {
        TRY(const auto file, open_file(pin.string(), O_RDONLY | O_CREAT | O_NOFOLLOW, 0444));
    }
    FP("kernel.netns.pin");
    TRY_DO(on_own_thread([&]() -> Result<> {
        int err = error_of(::unshare(CLONE_NEWNET));
        if (err) return fail_errno(err, "make network namespace");
        TRY_DO(loopback_up());
        // The thread's own entry: /proc/self would be the main thread's namespace.
        err = error_of(::mount("/proc/thread-self/ns/net", pin.c_str(), nullptr, MS_BIND, nullptr));
        if (err) return fail_errno(err, "pin network namespace at " + pin.string());
        return {};
    }));
    return open_netns(pin);
}

bool is_pinned_netns(const std::filesystem::path& pin)
{
    struct statfs facts{};
    return ::statfs(pin.c_str(), &facts) == 0 && facts.f_type == NSFS_MAGIC;
}

Result<Fd> open_netns(const std::filesystem::path& pin)
{
    if (!is_pinned_netns(pin))
        return fail(Errc::not_found, "no network namespace is pinned at " + pin.string());
    return open_file(pin.string(), O_RDONLY);
}

Result<Fd> current_netns() { return open_file("/proc/thread-self/ns/net", O_RDONLY); }

Result<> unpin_netns(const std::filesystem::path& pin)
{
    // Stacked pins would each keep a namespace alive.
    while (is_pinned_netns(pin)) {
        const int err = error_of(::umount2(pin.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW));
        if (err) return fail_errno(err, "unpin " + pin.string());
    }
    FP("kernel.netns.unpin");
    return remove_file(pin);
}

Result<> write_net_sysctl(const std::string& name, const std::string& value)
{
    return write_existing("/proc/sys/net/" + name, value);
}

Result<std::string> read_net_sysctl(const std::string& name)
{
    TRY(const auto text, read_file("/proc/sys/net/" + name));
    return std::string{trim(text)};
}

Result<> apply_nft(const std::string& script, const std::filesystem::path& pin)
{
    ChildSpec spec;
    spec.argv = {"nft", "-f", "-"};
    spec.network_namespace = pin.string();
    TRY(const auto output, run_program(std::move(spec), script, std::chrono::seconds{20}));
    if (output.exit.good()) return {};
    return fail(
        Errc::unavailable,
        "apply firewall rules: nft: " + output.exit.text() + ": " + printable(output.err, 400));
}

}  // namespace znode::kernel
