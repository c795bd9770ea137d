#pragma once
// Links, addresses and routes by rtnetlink, with the kernel's own errno and its extended message.

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.hpp"
#include "base/result.hpp"
#include "kernel/fd.hpp"

struct nlmsghdr;

namespace znode::kernel {

using MacAddress = std::array<std::uint8_t, 6>;
/// "02:00:00:00:00:01".
std::string to_text(const MacAddress& mac);

/// A netlink socket. It belongs for ever to the network namespace in which it was opened, whatever
/// namespace its users are in. One request at a time. Every wait ends after 5 s (Errc::timeout).
class NetlinkSocket {
public:
    [[nodiscard]] static Result<NetlinkSocket> open(int protocol);
    /// Opened in another namespace, by a thread made for it.
    [[nodiscard]] static Result<NetlinkSocket> open_in(int netns, int protocol);

    /// Sends a request with NLM_F_ACK and waits for its acknowledgement.
    [[nodiscard]] Result<> request(nlmsghdr* message, std::string_view intent);
    /// Sends a request and gives each answering message to `take`.
    [[nodiscard]] Result<> dump(
        nlmsghdr* message,
        std::string_view intent,
        const std::function<void(const nlmsghdr*)>& take);

private:
    explicit NetlinkSocket(Fd fd) : fd_{std::move(fd)} {}
    Result<> exchange(
        nlmsghdr* message,
        std::string_view intent,
        const std::function<void(const nlmsghdr*)>* take);

    Fd fd_;
    std::uint32_t sequence_ = 1;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{64} << 10U);
};

struct Link {
    int index = 0;
    std::string name;
    std::string
        kind;  ///< "bridge", "veth", "macvlan", "tun", "wireguard"; empty for hardware and lo.
    std::string alias;  ///< IFLA_IFALIAS: whose it is.
    MacAddress mac{};
    int mtu = 0;
    bool up = false;
    int master = 0;  ///< Index of the bridge it is a port of, or 0.
};

/// What `add_link` makes. Descriptors of namespaces are borrowed.
struct LinkSpec {
    std::string name;
    std::string kind;
    int mtu = 0;  ///< 0: the kernel's default.
    std::optional<MacAddress> mac = {};
    bool up = false;
    int netns = -1;  ///< Where it shall appear; -1: the socket's namespace.
    int parent = 0;  ///< macvlan: index of the link below it, in the socket's namespace.
    int master = 0;  ///< Bridge to be a port of; only in the socket's namespace.
    struct Peer {
        std::string name;
        int netns = -1;
        std::optional<MacAddress> mac = {};
    };
    std::optional<Peer> peer = {};  ///< veth: its other end, made down.
};

struct Route {
    IpNetwork destination;
    std::optional<IpAddress> gateway;
    int link = 0;
};

/// Links, addresses and routes of one namespace.
class RouteSocket {
public:
    [[nodiscard]] static Result<RouteSocket> open();
    [[nodiscard]] static Result<RouteSocket> open_in(int netns);

    [[nodiscard]] Result<std::vector<Link>> links();
    [[nodiscard]] Result<std::optional<Link>> link(const std::string& name);
    /// Errc::not_found when there is none.
    [[nodiscard]] Result<Link> need_link(const std::string& name);

    /// Errc::exists when the name is taken, Errc::unsupported when the kernel has no such kind.
    [[nodiscard]] Result<> add_link(const LinkSpec& spec);
    [[nodiscard]] Result<> set_up(int index, bool up);
    [[nodiscard]] Result<> set_mtu(int index, int mtu);
    [[nodiscard]] Result<> set_alias(int index, const std::string& alias);
    [[nodiscard]] Result<> set_master(int index, int master);
    [[nodiscard]] Result<> set_mac(int index, const MacAddress& mac);
    [[nodiscard]] Result<> move_link(int index, int netns);
    /// Waits until it is gone; its peer goes with it. Succeeds when there is none.
    [[nodiscard]] Result<> remove_link(int index);
    [[nodiscard]] Result<> remove_link(const std::string& name);

    /// Addresses of a link, with the length of their network.
    [[nodiscard]] Result<std::vector<IpNetwork>> addresses(int index);
    /// IPv6 addresses are usable at once (no duplicate detection). Succeeds when it is there.
    [[nodiscard]] Result<> add_address(int index, const IpNetwork& address);
    [[nodiscard]] Result<> remove_address(int index, const IpNetwork& address);
    /// Exactly these, apart from IPv6 link-local ones that the kernel gives by itself.
    [[nodiscard]] Result<> set_addresses(int index, const std::vector<IpNetwork>& wanted);

    /// Routes of the main table.
    [[nodiscard]] Result<std::vector<Route>> routes();
    /// Replaces a route to the same destination.
    [[nodiscard]] Result<> set_route(const Route& route);
    [[nodiscard]] Result<> remove_route(const Route& route);

private:
    explicit RouteSocket(NetlinkSocket socket) : socket_{std::move(socket)} {}
    Result<> change_address(int index, const IpNetwork& address, bool add);
    Result<> change_route(const Route& route, bool add);

    NetlinkSocket socket_;
};

/// Whether this kernel can make links of this kind; tried in a namespace that ends with the try.
[[nodiscard]] Result<bool> kernel_has_link_kind(const std::string& kind);

}  // namespace znode::kernel
