#include "kernel/netlink.hpp"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "kernel/netns.hpp"
#include "netlink_attributes.hpp"

namespace znode::kernel {
namespace {

constexpr std::size_t message_size = 4096;

/// A request under construction, with its fixed part.
template <class Header>
struct Request {
    alignas(NLMSG_ALIGNTO) std::array<char, message_size> storage{};
    nlmsghdr* message = mnl_nlmsg_put_header(storage.data());
    Header* header = nullptr;

    Request(std::uint16_t type, unsigned flags)
    {
        message->nlmsg_type = type;
        message->nlmsg_flags = static_cast<std::uint16_t>(flags);
        header = static_cast<Header*>(mnl_nlmsg_put_extra_header(message, sizeof(Header)));
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    void text(std::uint16_t type, const std::string& value)
    {
        mnl_attr_put_strz(message, type, value.c_str());
    }
    void number(std::uint16_t type, int value)
    {
        mnl_attr_put_u32(message, type, static_cast<std::uint32_t>(value));
    }
    void bytes(std::uint16_t type, std::span<const std::uint8_t> value)
    {
        mnl_attr_put(message, type, value.size(), value.data());
    }
};

using LinkRequest = Request<ifinfomsg>;

Link link_of(const nlmsghdr* message)
{
    const auto* header = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
    Link link;
    link.index = header->ifi_index;
    link.up = (header->ifi_flags & IFF_UP) != 0;
    for (const auto* attr : attributes_of(message, sizeof(ifinfomsg))) {
        switch (mnl_attr_get_type(attr)) {
            case IFLA_IFNAME:
                link.name = mnl_attr_get_str(attr);
                break;
            case IFLA_IFALIAS:
                link.alias = mnl_attr_get_str(attr);
                break;
            case IFLA_MTU:
                link.mtu = static_cast<int>(mnl_attr_get_u32(attr));
                break;
            case IFLA_MASTER:
                link.master = static_cast<int>(mnl_attr_get_u32(attr));
                break;
            case IFLA_ADDRESS:
                if (mnl_attr_get_payload_len(attr) == link.mac.size())
                    std::memcpy(link.mac.data(), mnl_attr_get_payload(attr), link.mac.size());
                break;
            case IFLA_LINKINFO: {
                for (const auto* inner : nested_in(attr))
                    if (mnl_attr_get_type(inner) == IFLA_INFO_KIND)
                        link.kind = mnl_attr_get_str(inner);
                break;
            }
            default:
                break;
        }
    }
    return link;
}

std::uint8_t family_of(const IpAddress& address) { return address.is_v4() ? AF_INET : AF_INET6; }

std::optional<IpAddress> address_of(int family, const nlattr* attr)
{
    const auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attr));
    if (family == AF_INET && mnl_attr_get_payload_len(attr) == 4)
        return IpAddress::v4(
            std::uint32_t{bytes[0]} << 24U | std::uint32_t{bytes[1]} << 16U |
            std::uint32_t{bytes[2]} << 8U | bytes[3]);
    if (family != AF_INET6 || mnl_attr_get_payload_len(attr) != 16) return std::nullopt;
    std::array<std::uint8_t, 16> all{};
    std::copy_n(bytes, 16, all.begin());
    return IpAddress::v6(all);
}

bool is_link_local_v6(const IpAddress& address)
{
    static const auto range = *IpNetwork::parse("fe80::/10");
    return range.contains(address);
}

/// Leaves other errors alone.
Result<> unless(Errc accepted, Result<> outcome)
{
    if (!outcome && outcome.error().code == accepted) return {};
    return outcome;
}

}  // namespace

std::string to_text(const MacAddress& mac)
{
    std::string text;
    for (const auto byte : mac) {
        constexpr std::string_view digits = "0123456789abcdef";
        if (!text.empty()) text += ':';
        text += digits[byte >> 4U];
        text += digits[byte & 15U];
    }
    return text;
}

