#include "tunnel_device.hpp"

#include <poll.h>

#include <csignal>
#include <thread>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/files.hpp"
#include "kernel/netns.hpp"

namespace znode::network {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int tunnel_mtu = 1420;
constexpr auto start_patience = 5s;

Result<> ensure_kernel_device(const TunnelPlace& place, kernel::RouteSocket& inside)
{
    TRY(const auto present, inside.link(place.name));
    if (!present) {
        // Asked for in our own namespace, so that the UDP socket stays here.
        TRY(auto here, kernel::RouteSocket::open());
        FP("network.tunnel.kernel");
        TRY_DO(here.add_link(
            {.name = place.name, .kind = "wireguard", .mtu = tunnel_mtu, .netns = place.netns}));
    }
    TRY(const auto link, inside.need_link(place.name));
    return inside.set_alias(link.index, place.alias);
}

/// The process behind the socket, if one answers there.
Result<std::optional<kernel::Child>> find_process(const TunnelPlace& place)
{
    const auto pid = kernel::uapi_server(place.socket());
    if (!pid) {
        if (pid.error().code == Errc::not_found) return std::nullopt;
        return tl::unexpected(pid.error());
    }
    const auto started = kernel::start_time_of(*pid);
    if (!started) return std::nullopt;
    auto child = kernel::Child::adopt(*pid, *started);
    if (!child) return std::nullopt;
    return std::optional{*std::move(child)};
}

Result<> end_process(const TunnelPlace& place)
{
    TRY(const auto process, find_process(place));
    if (process) {
        TRY_DO(process->signal(SIGTERM));
        pollfd ended{process->pidfd(), POLLIN, 0};
        if (::poll(&ended, 1, 2000) == 0) {
            TRY_DO(process->signal(SIGKILL));
            if (::poll(&ended, 1, 2000) == 0)
                return fail(
                    Errc::timeout,
                    "wireguard-go, pid " + std::to_string(process->pid()) + ", does not end");
        }
        (void)process->poll();  // Reaps it where it is our child; else init does.
    }
    return kernel::remove_file(place.socket());
}

/// The real device, in the network's namespace, persistent: whoever dies, it keeps its addresses
/// and routes.
Result<kernel::Fd> take_tun(const TunnelPlace& place)
{
    const auto until = Clock::now() + start_patience;
    for (;;) {
        auto tun = kernel::in_netns(
            place.netns, [&] { return kernel::open_tun(place.name, /*persistent=*/true); });
        // Busy: the last process has not quite ended, or one that is starting has no socket yet.
        if (tun || tun.error().code != Errc::unavailable || Clock::now() > until) return tun;
        std::this_thread::sleep_for(2ms);
    }
}

Result<kernel::Child> start_process(const TunnelPlace& place)
{
    TRY_DO(kernel::remove_file(place.socket()));
    TRY(const auto tun, take_tun(place));
    // wireguard-go looks the name of its device up in its own namespace, where it must exist until
    // the socket answers.
    TRY(auto placeholder, kernel::open_tun(place.name, /*persistent=*/false));
    FP("network.tunnel.start");

    const auto log = std::string{uapi_folder} + "/" + place.name + ".log";
    TRY(const auto output, kernel::open_file(log, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    kernel::ChildSpec spec;
    spec.argv = {place.program, "-f", place.name};
    spec.environment = {"WG_TUN_FD=3", "WG_PROCESS_FOREGROUND=1", "LOG_LEVEL=silent"};
    spec.descriptors = {{output.get(), 1}, {output.get(), 2}, {tun.get(), 3}};
    spec.new_session = true;
    spec.cgroup_procs = place.cgroup_procs;
    TRY(auto process, kernel::Child::spawn(spec));

    const auto until = Clock::now() + start_patience;
    for (;;) {
        if (kernel::make_userspace_tunnel(place.socket())->read()) return process;
        pollfd ended{process.pidfd(), POLLIN, 0};
        if (::poll(&ended, 1, 1) == 1) {
            TRY(const auto exit, process.poll());
            const auto said = kernel::read_file(log).value_or("");
            return fail(
                Errc::unavailable,
                "start " + place.program + ": " + (exit ? exit->text() : "ended") + ": " +
                    printable(trim(said), 300));
        }
        if (Clock::now() < until) continue;
        // It is of no use, and its end is reported as a timeout.
        (void)process.signal(SIGKILL);
        (void)process.wait(2s);
        return fail(Errc::timeout, "start " + place.program + ": no answer after 5 s");
    }
}

Result<std::optional<kernel::Child>> ensure_userspace_device(
    const TunnelPlace& place, kernel::RouteSocket& inside)
{
    std::optional<kernel::Child> started;
    TRY(const auto process, find_process(place));
    TRY(const auto present, inside.link(place.name));
    if (process && !present) TRY_DO(end_process(place));
    if (!process || !present) {
        TRY(started, start_process(place));
    }

    TRY(const auto link, inside.need_link(place.name));
    if (link.mtu != tunnel_mtu) TRY_DO(inside.set_mtu(link.index, tunnel_mtu));
    TRY_DO(inside.set_alias(link.index, place.alias));
    return started;
}

}  // namespace

Result<std::optional<kernel::Child>> ensure_tunnel_device(const TunnelPlace& place)
{
    TRY(auto inside, kernel::RouteSocket::open_in(place.netns));
    if (place.kind != WireGuardKind::kernel) return ensure_userspace_device(place, inside);
    TRY_DO(ensure_kernel_device(place, inside));
    return std::nullopt;
}

Result<std::unique_ptr<kernel::Tunnel>> open_tunnel(const TunnelPlace& place)
{
    if (place.kind == WireGuardKind::kernel)
        return kernel::make_kernel_tunnel(place.netns, place.name);
    return kernel::make_userspace_tunnel(place.socket());
}

Result<std::optional<kernel::Child>> tunnel_process(const TunnelPlace& place)
{
    if (place.kind == WireGuardKind::kernel) return std::nullopt;
    return find_process(place);
}

Result<> remove_tunnel_device(const TunnelPlace& place)
{
    if (place.kind != WireGuardKind::kernel) {
        TRY_DO(end_process(place));
        TRY_DO(kernel::remove_file(std::string{uapi_folder} + "/" + place.name + ".log"));
    }
    FP("network.tunnel.remove");
    if (place.netns < 0) return {};
    TRY(auto inside, kernel::RouteSocket::open_in(place.netns));
    return inside.remove_link(place.name);
}

}  // namespace znode::network
