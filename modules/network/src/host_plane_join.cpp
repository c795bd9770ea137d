#include <algorithm>

#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"
#include "host_plane.hpp"
#include "kernel/files.hpp"
#include "kernel/netns.hpp"
#include "network/addressing.hpp"

namespace znode::network {
namespace {

constexpr int mtu = 1500;

/// The bridge's end of a container's link: the same at each try, so that a second one finds it.
std::string port_name(const std::string& gwid)
{
    const auto mac = mac_of(gwid + "-port");
    return "veth" + to_hex(std::span{mac}.subspan(2));
}

MacAddress mac_of_container(const std::string& gwid) { return mac_of(gwid + "-eth0"); }

/// Servers that a container can ask: the machine's own, unless they listen on its loopback only.
std::vector<IpAddress> nameservers()
{
    static const auto loopback = *IpNetwork::parse("127.0.0.0/8");
    std::vector<IpAddress> found;
    for (const auto* file : {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}) {
        const auto text = kernel::read_file(file);
        if (!text) continue;
        for (const auto line : split(*text, '\n')) {
            if (!line.starts_with("nameserver")) continue;
            const auto address = IpAddress::parse(trim(line.substr(10)));
            if (address && address->is_v4() && !loopback.contains(*address))
                found.push_back(*address);
        }
        if (!found.empty()) return found;
    }
    return {*IpAddress::parse("9.9.9.9"), *IpAddress::parse("1.1.1.1")};
}

bool valid_gwid(const std::string& gwid)
{
    return !gwid.empty() && gwid.size() < 64 &&
           gwid.find_first_not_of("0123456789-") == std::string::npos;
}

}  // namespace

std::vector<JoinRecord> HostPlane::members_of(const std::string& network_id) const
{
    auto all = load_all<JoinRecord>(joins(), ".json");
    std::erase_if(all, [&](const auto& r) {
        return r.network_id != network_id || r.node_id != spec_.node_id;
    });
    return all;
}

Result<std::vector<IpNetwork>> HostPlane::check_addresses(
    const ContainerJoinSpec& spec, const NetworkRecord& network) const
{
    const auto wrong = [](const std::string& why) {
        return fail(Errc::invalid, "network_connection.ipaddress: " + why);
    };
    if (spec.addresses.empty()) return wrong("is missing; give one of " + network.subnet.text());
    const auto members = members_of(network.id);
    std::vector<IpNetwork> addresses;
    for (const auto& text : spec.addresses) {
        const auto address = IpAddress::parse(text);
        if (!address || !address->is_v4())
            return wrong("\"" + printable(text, 60) + "\" is no IPv4 address");
        if (!network.subnet.contains(*address))
            return wrong(
                text + " is not inside of " + network.subnet.text() +
                ", the network's range on this node");
        if (*address == gateway_of(network.subnet)) return wrong(text + " is the gateway's");
        if (*address == network.subnet.first() || *address == network.subnet.last())
            return wrong(text + " is no host's address in " + network.subnet.text());
        for (const auto& member : members)
            if (member.gwid != spec.gwid &&
                std::ranges::find(member.addresses, *address, &IpNetwork::address) !=
                    member.addresses.end())
                return wrong(text + " is in use by workload " + member.gwid);
        addresses.push_back({*address, network.subnet.length});
    }
    return addresses;
}

Result<Joined> HostPlane::joined(const JoinRecord& record, const NetworkRecord& network) const
{
    Joined result{
        .gwid = record.gwid,
        .network_id = record.network_id,
        .addresses = record.addresses,
        .gateway = gateway_of(network.subnet),
        .mac = kernel::to_text(mac_of_container(record.gwid)),
        .nameservers = nameservers()};
    if (host_.ipv6 && !record.addresses.empty())
        result.ipv6 = inner_ipv6(network.id, record.addresses.front().address);
    return result;
}

Result<Joined> HostPlane::join(const ContainerJoinSpec& spec)
{
    TRY_DO(need_started());
    if (!valid_gwid(spec.gwid)) return fail(Errc::invalid, "bad workload id");
    if (spec.public_ip6)
        return fail(
            Errc::unsupported,
            "network_connection.public_ip6: this node has no public IPv6 prefix for containers; "
            "choose another node or leave it out");
    const auto id = network_id(spec.user_id, spec.network);
    const auto found = network(id);
    if (!found || found->user_id != spec.user_id || found->name != spec.network)
        return fail(
            Errc::not_found,
            "network \"" + printable(spec.network, 60) +
                "\" is not installed on this node; deploy it first");
    TRY(const auto addresses, check_addresses(spec, *found));
    TRY(const auto space, kernel::open_netns(pin(names_of(id).space)));
    TRY(const auto container, kernel::open_netns(spec.space));

    JoinRecord record{
        .node_id = spec_.node_id,
        .gwid = spec.gwid,
        .network_id = id,
        .addresses = addresses,
        .space = spec.space.string()};
    TRY_DO(save(join_record(spec.gwid), record));
    FP("network.join.record");

    TRY(auto inside, kernel::RouteSocket::open_in(space.get()));
    TRY(auto there, kernel::RouteSocket::open_in(container.get()));
    const auto port = port_name(spec.gwid);
    TRY(auto link, there.link("eth0"));
    TRY(auto end, inside.link(port));
    if (!link || !end) {
        // Half of a pair leads into a namespace that is no more.
        if (end) TRY_DO(inside.remove_link(end->index));
        if (link)
            return fail(Errc::exists, "the container's namespace has an eth0 of somebody else");
        TRY(const auto bridge, inside.need_link(names_of(id).bridge));
        TRY_DO(inside.add_link(
            {.name = port,
             .kind = "veth",
             .mtu = mtu,
             .master = bridge.index,
             .peer = kernel::LinkSpec::Peer{
                 .name = "eth0", .netns = container.get(), .mac = mac_of_container(spec.gwid)}}));
        FP("network.join.link");
    }
    TRY(end, inside.need_link(port));
    TRY_DO(inside.set_alias(end->index, mark(spec.gwid)));
    TRY_DO(kernel::run_in_netns(space.get(), [&] {
        return kernel::write_net_sysctl("ipv6/conf/" + port + "/disable_ipv6", "1");
    }));
    TRY_DO(inside.set_up(end->index, true));

    TRY(const auto loopback, there.need_link("lo"));
    TRY_DO(there.set_up(loopback.index, true));
    TRY(link, there.need_link("eth0"));
    TRY(const auto result, joined(record, *found));
    auto wanted = addresses;
    if (result.ipv6) wanted.push_back({*result.ipv6, 64});
    TRY_DO(there.set_addresses(link->index, wanted));
    TRY_DO(there.set_up(link->index, true));
    FP("network.join.route");
    TRY_DO(there.set_route({*IpNetwork::parse("0.0.0.0/0"), result.gateway, link->index}));
    if (result.ipv6)
        TRY_DO(
            there.set_route({*IpNetwork::parse("::/0"), IpAddress::parse("fe80::1"), link->index}));
    return result;
}

Result<> HostPlane::leave(const std::string& gwid)
{
    if (!valid_gwid(gwid)) return {};
    const auto record = load<JoinRecord>(join_record(gwid));
    if (record && record->node_id == spec_.node_id) {
        const auto space = kernel::open_netns(pin(names_of(record->network_id).space));
        if (space) {
            TRY(auto inside, kernel::RouteSocket::open_in(space->get()));
            FP("network.leave.link");
            TRY_DO(inside.remove_link(port_name(gwid)));
        }
    }
    return kernel::remove_file(join_record(gwid));
}

}  // namespace znode::network