Result<RouteSocket> RouteSocket::open()
{
    TRY(auto socket, NetlinkSocket::open(NETLINK_ROUTE));
    return RouteSocket{std::move(socket)};
}

Result<RouteSocket> RouteSocket::open_in(int netns)
{
    TRY(auto socket, NetlinkSocket::open_in(netns, NETLINK_ROUTE));
    return RouteSocket{std::move(socket)};
}

Result<std::vector<Link>> RouteSocket::links()
{
    LinkRequest get{RTM_GETLINK, NLM_F_DUMP};
    std::vector<Link> found;
    TRY_DO(socket_.dump(
        get.message, "list links", [&](const nlmsghdr* m) { found.push_back(link_of(m)); }));
    return found;
}

Result<std::optional<Link>> RouteSocket::link(const std::string& name)
{
    LinkRequest get{RTM_GETLINK, 0};
    get.text(IFLA_IFNAME, name);
    std::optional<Link> found;
    const auto asked = socket_.dump(
        get.message, "find link " + name, [&](const nlmsghdr* m) { found = link_of(m); });
    if (!asked && asked.error().code != Errc::not_found) return tl::unexpected(asked.error());
    return found;
}

Result<Link> RouteSocket::need_link(const std::string& name)
{
    TRY(auto found, link(name));
    if (!found) return fail(Errc::not_found, "there is no link " + name);
    return *std::move(found);
}

Result<> RouteSocket::add_link(const LinkSpec& spec)
{
    if (spec.name.empty() || spec.name.size() >= IFNAMSIZ)
        return fail(Errc::invalid, "a link cannot be named " + spec.name);
    LinkRequest add{RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL};
    add.text(IFLA_IFNAME, spec.name);
    if (spec.mtu != 0) add.number(IFLA_MTU, spec.mtu);
    if (spec.mac) add.bytes(IFLA_ADDRESS, *spec.mac);
    if (spec.netns >= 0) add.number(IFLA_NET_NS_FD, spec.netns);
    if (spec.parent != 0) add.number(IFLA_LINK, spec.parent);
    if (spec.master != 0) add.number(IFLA_MASTER, spec.master);
    if (spec.up) {
        add.header->ifi_flags = IFF_UP;
        add.header->ifi_change = IFF_UP;
    }
    auto* info = mnl_attr_nest_start(add.message, IFLA_LINKINFO);
    add.text(IFLA_INFO_KIND, spec.kind);
    if (spec.kind == "macvlan") {
        auto* data = mnl_attr_nest_start(add.message, IFLA_INFO_DATA);
        add.number(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
        mnl_attr_nest_end(add.message, data);
    }
    if (spec.peer) {
        auto* data = mnl_attr_nest_start(add.message, IFLA_INFO_DATA);
        auto* peer = mnl_attr_nest_start(add.message, VETH_INFO_PEER);
        mnl_nlmsg_put_extra_header(add.message, sizeof(ifinfomsg));
        add.text(IFLA_IFNAME, spec.peer->name);
        if (spec.mtu != 0) add.number(IFLA_MTU, spec.mtu);
        if (spec.peer->mac) add.bytes(IFLA_ADDRESS, *spec.peer->mac);
        if (spec.peer->netns >= 0) add.number(IFLA_NET_NS_FD, spec.peer->netns);
        mnl_attr_nest_end(add.message, peer);
        mnl_attr_nest_end(add.message, data);
    }
    mnl_attr_nest_end(add.message, info);
    return socket_.request(add.message, "make " + spec.kind + " " + spec.name);
}

Result<> RouteSocket::set_up(int index, bool up)
{
    LinkRequest set{RTM_SETLINK, 0};
    set.header->ifi_index = index;
    set.header->ifi_flags = up ? IFF_UP : 0;
    set.header->ifi_change = IFF_UP;
    return socket_.request(set.message, up ? "take link up" : "take link down");
}

Result<> RouteSocket::set_mtu(int index, int mtu)
{
    LinkRequest set{RTM_SETLINK, 0};
    set.header->ifi_index = index;
    set.number(IFLA_MTU, mtu);
    return socket_.request(set.message, "set MTU of link");
}

Result<> RouteSocket::set_alias(int index, const std::string& alias)
{
    LinkRequest set{RTM_SETLINK, 0};
    set.header->ifi_index = index;
    set.text(IFLA_IFALIAS, alias);
    return socket_.request(set.message, "mark link");
}

Result<> RouteSocket::set_master(int index, int master)
{
    LinkRequest set{RTM_SETLINK, 0};
    set.header->ifi_index = index;
    set.number(IFLA_MASTER, master);
    return socket_.request(set.message, "make link a port of its bridge");
}

Result<> RouteSocket::set_mac(int index, const MacAddress& mac)
{
    LinkRequest set{RTM_SETLINK, 0};
    set.header->ifi_index = index;
    set.bytes(IFLA_ADDRESS, mac);
    return socket_.request(set.message, "give link the address " + to_text(mac));
}

Result<> RouteSocket::move_link(int index, int netns)
{
    LinkRequest set{RTM_SETLINK, 0};
    set.header->ifi_index = index;
    set.number(IFLA_NET_NS_FD, netns);
    return socket_.request(set.message, "move link to its namespace");
}

Result<> RouteSocket::remove_link(int index)
{
    LinkRequest remove{RTM_DELLINK, 0};
    remove.header->ifi_index = index;
    return unless(Errc::not_found, socket_.request(remove.message, "remove link"));
}

Result<> RouteSocket::remove_link(const std::string& name)
{
    TRY(const auto found, link(name));
    if (!found) return {};
    return remove_link(found->index);
}

Result<std::vector<IpNetwork>> RouteSocket::addresses(int index)
{
    Request<ifaddrmsg> get{RTM_GETADDR, NLM_F_DUMP};
    std::vector<IpNetwork> found;
    const auto take = [&](const nlmsghdr* message) {
        const auto* header = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(message));
        if (static_cast<int>(header->ifa_index) != index) return;
        std::optional<IpAddress> local;
        std::optional<IpAddress> address;
        for (const auto* attr : attributes_of(message, sizeof(ifaddrmsg))) {
            if (mnl_attr_get_type(attr) == IFA_LOCAL) local = address_of(header->ifa_family, attr);
            if (mnl_attr_get_type(attr) == IFA_ADDRESS)
                address = address_of(header->ifa_family, attr);
        }
        if (!local) local = address;
        if (local) found.push_back({*local, header->ifa_prefixlen});
    };
    TRY_DO(socket_.dump(get.message, "list addresses", take));
    return found;
}

