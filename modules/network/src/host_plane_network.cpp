#include <algorithm>
#include <set>
#include <thread>

#include "base/failpoint.hpp"
#include "host_plane.hpp"
#include "kernel/files.hpp"
#include "kernel/netns.hpp"
#include "network/addressing.hpp"
#include "rulesets.hpp"

namespace znode::network {
namespace {

constexpr int mtu = 1500;

IpNetwork net(const char* text) { return *IpNetwork::parse(text); }

/// The exit's own addresses are .0.0 and .0.1.
constexpr std::uint32_t first_lease = 2;
constexpr std::uint32_t last_lease = 0xfffe;

}  // namespace

std::vector<NetworkRecord> HostPlane::networks() const
{
    auto all = load_all<NetworkRecord>(pins(), ".owner");
    std::erase_if(all, [&](const auto& r) { return r.node_id != spec_.node_id; });
    return all;
}

std::optional<NetworkRecord> HostPlane::network(const std::string& id) const
{
    auto record = load<NetworkRecord>(record_of(names_of(id).space));
    if (!record || record->node_id != spec_.node_id) return std::nullopt;
    return *std::move(record);
}

TunnelPlace HostPlane::tunnel_place(const std::string& id, int space) const
{
    const auto record = network(id);
    return {
        .kind = host_.wireguard,
        .name = names_of(id).tunnel,
        .netns = space,
        .alias = mark(record ? record->gwid : "node"),
        .program = spec_.wireguard_go,
        .cgroup_procs = spec_.cgroup_procs};
}

/// What will be written beside the pin, or why the network cannot be had.
Result<NetworkRecord> HostPlane::admit(const NetworkResource& resource) const
{
    const auto all = networks();
    std::set<std::uint32_t> leases;
    for (const auto& other : all) {
        if (other.id == resource.id) continue;
        leases.insert(other.lease.number());
        if (other.port == resource.tunnel.port)
            return fail(
                Errc::exists,
                "wireguard_listen_port: " + std::to_string(other.port) +
                    " is in use by another network of this node; choose another");
    }
    NetworkRecord record{
        .node_id = spec_.node_id,
        .gwid = resource.gwid,
        .user_id = resource.user_id,
        .name = resource.name,
        .id = resource.id,
        .range = resource.range,
        .subnet = resource.subnet,
        .port = resource.tunnel.port};
    if (const auto own = network(resource.id)) {
        record.lease = own->lease;
        return record;
    }
    const auto base = IpAddress::parse("100.127.0.0")->number();
    for (auto i = first_lease; i <= last_lease; ++i)
        if (!leases.contains(base + i)) {
            record.lease = IpAddress::v4(base + i);
            return record;
        }
    return fail(Errc::exhausted, "no free address on the node's exit");
}

Result<NetworkFacts> HostPlane::ensure(const NetworkResourceSpec& spec)
{
    TRY_DO(need_started());
    // All of it is judged before anything is touched: what runs must survive a wrong update.
    TRY(const auto resource, check(spec));
    const auto present = network(resource.id);
    if (present && (present->user_id != resource.user_id || present->name != resource.name))
        return fail(
            Errc::denied,
            "name: the id " + resource.id +
                " of this network is in use by another user's; choose another name");
    if (present && is_newer(present->gwid, resource.gwid)) {
        auto facts = facts_of(*present);
        facts.superseded = true;
        return facts;
    }
    TRY(const auto record, admit(resource));

    auto built = build(resource, record);
    if (built) {
        in_force_.insert_or_assign(resource.id, resource);
        log_->info("network up gwid={} network={}", resource.gwid, resource.id);
        return facts_of(record);
    }
    // The failure is what is told; going back is done as well as it can be.
    const auto before = in_force_.find(resource.id);
    if (before != in_force_.end() && present)
        (void)build(before->second, *present);
    else if (!present)
        (void)remove_network(resource.id);
    return tl::unexpected(std::move(built).error().during("network " + resource.id));
}

Result<> HostPlane::build(const NetworkResource& resource, const NetworkRecord& record)
{
    const auto names = names_of(record.id);
    TRY_DO(save(record_of(names.space), record));
    FP("network.resource.record");
    TRY(const auto space, need_space(names.space));
    FP("network.resource.space");

    // nft is a process of its own and needs no link to exist: it works while we do.
    Result<> rules;
    std::thread firewall{[&] { rules = kernel::apply_nft(network_ruleset(), pin(names.space)); }};
    auto links = build_links(record, space.get());
    firewall.join();
    TRY_DO(std::move(rules));
    TRY_DO(std::move(links));
    FP("network.resource.tunnel");
    return build_tunnel(resource, record, space.get());
}

Result<> HostPlane::build_links(const NetworkRecord& record, int space)
{
    const auto names = names_of(record.id);
    TRY(auto inside, kernel::RouteSocket::open_in(space));
    TRY(auto bridge, inside.link(names.bridge));
    if (!bridge) TRY_DO(inside.add_link({.name = names.bridge, .kind = "bridge", .mtu = mtu}));
    TRY(bridge, inside.need_link(names.bridge));
    TRY_DO(inside.set_alias(bridge->index, mark(record.gwid)));
    TRY_DO(kernel::run_in_netns(space, [&]() -> Result<> {
        TRY_DO(kernel::write_net_sysctl("ipv4/ip_forward", "1"));
        TRY_DO(kernel::write_net_sysctl("ipv6/conf/all/forwarding", "1"));
        // The gateway gives its own addresses and takes none from what a container announces.
        return kernel::write_net_sysctl("ipv6/conf/" + names.bridge + "/accept_ra", "0");
    }));
    // The gateway's addresses sit on the bridge itself: inside of the network's own namespace a
    // macvlan on top of it is not reached by what comes in through the bridge's ports.
    const auto address = gateway_of(record.subnet);
    TRY_DO(inside.set_addresses(
        bridge->index,
        {{address, record.subnet.length},
         {inner_ipv6(record.id, address), 64},
         net("fe80::1/64")}));
    TRY_DO(inside.set_up(bridge->index, true));
    FP("network.resource.bridge");

    const std::string exit_name{exit_link};
    TRY(auto exit, inside.link(exit_name));
    if (!exit) {
        TRY(const auto ndmz, kernel::open_netns(pin("ndmz")));
        TRY(auto outside, kernel::RouteSocket::open_in(ndmz.get()));
        TRY(const auto parent, outside.need_link("br-ndmz"));
        TRY_DO(outside.add_link(
            {.name = exit_name,
             .kind = "macvlan",
             .mtu = mtu,
             .netns = space,
             .parent = parent.index}));
    }
    TRY(exit, inside.need_link(exit_name));
    TRY_DO(inside.set_alias(exit->index, mark(record.gwid)));
    TRY_DO(inside.set_addresses(exit->index, {{record.lease, 16}, {exit_ipv6(record.lease), 64}}));
    TRY_DO(inside.set_up(exit->index, true));
    TRY_DO(inside.set_route({net("0.0.0.0/0"), IpAddress::parse("100.127.0.1"), exit->index}));
    return inside.set_route({net("::/0"), IpAddress::parse("fe80::1"), exit->index});
}

Result<> HostPlane::build_tunnel(
    const NetworkResource& resource, const NetworkRecord& record, int space)
{
    const auto place = tunnel_place(record.id, space);
    TRY(auto started, ensure_tunnel_device(place));
    if (started) children_.push_back(*std::move(started));
    FP("network.resource.device");
    TRY(const auto tunnel, open_tunnel(place));
    TRY(const auto present, tunnel->read());
    const auto change = present.private_key.empty()
                            ? whole_tunnel(with_learnt_endpoints(resource.tunnel, record.id))
                            : tunnel_difference(present, resource.tunnel);
    if (!change.empty()) {
        auto applied = tunnel->apply(change);
        if (!applied && applied.error().code == Errc::exists)
            return fail(
                Errc::exists,
                "wireguard_listen_port: " + std::to_string(record.port) +
                    " is in use on this machine; choose another");
        TRY_DO(std::move(applied));
    }
    TRY(auto inside, kernel::RouteSocket::open_in(space));
    TRY(const auto link, inside.need_link(place.name));
    TRY_DO(inside.set_addresses(link.index, {{wireguard_address(record.subnet), 16}}));
    if (!link.up) TRY_DO(inside.set_up(link.index, true));
    // The range of an earlier generation must not stay routed.
    TRY(const auto routes, inside.routes());
    for (const auto& route : routes)
        if (route.link == link.index && !route.gateway && route.destination.address.is_v4() &&
            route.destination != record.range && route.destination != net("100.64.0.0/16"))
            TRY_DO(inside.remove_route(route));
    return inside.set_route({record.range, std::nullopt, link.index});
}

Result<> HostPlane::note_endpoints(const std::string& network_id)
{
    const auto resource = in_force_.find(network_id);
    if (resource == in_force_.end() || !network(network_id)) return {};
    TRY(const auto tunnel, open_tunnel(tunnel_place(network_id, -1)));
    TRY(const auto present, tunnel->read());

    LearntRecord seen{.node_id = spec_.node_id};
    for (const auto& peer : resource->second.tunnel.peers) {
        if (peer.endpoint) continue;
        const auto now =
            std::ranges::find(present.peers, peer.public_key, &kernel::TunnelPeer::public_key);
        if (now != present.peers.end() && now->endpoint)
            seen.endpoints[kernel::to_text(peer.public_key)] = now->endpoint->text();
    }
    const auto file = learnt_record(network_id);
    const auto before = load<LearntRecord>(file);
    if (before ? before->endpoints == seen.endpoints : seen.endpoints.empty()) return {};
    return save(file, seen);
}

kernel::TunnelConfig HostPlane::with_learnt_endpoints(
    kernel::TunnelConfig tunnel, const std::string& network_id) const
{
    const auto learnt = load<LearntRecord>(learnt_record(network_id));
    if (!learnt) return tunnel;
    for (auto& peer : tunnel.peers) {
        if (peer.endpoint) continue;
        const auto seen = learnt->endpoints.find(kernel::to_text(peer.public_key));
        if (seen != learnt->endpoints.end()) peer.endpoint = IpEndpoint::parse(seen->second);
    }
    return tunnel;
}

Result<> HostPlane::repair_tunnel(const std::string& network_id)
{
    const auto record = network(network_id);
    const auto resource = in_force_.find(network_id);
    if (!record || resource == in_force_.end()) return {};
    TRY(const auto space, kernel::open_netns(pin(names_of(network_id).space)));
    return build_tunnel(resource->second, *record, space.get());
}

Result<std::optional<kernel::Child>> HostPlane::tunnel_of(const std::string& network_id)
{
    // One that was killed before it was watched: nobody else hears of its end.
    std::erase_if(children_, [](const auto& child) {
        const auto ended = child.poll();
        return !ended || *ended;
    });
    if (!network(network_id)) return std::nullopt;
    return tunnel_process(tunnel_place(network_id, -1));
}

Result<> HostPlane::remove(const std::string& gwid)
{
    for (const auto& record : networks())
        if (record.gwid == gwid) {
            TRY_DO(remove_network(record.id));
            log_->info("network removed gwid={} network={}", gwid, record.id);
        }
    return {};
}

Result<> HostPlane::remove_network(const std::string& id)
{
    const auto names = names_of(id);
    in_force_.erase(id);
    FP("network.resource.remove");
    auto space = kernel::open_netns(pin(names.space));
    TRY_DO(remove_tunnel_device(tunnel_place(id, space ? space->get() : -1)));
    if (space) {
        // Links first: a namespace dies at leisure, and who makes the same network again within
        // that time would meet them.
        TRY(auto inside, kernel::RouteSocket::open_in(space->get()));
        TRY(const auto links, inside.links());
        for (const auto& link : links)
            if (link.kind == "veth" || link.kind == "macvlan")
                TRY_DO(inside.remove_link(link.index));
        TRY_DO(inside.remove_link(names.bridge));
        space->close();
    }
    TRY_DO(kernel::remove_file(learnt_record(id)));
    FP("network.resource.unpin");
    TRY_DO(kernel::unpin_netns(pin(names.space)));
    return kernel::remove_file(record_of(names.space));
}

NetworkFacts HostPlane::facts_of(const NetworkRecord& record) const
{
    NetworkFacts facts{
        .gwid = record.gwid,
        .id = record.id,
        .user_id = record.user_id,
        .name = record.name,
        .range = record.range,
        .subnet = record.subnet,
        .gateway = gateway_of(record.subnet),
        .lease = record.lease,
        .port = record.port,
        .space = pin(names_of(record.id).space)};
    if (const auto space = kernel::open_netns(facts.space))
        if (const auto tunnel = open_tunnel(tunnel_place(record.id, space->get())))
            if (auto config = (*tunnel)->read()) facts.peers = std::move(config->peers);
    for (const auto& member : members_of(record.id)) facts.members.push_back(member.gwid);
    return facts;
}

Result<Inventory> HostPlane::list()
{
    TRY_DO(need_started());
    Inventory inventory;
    std::set<std::string> known{"ndmz"};
    for (const auto& record : networks()) {
        inventory.networks.push_back(facts_of(record));
        known.insert(names_of(record.id).space);
        for (const auto& member : members_of(record.id))
            if (auto found = joined(member, record))
                inventory.containers.push_back(*std::move(found));
    }
    for (const auto& zdb : zdb_records()) {
        inventory.zdb.push_back(zdb_facts(zdb));
        known.insert(zdb_namespace(zdb.pool_id));
    }
    std::error_code failed;
    for (std::filesystem::directory_iterator at{pins(), failed}, end; !failed && at != end;
         at.increment(failed)) {
        const auto name = at->path().filename().string();
        const bool like_ours = name.starts_with("n-") || name.starts_with("zdb-ns-");
        if (like_ours && !name.ends_with(".owner") && !known.contains(name))
            inventory.foreign.push_back(at->path().string());
    }
    return inventory;
}

Result<std::vector<std::uint16_t>> HostPlane::reserved_ports()
{
    std::set<std::uint16_t> ports{std::begin(taken_ports), std::end(taken_ports)};
    for (const auto& record : networks()) ports.insert(record.port);
    return std::vector<std::uint16_t>{ports.begin(), ports.end()};
}

}  // namespace znode::network
