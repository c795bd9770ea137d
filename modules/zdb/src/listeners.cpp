#include "listeners.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <string_view>

namespace znode::zdb {
namespace {

Result<kernel::Fd> bind_tcp(int family, const sockaddr* address, socklen_t length)
{
    kernel::Fd listener{::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!listener) return fail_errno(errno, "socket");
    const int on = 1;
    const int off = 0;
    (void)::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (family == AF_INET6)
        (void)::setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    int err = error_of(::bind(listener.get(), address, length));
    if (err) return fail_errno(err, "bind");
    err = error_of(::listen(listener.get(), 4096));
    if (err) return fail_errno(err, "listen");
    return listener;
}

}  // namespace

Result<kernel::Fd> listen_unix(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return fail(Errc::invalid, path + ": too long for a unix socket");
    std::memcpy(address.sun_path, path.data(), path.size());
    const auto* where = reinterpret_cast<const sockaddr*>(&address);

    const kernel::Fd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!probe) return fail_errno(errno, "socket");
    if (::connect(probe.get(), where, sizeof address) == 0)
        return fail(Errc::exists, path + ": another server listens there");
    ::unlink(path.c_str());

    kernel::Fd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!listener) return fail_errno(errno, "socket");
    // Nobody but the owner, from the socket's first moment.
    const auto before = ::umask(0177);
    int err = error_of(::bind(listener.get(), where, sizeof address));
    ::umask(before);
    if (err) return fail_errno(err, "bind " + path);
    err = error_of(::listen(listener.get(), 4096));
    if (err) return fail_errno(err, "listen on " + path);
    return listener;
}

Result<kernel::Fd> listen_tcp(const std::string& address, unsigned short port)
{
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int no_host =
        ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (no_host != 0)
        return fail(Errc::invalid, "--listen " + address + ": " + ::gai_strerror(no_host));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses{found, &::freeaddrinfo};
    auto bound = bind_tcp(addresses->ai_family, addresses->ai_addr, addresses->ai_addrlen);
    if (bound) return bound;
    if (address == "::") {
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_port = htons(port);
        auto old = bind_tcp(AF_INET, reinterpret_cast<const sockaddr*>(&any), sizeof any);
        if (old) return old;
    }
    return tl::unexpected(
        std::move(bound).error().during("listen on " + address + " port " + std::to_string(port)));
}

unsigned short port_of(const kernel::Fd& listener) noexcept
{
    sockaddr_in6 own{};
    socklen_t size = sizeof own;
    // sockaddr_in has its port at the same place.
    if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0) return 0;
    return ntohs(own.sin6_port);
}

void tune_tcp(const kernel::Fd& client) noexcept
{
    const int on = 1;
    (void)::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)::setsockopt(client.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

void turn_away(const kernel::Fd& client) noexcept
{
    constexpr std::string_view words = "-Too many clients\r\n";
    // A fresh socket has room for it; who is gone needs no answer.
    (void)::send(client.get(), words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void refuse_one(const kernel::Fd& listener, kernel::Fd& spare)
{
    spare.close();
    // Closed at once: what comes next takes its number.
    (void)kernel::Fd{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    spare = kernel::Fd{::eventfd(0, EFD_CLOEXEC)};
}

}  // namespace znode::zdb