Result<> RouteSocket::change_address(int index, const IpNetwork& address, bool add)
{
    Request<ifaddrmsg> change{
        add ? std::uint16_t{RTM_NEWADDR} : std::uint16_t{RTM_DELADDR},
        add ? unsigned{NLM_F_CREATE | NLM_F_EXCL} : 0U};
    change.header->ifa_family = family_of(address.address);
    change.header->ifa_prefixlen = static_cast<std::uint8_t>(address.length);
    change.header->ifa_index = static_cast<std::uint32_t>(index);
    if (!address.address.is_v4()) change.header->ifa_flags = IFA_F_NODAD;
    change.bytes(IFA_LOCAL, address.address.bytes());
    change.bytes(IFA_ADDRESS, address.address.bytes());
    if (address.address.is_v4() && address.length < 31 && add)
        change.bytes(IFA_BROADCAST, address.last().bytes());
    return socket_.request(
        change.message, (add ? "add address " : "remove address ") + address.text());
}

Result<> RouteSocket::add_address(int index, const IpNetwork& address)
{
    return unless(Errc::exists, change_address(index, address, true));
}

Result<> RouteSocket::remove_address(int index, const IpNetwork& address)
{
    auto removed = change_address(index, address, false);
    if (removed) return removed;
    // EADDRNOTAVAIL has no code of its own: what counts is whether it is there.
    TRY(const auto present, addresses(index));
    if (std::ranges::find(present, address) == present.end()) return {};
    return removed;
}

