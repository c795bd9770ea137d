#include "network/topology.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "network/addressing.hpp"

namespace znode::network {
namespace {

std::optional<IpAddress> first_of(const Member& member, bool ipv4)
{
    const auto hit = std::ranges::find(member.endpoints, ipv4, &IpAddress::is_v4);
    return hit == member.endpoints.end() ? std::nullopt : std::optional{*hit};
}
bool is_hidden(const Member& member) { return member.endpoints.empty(); }
bool has_ipv4(const Member& member) { return first_of(member, true).has_value(); }
bool is_ipv6_only(const Member& member) { return !is_hidden(member) && !has_ipv4(member); }

std::string endpoint_text(const IpAddress& address, std::uint16_t port)
{
    return IpEndpoint{address, port}.text();
}

/// A subnet and the address of its WireGuard interface.
void append_pair(std::vector<IpNetwork>& allowed, const IpNetwork& subnet)
{
    allowed.push_back(subnet);
    allowed.push_back({wireguard_address(subnet), 32});
}

/// How `self` dials `other`; nothing where there is no tunnel between them.
std::optional<std::string> endpoint_between(const Member& self, const Member& other)
{
    if (is_hidden(self)) {
        // Behind a home router: IPv4 outwards is all that is sure.
        const auto address = first_of(other, true);
        if (!address) return std::nullopt;
        return endpoint_text(*address, other.port);
    }
    if (is_hidden(other)) {
        if (is_ipv6_only(self)) return std::nullopt;
        return std::string{};
    }
    const auto address = first_of(other, false).value_or(other.endpoints.front());
    return endpoint_text(address, other.port);
}

/// A machine in the sense of the path check: a node, or a laptop with its one peer.
struct Station {
    std::string name;
    std::string public_key;
    IpNetwork subnet;
    bool dials_ipv4 = false;
    bool dials_ipv6 = false;
    std::vector<PlannedPeer> peers;
};

/// Crypto-routing: the last peer to list a network has it.
const PlannedPeer* next_hop(const Station& from, const IpNetwork& to)
{
    const PlannedPeer* found = nullptr;
    int longest = -1;
    for (const auto& peer : from.peers)
        for (const auto& network : peer.allowed)
            if (network.contains(to) && network.length >= longest) {
                longest = network.length;
                found = &peer;
            }
    return found;
}

bool can_dial(const Station& from, const Station& to)
{
    const auto peer = std::ranges::find(from.peers, to.public_key, &PlannedPeer::public_key);
    if (peer == from.peers.end()) return false;
    const auto where = IpEndpoint::parse(peer->endpoint);
    return where && (where->address.is_v4() ? from.dials_ipv4 : from.dials_ipv6);
}

bool has_path(const std::vector<Station>& stations, const Station& from, const IpNetwork& to)
{
    const auto* at = &from;
    for (std::size_t hops = 0; hops <= stations.size(); ++hops) {
        if (at->subnet.contains(to)) return true;
        const auto* peer = next_hop(*at, to);
        if (peer == nullptr) return false;
        const auto next = std::ranges::find(stations, peer->public_key, &Station::public_key);
        if (next == stations.end()) return false;
        const bool mutual =
            std::ranges::find(next->peers, at->public_key, &PlannedPeer::public_key) !=
            next->peers.end();
        if (!mutual || (!can_dial(*at, *next) && !can_dial(*next, *at))) return false;
        at = &*next;
    }
    return false;
}

Result<> check_subnets(
    const IpNetwork& range, const std::vector<Member>& members, const std::vector<Access>& accesses)
{
    std::vector<IpNetwork> seen;
    const auto check = [&](const IpNetwork& subnet, const std::string& who) -> Result<> {
        if (!range.contains(subnet))
            return fail(
                Errc::invalid,
                who + " has " + subnet.text() + ", which is not inside of " + range.text());
        for (const auto& other : seen)
            if (other.overlaps(subnet))
                return fail(
                    Errc::invalid,
                    who + " has " + subnet.text() + ", which overlaps " + other.text() +
                        " of another member");
        seen.push_back(subnet);
        return {};
    };
    for (const auto& member : members) TRY_DO(check(member.subnet, "node " + member.node_id));
    for (const auto& access : accesses) TRY_DO(check(access.subnet, "access " + access.public_key));
    return {};
}

}  // namespace

std::vector<IpAddress> endpoints_of(const ReportedAddresses& reported, bool lan)
{
    static const auto never = std::array{
        *IpNetwork::parse("0.0.0.0/8"),
        *IpNetwork::parse("127.0.0.0/8"),
        *IpNetwork::parse("169.254.0.0/16"),
        *IpNetwork::parse("224.0.0.0/3"),
        *IpNetwork::parse("::/127"),
        *IpNetwork::parse("fe80::/10"),
        *IpNetwork::parse("200::/7"),
        *IpNetwork::parse("ff00::/8")};
    static const auto home = std::array{
        *IpNetwork::parse("10.0.0.0/8"),
        *IpNetwork::parse("172.16.0.0/12"),
        *IpNetwork::parse("192.168.0.0/16"),
        *IpNetwork::parse("fc00::/7")};
    const auto in = [](const auto& ranges, const IpAddress& address) {
        return std::ranges::any_of(ranges, [&](const auto& r) { return r.contains(address); });
    };
    const auto& all = reported.public_config.empty() ? reported.interfaces : reported.public_config;
    std::vector<IpAddress> kept;
    std::ranges::copy_if(all, std::back_inserter(kept), [&](const auto& address) {
        return !in(never, address) && (lan || !in(home, address));
    });
    return kept;
}

std::vector<std::vector<PlannedPeer>> plan_peers(
    const std::vector<Member>& members, const std::vector<Access>& accesses)
{
    // Hidden nodes meet at the first node that all of them can dial.
    const Member* hub = nullptr;
    if (std::ranges::any_of(members, is_hidden)) {
        const auto first = std::ranges::find_if(members, has_ipv4);
        if (first != members.end()) hub = &*first;
    }

    std::vector<std::vector<PlannedPeer>> plan;
    for (const auto& self : members) {
        auto& peers = plan.emplace_back();
        for (const auto& other : members) {
            if (&other == &self) continue;
            auto endpoint = endpoint_between(self, other);
            if (!endpoint) continue;
            PlannedPeer peer{other.public_key, *std::move(endpoint), other.subnet, {}};
            append_pair(peer.allowed, other.subnet);
            if (&other == hub) {
                for (const auto& third : members)
                    if (&third != &self && is_hidden(third))
                        append_pair(peer.allowed, third.subnet);
                if (is_hidden(self))
                    for (const auto& third : members)
                        if (is_ipv6_only(third)) append_pair(peer.allowed, third.subnet);
            }
            // What lies behind a member is reached as the member itself.
            const auto own = peer.allowed;
            for (const auto& network : own)
                for (const auto& access : accesses) {
                    const auto node = std::ranges::find(members, access.node_id, &Member::node_id);
                    if (node != members.end() && node->subnet == network)
                        append_pair(peer.allowed, access.subnet);
                }
            peers.push_back(std::move(peer));
        }
        for (const auto& access : accesses) {
            if (access.node_id != self.node_id) continue;
            PlannedPeer peer{access.public_key, "", access.subnet, {}};
            append_pair(peer.allowed, access.subnet);
            peers.push_back(std::move(peer));
        }
    }
    return plan;
}

Result<std::vector<std::vector<PlannedPeer>>> plan_network(
    const IpNetwork& range, const std::vector<Member>& members, const std::vector<Access>& accesses)
{
    TRY_DO(check_subnets(range, members, accesses));
    auto plan = plan_peers(members, accesses);

    std::vector<Station> stations;
    for (std::size_t i = 0; i < members.size(); ++i) {
        const auto& member = members[i];
        stations.push_back(
            {"node " + member.node_id,
             member.public_key,
             member.subnet,
             is_hidden(member) || has_ipv4(member),
             first_of(member, false).has_value(),
             plan[i]});
    }
    for (const auto& access : accesses) {
        TRY(const auto laptop, plan_laptop(range, members, access, {}));
        stations.push_back(
            {"access " + access.subnet.text(),
             access.public_key,
             access.subnet,
             access.ipv4,
             !access.ipv4,
             {{laptop.access_key, laptop.endpoint, access.subnet, {range}}}});
    }
    for (const auto& from : stations)
        for (const auto& to : stations)
            if (&from != &to && !has_path(stations, from, to.subnet.network()))
                return fail(
                    Errc::invalid,
                    "no path from " + from.name + " to " + to.name +
                        ": neither can dial the other, directly or through a public node with "
                        "IPv4; add such a node to the network");
    return plan;
}

Result<LaptopConfig> plan_laptop(
    const IpNetwork& range,
    const std::vector<Member>& members,
    const Access& access,
    Secret private_key)
{
    const auto node = std::ranges::find(members, access.node_id, &Member::node_id);
    if (node == members.end())
        return fail(
            Errc::invalid, "access node " + access.node_id + " is no member of the network");
    const auto address = first_of(*node, access.ipv4);
    if (!address)
        return fail(
            Errc::invalid,
            "access node " + access.node_id + " has no public " + (access.ipv4 ? "IPv4" : "IPv6") +
                " address: choose another access node");
    return LaptopConfig{
        .address = {wireguard_address(access.subnet), 32},
        .private_key = std::move(private_key),
        .access_key = node->public_key,
        .allowed = {range, {wireguard_address(range), 32}},
        .endpoint = endpoint_text(*address, node->port)};
}

Secret to_wg_quick(const LaptopConfig& config)
{
    std::string allowed;
    for (const auto& network : config.allowed)
        allowed += (allowed.empty() ? "" : ", ") + network.text();
    return Secret{
        "\n[Interface]\nAddress = " + config.address.text() + "\nPrivateKey = " +
        std::string{config.private_key.reveal()} + "\n[Peer]\nPublicKey = " + config.access_key +
        "\nAllowedIPs = " + allowed + "\nPersistentKeepalive = 25\nEndpoint = " + config.endpoint};
}

}  // namespace znode::network
