#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/text.hpp"
#include "kernel/files.hpp"
#include "kernel/wireguard.hpp"

namespace znode::kernel {
namespace {

Result<Fd> connect_to(const std::filesystem::path& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.native().size() >= sizeof address.sun_path)
        return fail(Errc::invalid, "path of a socket is too long: " + path.string());
    std::memcpy(address.sun_path, path.c_str(), path.native().size());

    Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    int err = error_of(fd.get());
    if (err) return fail_errno(err, "make unix socket");
    const timeval patience{.tv_sec = 5, .tv_usec = 0};
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    err = error_of(::connect(
        fd.get(),
        reinterpret_cast<const sockaddr*>(&address),  // NOLINT: the socket API.
        sizeof address));
    if (err == ECONNREFUSED || err == ENOENT)
        return fail(Errc::not_found, "nobody listens on " + path.string());
    if (err) return fail_errno(err, "connect to " + path.string());
    return fd;
}

class UserspaceTunnel final : public Tunnel {
public:
    explicit UserspaceTunnel(std::filesystem::path socket) : socket_{std::move(socket)} {}

    Result<TunnelConfig> read() override
    {
        TRY(auto answer, ask("get=1\n\n"));
        auto config = from_uapi(answer);
        wipe(answer);
        return config;
    }

    Result<> apply(const TunnelChange& change) override
    {
        TRY(auto text, to_uapi(change));
        auto answer = ask(text);
        wipe(text);
        if (!answer) return tl::unexpected(std::move(answer).error());
        const auto first = std::string_view{*answer}.substr(0, answer->find('\n'));
        const auto err =
            first.starts_with("errno=") ? to_number<int>(first.substr(6)) : std::nullopt;
        if (!err) return fail(Errc::corrupt, "wireguard-go answered " + printable(first, 80));
        if (*err == 0) return {};
        if (std::abs(*err) == EADDRINUSE)
            return fail(Errc::exists, "configure WireGuard: the UDP port is in use");
        return fail_errno(std::abs(*err), "configure WireGuard");
    }

private:
    /// One request on a connection of its own; up to the empty line that ends the answer.
    Result<std::string> ask(std::string_view request)
    {
        TRY(const auto fd, connect_to(socket_));
        TRY_DO(write_all(fd.get(), request));
        std::string answer;
        answer.reserve(std::size_t{16} << 10U);
        while (!answer.ends_with("\n\n")) {
            char buffer[8192];
            const auto got = retry_eintr([&] { return ::read(fd.get(), buffer, sizeof buffer); });
            const int err = error_of(got);
            if (err == EAGAIN) return fail(Errc::timeout, "wireguard-go does not answer");
            if (err) return fail_errno(err, "read from wireguard-go");
            if (got == 0) return fail(Errc::unavailable, "wireguard-go closed its socket");
            answer.append(buffer, static_cast<std::size_t>(got));
            if (answer.size() > std::size_t{16} << 20U)
                return fail(Errc::corrupt, "wireguard-go answers without end");
        }
        return answer;
    }

    std::filesystem::path socket_;
};

}  // namespace

std::unique_ptr<Tunnel> make_userspace_tunnel(std::filesystem::path socket)
{
    return std::make_unique<UserspaceTunnel>(std::move(socket));
}

Result<pid_t> uapi_server(const std::filesystem::path& socket)
{
    TRY(const auto fd, connect_to(socket));
    ucred peer{};
    socklen_t size = sizeof peer;
    const int err = error_of(::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size));
    if (err) return fail_errno(err, "ask who serves " + socket.string());
    return peer.pid;
}

Result<Fd> open_tun(const std::string& name, bool persistent)
{
    if (name.empty() || name.size() >= IFNAMSIZ)
        return fail(Errc::invalid, "a tun device cannot be named " + name);
    TRY(auto fd, open_file("/dev/net/tun", O_RDWR | O_NONBLOCK));
    ifreq request{};
    std::memcpy(request.ifr_name, name.c_str(), name.size());
    // With the four bytes of packet information in front: wireguard-go expects them.
    request.ifr_flags = IFF_TUN;
    int err = error_of(::ioctl(fd.get(), TUNSETIFF, &request));
    if (err) return fail_errno(err, "make tun " + name);
    if (!persistent) return fd;
    err = error_of(::ioctl(fd.get(), TUNSETPERSIST, 1));
    if (err) return fail_errno(err, "make tun " + name + " persistent");
    return fd;
}

}  // namespace znode::kernel
