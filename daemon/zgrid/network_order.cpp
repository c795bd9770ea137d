#include "network_order.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <utility>

#include "identity/identity.hpp"
#include "network/wireguard_keys.hpp"
#include "placement.hpp"

namespace znode::zgrid {

namespace {

const grid::Node* find_node(const std::vector<grid::Node>& nodes, std::string_view id)
{
    const auto at = std::ranges::find(nodes, id, &grid::Node::node_id);
    return at == nodes.end() ? nullptr : &*at;
}

/// A port that nothing on the node has: 1000 to 8999, as all tools of the grid choose.
Result<std::uint16_t> free_port(const grid::Node& node)
{
    constexpr int lowest = 1000;
    constexpr int highest = 8999;
    const std::set<std::int64_t> taken{node.wg_ports.begin(), node.wg_ports.end()};
    std::vector<int> open;
    for (int port = lowest; port <= highest; ++port)
        if (!taken.contains(port)) open.push_back(port);
    if (open.empty())
        return fail(Errc::exhausted, "node " + node.node_id + " has no free WireGuard port");
    std::random_device chance;
    std::uniform_int_distribution<std::size_t> pick{0, open.size() - 1};
    return static_cast<std::uint16_t>(open[pick(chance)]);
}

Result<grid::IpRange> range_of(const IpNetwork& network)
{
    return grid::IpRange::parse(network.text());
}

std::vector<network::Member> members_of(const KnownNetwork& known)
{
    std::vector<network::Member> members;
    for (const auto& each : known.members)
        members.push_back({each.node, each.subnet, each.public_key, each.port, each.endpoints});
    return members;
}

std::vector<network::Access> accesses_of(const KnownNetwork& known)
{
    std::vector<network::Access> accesses;
    for (const auto& each : known.accesses)
        accesses.push_back({each.node, each.subnet, each.public_key, each.ipv4});
    return accesses;
}

Result<KnownMember> new_member(const grid::Node& node, const IpNetwork& subnet)
{
    KnownMember member;
    member.node = node.node_id;
    member.subnet = subnet;
    const auto keys = network::make_wireguard_keys();
    member.public_key = keys.public_key;
    TRY(const auto node_key, identity::key_of_node(node.node_id));
    TRY(member.sealed_key, identity::seal_for(node_key, keys.private_key));
    TRY(member.port, free_port(node));
    return member;
}

Result<> add_members(
    NetworkPlan& plan, const NetworkOrder& order, const std::vector<grid::Node>& nodes)
{
    std::vector<std::pair<std::string, IpNetwork>> taken;
    for (const auto& each : plan.network.members) taken.emplace_back(each.node, each.subnet);
    for (const auto& each : plan.network.accesses) taken.emplace_back("", each.subnet);

    for (const auto& id : order.nodes) {
        if (plan.network.member(id) != nullptr) continue;
        const auto* node = find_node(nodes, id);
        if (node == nullptr) return fail(Errc::not_found, "the explorer knows no node " + id);
        TRY(const auto subnets, divide(order.range, {id}, taken));
        TRY(auto member, new_member(*node, subnets.at(id)));
        taken.emplace_back(id, member.subnet);
        plan.network.members.push_back(std::move(member));
        plan.changed = true;
    }
    return {};
}

Result<> add_access(NetworkPlan& plan, const NetworkOrder& order)
{
    auto& known = plan.network;
    if (order.access.empty() ||
        std::ranges::find(known.accesses, order.access, &KnownAccess::node) != known.accesses.end())
        return {};
    const auto* member = known.member(order.access);
    if (member == nullptr)
        return fail(Errc::invalid, "the access node " + order.access + " is not in the network");
    if (member->endpoints.empty())
        return fail(
            Errc::invalid,
            "the access node " + order.access +
                " has no public address that a laptop could dial; "
                "choose another, or give its address with --endpoint");

    std::vector<std::pair<std::string, IpNetwork>> taken;
    for (const auto& each : known.members) taken.emplace_back(each.node, each.subnet);
    for (const auto& each : known.accesses) taken.emplace_back("", each.subnet);
    TRY(const auto subnets, divide(known.range, {"laptop"}, taken));
    auto keys = network::make_wireguard_keys();
    const bool v4 = std::ranges::any_of(member->endpoints, &IpAddress::is_v4);
    known.accesses.push_back(
        {order.access, subnets.at("laptop"), keys.public_key, std::move(keys.private_key), v4});
    plan.changed = true;
    return {};
}

Result<grid::NetworkResource> resource_of(
    const std::string& name,
    const KnownNetwork& known,
    const KnownMember& member,
    const std::vector<network::PlannedPeer>& peers)
{
    grid::NetworkResource resource;
    resource.name = name;
    TRY(resource.network_iprange, range_of(known.range));
    resource.wireguard_private_key_encrypted = member.sealed_key;
    resource.wireguard_public_key = member.public_key;
    resource.wireguard_listen_port = member.port;
    TRY(resource.iprange, range_of(member.subnet));
    resource.peers = decltype(resource.peers)::none();
    for (const auto& peer : peers) {
        grid::WireguardPeer entry;
        entry.public_key = peer.public_key;
        entry.endpoint = peer.endpoint;
        TRY(entry.iprange, range_of(peer.subnet));
        entry.allowed_iprange = decltype(entry.allowed_iprange)::none();
        for (const auto& allowed : peer.allowed) {
            TRY(auto range, range_of(allowed));
            entry.allowed_iprange.push_back(range);
        }
        resource.peers.push_back(std::move(entry));
    }
    return resource;
}

}  // namespace

std::vector<IpAddress> reported_endpoints(const grid::Node& node, bool lan)
{
    network::ReportedAddresses reported;
    const auto add = [](std::vector<IpAddress>& to, const grid::IpRange& range) {
        if (!range.is_set()) return;
        if (const auto address = IpAddress::parse(range.ip().text())) to.push_back(*address);
    };
    if (node.public_config && !node.public_config->master.empty()) {
        add(reported.public_config, node.public_config->ipv4);
        add(reported.public_config, node.public_config->ipv6);
    }
    for (const auto& interface : node.ifaces)
        for (const auto& address : interface.addrs) add(reported.interfaces, address);
    return network::endpoints_of(reported, lan);
}

Result<NetworkPlan> plan_network_order(
    const NetworkOrder& order, const KnownNetwork* before, const std::vector<grid::Node>& nodes)
{
    NetworkPlan plan;
    if (before != nullptr) {
        plan.network = *before;
        if (before->range != order.range)
            return fail(
                Errc::invalid,
                "network " + order.name + " has the range " + before->range.text() +
                    "; a range cannot be changed, take another name");
    }
    plan.network.range = order.range;
    TRY_DO(add_members(plan, order, nodes));

    // Addresses may have changed since; a member that is gone from the directory keeps its old
    // ones.
    for (auto& member : plan.network.members) {
        auto endpoints = member.endpoints;
        if (const auto given = order.endpoints.find(member.node); given != order.endpoints.end())
            endpoints = given->second;
        else if (const auto* node = find_node(nodes, member.node);
                 node != nullptr && (endpoints.empty() || before == nullptr))
            endpoints = reported_endpoints(*node, order.lan);
        if (endpoints != member.endpoints) plan.changed = true;
        member.endpoints = std::move(endpoints);
    }
    TRY_DO(add_access(plan, order));

    TRY(const auto peers,
        network::plan_network(
            plan.network.range, members_of(plan.network), accesses_of(plan.network)));
    for (std::size_t i = 0; i < plan.network.members.size(); ++i) {
        TRY(auto resource,
            resource_of(order.name, plan.network, plan.network.members[i], peers[i]));
        plan.resources.push_back(std::move(resource));
    }
    // What is sent differs, so all members are sent anew, and none counts as told until it was.
    if (plan.changed) {
        plan.network.token = new_token();
        for (auto& member : plan.network.members)
            if (const auto old = std::exchange(member.workload, 0); old != 0)
                plan.network.ending.push_back(old);
    }
    for (const auto& member : plan.network.members) {
        if (member.workload != 0) continue;
        plan.changed = true;
        // Files of former versions have none, and without it nobody knows what was ordered already.
        if (plan.network.token.empty()) plan.network.token = new_token();
    }
    return plan;
}

Result<Secret> laptop_file(const KnownNetwork& network, std::string_view node)
{
    for (const auto& access : network.accesses) {
        if (!node.empty() && access.node != node) continue;
        TRY(const auto config,
            network::plan_laptop(
                network.range,
                members_of(network),
                {access.node, access.subnet, access.public_key, access.ipv4},
                access.private_key));
        return network::to_wg_quick(config);
    }
    return fail(
        Errc::not_found,
        "the network has no laptop; add one with: zgrid network create NAME … --access NODE");
}

}  // namespace znode::zgrid
