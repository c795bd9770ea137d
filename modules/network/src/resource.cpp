#include "network/resource.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/text.hpp"
#include "network/addressing.hpp"
#include "network/wireguard_keys.hpp"

namespace znode::network {
namespace {

constexpr int keepalive_seconds = 20;

tl::unexpected<Error> wrong(const std::string& member, const std::string& why)
{
    return fail(Errc::invalid, member + ": " + why);
}

Result<IpNetwork> ipv4_network(const std::string& member, const std::string& text)
{
    const auto network = IpNetwork::parse(text);
    if (!network || !network->address.is_v4())
        return wrong(
            member, "\"" + printable(text, 60) + "\" is no IPv4 network like 172.20.1.0/24");
    return network->network();
}

Result<> check_range(const IpNetwork& range)
{
    static const auto private_ranges = std::array{
        *IpNetwork::parse("10.0.0.0/8"),
        *IpNetwork::parse("172.16.0.0/12"),
        *IpNetwork::parse("192.168.0.0/16")};
    const bool inside = std::ranges::any_of(
        private_ranges, [&](const auto& allowed) { return allowed.contains(range); });
    if (!inside)
        return wrong(
            "network_iprange",
            range.text() + " is not inside of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16");
    return {};
}

Result<> check_subnet(const IpNetwork& range, const IpNetwork& subnet)
{
    if (!range.contains(subnet))
        return wrong("iprange", subnet.text() + " is not inside of " + range.text());
    if (subnet.length < 16 || subnet.length > 30)
        return wrong("iprange", subnet.text() + " must be between a /16 and a /30, usually a /24");
    return {};
}

Result<kernel::TunnelPeer> read_peer(
    const std::string& member,
    const NetworkResourceSpec::Peer& peer,
    const IpNetwork& range,
    IpNetwork& subnet)
{
    static const auto tunnel_addresses = *IpNetwork::parse("100.64.0.0/16");
    kernel::TunnelPeer result;
    result.keepalive = keepalive_seconds;

    const auto key = kernel::parse_wireguard_key(peer.public_key);
    if (!key) return wrong(member + ".public_key", key.error().message);
    result.public_key = *key;

    if (!peer.endpoint.empty()) {
        result.endpoint = IpEndpoint::parse(peer.endpoint);
        if (!result.endpoint)
            return wrong(
                member + ".endpoint",
                "\"" + printable(peer.endpoint, 60) +
                    "\" is no address with port like 192.0.2.1:8030 or [2001:db8::1]:8030; names "
                    "are not resolved");
    }
    TRY(subnet, ipv4_network(member + ".iprange", peer.subnet));
    if (!range.contains(subnet))
        return wrong(
            member + ".iprange",
            subnet.text() + " is not inside of network_iprange " + range.text());

    if (peer.allowed.empty()) return wrong(member + ".allowed_iprange", "is empty");
    for (std::size_t i = 0; i < peer.allowed.size(); ++i) {
        const auto where = member + ".allowed_iprange[" + std::to_string(i) + "]";
        TRY(const auto allowed, ipv4_network(where, peer.allowed[i]));
        if (!range.contains(allowed) && !tunnel_addresses.contains(allowed))
            return wrong(
                where,
                allowed.text() + " is neither inside of network_iprange " + range.text() +
                    " nor of 100.64.0.0/16");
        result.allowed.push_back(allowed);
    }
    return result;
}

}  // namespace

Result<NetworkResource> check(const NetworkResourceSpec& spec)
{
    if (spec.name.empty()) return wrong("name", "is empty");
    if (!to_number<std::int64_t>(spec.user_id)) return wrong("customer_tid", "is no number");

    NetworkResource resource{
        .gwid = spec.gwid,
        .user_id = spec.user_id,
        .name = spec.name,
        .id = network_id(spec.user_id, spec.name)};
    TRY(resource.range, ipv4_network("network_iprange", spec.range));
    TRY_DO(check_range(resource.range));
    TRY(resource.subnet, ipv4_network("iprange", spec.subnet));
    TRY_DO(check_subnet(resource.range, resource.subnet));

    const auto own_key = public_key_of(spec.private_key);
    if (!own_key) return wrong("wireguard_private_key_encrypted", own_key.error().message);
    if (!spec.public_key.empty() && spec.public_key != *own_key)
        return wrong(
            "wireguard_public_key", "does not belong to the private key; it would be " + *own_key);
    resource.tunnel.private_key = spec.private_key;

    if (spec.listen_port < 1000 || spec.listen_port > 65535)
        return wrong(
            "wireguard_listen_port",
            std::to_string(spec.listen_port) + " is not between 1000 and 65535");
    resource.tunnel.port = static_cast<std::uint16_t>(spec.listen_port);
    if (std::ranges::find(taken_ports, resource.tunnel.port) != std::end(taken_ports))
        return wrong(
            "wireguard_listen_port",
            std::to_string(spec.listen_port) + " is in use on every node; choose another");

    std::vector<IpNetwork> subnets;
    for (std::size_t i = 0; i < spec.peers.size(); ++i) {
        const auto member = "peers[" + std::to_string(i) + "]";
        IpNetwork subnet;
        TRY(auto peer, read_peer(member, spec.peers[i], resource.range, subnet));
        if (kernel::to_text(peer.public_key) == *own_key)
            return wrong(member + ".public_key", "is the node's own");
        const auto& before = resource.tunnel.peers;
        if (std::ranges::find(before, peer.public_key, &kernel::TunnelPeer::public_key) !=
            before.end())
            return wrong(member + ".public_key", "stands twice in the list");
        if (subnet.overlaps(resource.subnet))
            return wrong(member + ".iprange", subnet.text() + " overlaps the node's own iprange");
        for (const auto& other : subnets)
            if (other.overlaps(subnet))
                return wrong(
                    member + ".iprange",
                    subnet.text() + " overlaps " + other.text() + " of another peer");
        subnets.push_back(subnet);
        resource.tunnel.peers.push_back(std::move(peer));
    }
    return resource;
}

bool is_newer(const std::string& candidate, const std::string& other)
{
    const auto numbers = [](const std::string& gwid) {
        const auto dash = gwid.find('-');
        const auto first = std::string_view{gwid}.substr(0, dash);
        const auto second = dash == std::string::npos ? std::string_view{}
                                                      : std::string_view{gwid}.substr(dash + 1);
        return std::tuple{
            to_number<std::uint64_t>(first).value_or(0),
            to_number<std::uint64_t>(second).value_or(0)};
    };
    return numbers(candidate) > numbers(other);
}

}  // namespace znode::network
