#include "kernel/tcp_progress.hpp"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

namespace znode::kernel {
namespace {

/// Acknowledged by the peer, and come from it.
bool counts(int socket, std::uint64_t& acknowledged, std::uint64_t& come)
{
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    acknowledged = info.tcpi_bytes_acked;
    come = info.tcpi_bytes_received;
    return true;
}

}  // namespace

Result<TcpProgress> tcp_progress(int socket)
{
    const auto refuse = [] { return fail(Errc::unsupported, "no connected TCP socket"); };
    TcpProgress progress;
    socklen_t size = sizeof progress.socket;
    if (::getsockopt(socket, SOL_SOCKET, SO_COOKIE, &progress.socket, &size) != 0) return refuse();
    // What is counted and what waits are asked one after the other, while the peer goes on: only
    // an answer that was the same before and after counts. It is as good as at rest soon.
    for (int attempt = 0; attempt < 1000; ++attempt) {
        std::uint64_t acknowledged = 0;
        std::uint64_t come = 0;
        std::uint64_t acknowledged_then = 0;
        std::uint64_t come_then = 0;
        int unacknowledged = 0;
        int unread = 0;
        if (!counts(socket, acknowledged, come) ||
            ::ioctl(socket, SIOCOUTQ, &unacknowledged) != 0 ||
            ::ioctl(socket, SIOCINQ, &unread) != 0 || !counts(socket, acknowledged_then, come_then))
            return refuse();
        if (acknowledged != acknowledged_then || come != come_then) continue;
        progress.written = acknowledged + static_cast<std::uint64_t>(unacknowledged);
        progress.read = come - static_cast<std::uint64_t>(unread);
        return progress;
    }
    return fail(Errc::unavailable, "the connection does not rest");
}

}  // namespace znode::kernel