Result<> RouteSocket::set_addresses(int index, const std::vector<IpNetwork>& wanted)
{
    TRY(const auto present, addresses(index));
    for (const auto& address : wanted)
        if (std::ranges::find(present, address) == present.end())
            TRY_DO(add_address(index, address));
    for (const auto& address : present) {
        if (is_link_local_v6(address.address)) continue;
        if (std::ranges::find(wanted, address) == wanted.end())
            TRY_DO(remove_address(index, address));
    }
    return {};
}

Result<std::vector<Route>> RouteSocket::routes()
{
    Request<rtmsg> get{RTM_GETROUTE, NLM_F_DUMP};
    std::vector<Route> found;
    const auto take = [&](const nlmsghdr* message) {
        const auto* header = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
        if (header->rtm_table != RT_TABLE_MAIN || header->rtm_type != RTN_UNICAST) return;
        Route route;
        if (header->rtm_family == AF_INET6) route.destination.address = IpAddress::v6({});
        route.destination.length = header->rtm_dst_len;
        for (const auto* attr : attributes_of(message, sizeof(rtmsg))) {
            const auto type = mnl_attr_get_type(attr);
            if (type == RTA_OIF) route.link = static_cast<int>(mnl_attr_get_u32(attr));
            if (type == RTA_GATEWAY) route.gateway = address_of(header->rtm_family, attr);
            if (type == RTA_DST)
                route.destination.address =
                    address_of(header->rtm_family, attr).value_or(IpAddress{});
        }
        found.push_back(route);
    };
    TRY_DO(socket_.dump(get.message, "list routes", take));
    return found;
}

Result<> RouteSocket::change_route(const Route& route, bool add)
{
    Request<rtmsg> change{
        add ? std::uint16_t{RTM_NEWROUTE} : std::uint16_t{RTM_DELROUTE},
        add ? unsigned{NLM_F_CREATE | NLM_F_REPLACE} : 0U};
    change.header->rtm_family = family_of(route.destination.address);
    change.header->rtm_dst_len = static_cast<std::uint8_t>(route.destination.length);
    change.header->rtm_table = RT_TABLE_MAIN;
    if (add) {
        change.header->rtm_protocol = RTPROT_STATIC;
        change.header->rtm_type = RTN_UNICAST;
    }
    const bool on_link = !route.gateway && route.destination.address.is_v4();
    change.header->rtm_scope =
        static_cast<std::uint8_t>(on_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE);
    if (!add && !on_link) change.header->rtm_scope = RT_SCOPE_NOWHERE;
    if (route.destination.length > 0) change.bytes(RTA_DST, route.destination.first().bytes());
    if (route.gateway) change.bytes(RTA_GATEWAY, route.gateway->bytes());
    if (route.link != 0) change.number(RTA_OIF, route.link);
    return socket_.request(
        change.message, (add ? "set route to " : "remove route to ") + route.destination.text());
}

Result<> RouteSocket::set_route(const Route& route) { return change_route(route, true); }

Result<> RouteSocket::remove_route(const Route& route)
{
    auto removed = change_route(route, false);
    if (removed) return removed;
    TRY(const auto present, routes());
    const auto same = [&](const Route& other) {
        return other.destination == route.destination.network() &&
               (route.link == 0 || other.link == route.link);
    };
    if (std::ranges::none_of(present, same)) return {};
    return removed;
}

Result<bool> kernel_has_link_kind(const std::string& kind)
{
    Result<bool> answer = false;
    std::thread thread{[&] {
        const int err = error_of(::unshare(CLONE_NEWNET));
        if (err) {
            answer = fail_errno(err, "make a namespace to try links in");
            return;
        }
        auto socket = RouteSocket::open();
        if (!socket) {
            answer = tl::unexpected(socket.error());
            return;
        }
        const auto added = socket->add_link({.name = "probe", .kind = kind});
        answer = added.has_value();
    }};
    thread.join();
    return answer;
}

}  // namespace znode::kernel
