#include "host_plane.hpp"

#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/failpoint.hpp"
#include "kernel/files.hpp"
#include "kernel/netns.hpp"
#include "network/addressing.hpp"
#include "rulesets.hpp"

namespace znode::network {
namespace {

constexpr const char* public_bridge = "br-pub";
constexpr const char* exit_space = "ndmz";
constexpr const char* exit_host_link = "zn-ndmz";
constexpr const char* exit_bridge = "br-ndmz";
constexpr int mtu = 1500;

IpNetwork net(const char* text) { return *IpNetwork::parse(text); }

bool is_global(const IpAddress& address)
{
    static const auto local = std::array{
        net("fe80::/10"),
        net("fc00::/7"),
        net("::/127"),
        net("127.0.0.0/8"),
        net("169.254.0.0/16")};
    return std::ranges::none_of(local, [&](const auto& r) { return r.contains(address); });
}

/// A /64 of the node's own prefix.
IpAddress inner_v6(const std::string& node_id, std::uint8_t subnet, std::uint8_t host)
{
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::copy(node_prefix(node_id).first().bytes(), bytes.begin());
    bytes[7] = subnet;
    bytes[15] = host;
    return IpAddress::v6(bytes);
}

}  // namespace

std::string HostPlane::mark(const std::string& owner) const
{
    return "znode:" + spec_.node_id.substr(0, 8) + ":" + owner;
}

bool HostPlane::is_ours(const kernel::Link& link) const { return link.alias.starts_with(mark("")); }

/// A mark can only be set after the link was made, so the claim is written before: an unmarked link
/// that was claimed is ours.
bool HostPlane::is_ours_or_claimed(const kernel::Link& link) const
{
    const bool claimed = std::ranges::find(record_.links, link.name) != record_.links.end();
    return is_ours(link) || (claimed && link.alias.empty());
}

IpAddress HostPlane::pair_address(unsigned host) const
{
    const auto base = IpAddress::parse("100.126.1.0")->number();
    return IpAddress::v4(base + 4U * static_cast<unsigned>(record_.pair) + host);
}

Result<> HostPlane::need_started() const
{
    if (started_) return {};
    return fail(Errc::unavailable, "the node's network is not ready yet");
}

Result<HostNetwork> HostPlane::start()
{
    started_ = false;
    TRY_DO(kernel::make_folders(pins(), 0711));
    TRY_DO(kernel::make_folders(joins(), 0700));
    TRY_DO(kernel::make_folders(learnt_record("").parent_path(), 0700));
    TRY(auto here, kernel::RouteSocket::open());
    here_ = std::move(here);

    auto record = kernel::read_file(host_record()) ? load<HostRecord>(host_record())
                                                   : Result<HostRecord>{HostRecord{}};
    if (!record) return tl::unexpected(std::move(record).error());
    if (!record->node_id.empty() && record->node_id != spec_.node_id)
        return fail(
            Errc::exists, spec_.run_dir.string() + " belongs to another node, " + record->node_id);
    record_ = *std::move(record);
    record_.node_id = spec_.node_id;

    TRY(const auto uplink, find_uplink());
    set_uplink(uplink);
    TRY_DO(choose_wireguard());
    if (host_.wireguard == WireGuardKind::userspace) TRY_DO(mount_uapi_folder());
    TRY_DO(choose_pair());
    FP("network.host.bridge");
    TRY_DO(make_public_bridge());
    FP("network.host.exit");
    TRY_DO(make_exit());
    TRY_DO(allow_forwarding());
    FP("network.host.rules");
    TRY_DO(apply_host_rules());
    started_ = true;
    log_->info(
        "network ready uplink={} wireguard={} ipv6={}",
        host_.uplink,
        host_.wireguard == WireGuardKind::kernel ? "kernel" : "userspace",
        host_.ipv6);
    return host_;
}

Result<> HostPlane::allow_forwarding()
{
    TRY_DO(set_host_sysctl("ipv4/ip_forward", "1"));
    if (!host_.ipv6) return {};
    // A forwarding machine ignores router advertisements unless told otherwise, and would lose its
    // own IPv6.
    TRY_DO(set_host_sysctl("ipv6/conf/" + host_.uplink + "/accept_ra", "2"));
    return set_host_sysctl("ipv6/conf/all/forwarding", "1");
}

void HostPlane::set_uplink(const Uplink& uplink)
{
    host_.uplink = uplink.name;
    host_.uplink_addresses = uplink.addresses;
    host_.ipv6 = uplink.ipv6;
}

Result<> HostPlane::follow(const Uplink& uplink)
{
    if (uplink.name == host_.uplink && uplink.addresses == host_.uplink_addresses) return {};
    const Uplink before{host_.uplink, host_.uplink_addresses, host_.ipv6};
    set_uplink(uplink);
    auto applied = allow_forwarding();
    if (applied) applied = apply_host_rules();
    if (!applied) {
        set_uplink(before);  // Still a difference: the next look tries again.
        return applied;
    }
    log_->info("uplink changed, rules follow uplink={} ipv6={}", host_.uplink, host_.ipv6);
    return {};
}

Result<HostPlane::Uplink> HostPlane::find_uplink()
{
    Uplink found;
    found.name = spec_.uplink;
    TRY(const auto links, here_->links());
    if (found.name.empty()) {
        TRY(const auto routes, here_->routes());
        for (const auto& route : routes) {
            if (route.destination.length != 0) continue;
            const auto link = std::ranges::find(links, route.link, &kernel::Link::index);
            if (link == links.end()) continue;
            found.name = link->name;
            if (route.destination.address.is_v4()) break;
        }
    }
    if (found.name.empty())
        return fail(
            Errc::unsupported,
            "this machine has no default route: connect it, or name [network] uplink in the "
            "config");
    const auto link = std::ranges::find(links, found.name, &kernel::Link::name);
    if (link == links.end())
        return fail(
            Errc::unsupported,
            "there is no link " + found.name + ": correct [network] uplink in the config");
    TRY(const auto addresses, here_->addresses(link->index));
    for (const auto& address : addresses) {
        if (!is_global(address.address)) continue;
        found.addresses.push_back(address);
        found.ipv6 |= !address.address.is_v4();
    }
    return found;
}

Result<> HostPlane::choose_wireguard()
{
    host_.wireguard = spec_.wireguard;
    if (spec_.wireguard == WireGuardKind::userspace) return {};
    TRY(const bool in_kernel, kernel::kernel_has_link_kind("wireguard"));
    if (spec_.wireguard == WireGuardKind::kernel && !in_kernel)
        return fail(
            Errc::unsupported,
            "this kernel has no WireGuard: load the module, or set [network] wireguard = \"auto\"");
    host_.wireguard = in_kernel ? WireGuardKind::kernel : WireGuardKind::userspace;
    return {};
}

Result<> HostPlane::mount_uapi_folder()
{
    const auto own = spec_.run_dir / "network" / "wireguard";
    TRY_DO(kernel::make_folders(own, 0700));
    TRY_DO(kernel::make_folders(uapi_folder, 0700));
    struct stat mine{};
    struct stat there{};
    int err = error_of(::stat(own.c_str(), &mine));
    if (!err) err = error_of(::stat(uapi_folder, &there));
    if (err) return fail_errno(err, "find the folder of WireGuard sockets");
    if (mine.st_dev == there.st_dev && mine.st_ino == there.st_ino) return {};

    struct stat machine{};
    struct stat process{};
    if (::stat("/proc/1/ns/mnt", &machine) == 0 && ::stat("/proc/self/ns/mnt", &process) == 0 &&
        machine.st_ino == process.st_ino)
        return fail(
            Errc::unsupported,
            "the agent runs in the machine's own mount namespace: start znode-holder first");
    err = error_of(::mount(own.c_str(), uapi_folder, nullptr, MS_BIND, nullptr));
    if (err) return fail_errno(err, std::string{"mount over "} + uapi_folder);
    return {};
}

Result<> HostPlane::claim(const std::string& link)
{
    if (std::ranges::find(record_.links, link) != record_.links.end()) return {};
    record_.links.push_back(link);
    return save(host_record(), record_);
}

/// A marked link of ours in the machine's namespace.
Result<kernel::Link> HostPlane::need_host_link(const kernel::LinkSpec& spec)
{
    TRY(auto present, here_->link(spec.name));
    if (present && !is_ours_or_claimed(*present))
        return fail(
            Errc::exists,
            "there is a " + spec.name + " on this machine that is not this node's (alias \"" +
                present->alias + "\"): remove it, or give each node a network namespace");
    if (!present) {
        TRY_DO(claim(spec.name));
        FP("network.host.link");
        TRY_DO(here_->add_link(spec));
        TRY(present, here_->link(spec.name));
        if (!present) return fail(Errc::unavailable, spec.name + " vanished");
    }
    TRY_DO(here_->set_alias(present->index, mark("node")));
    return *present;
}

Result<> HostPlane::choose_pair()
{
    TRY(const auto links, here_->links());
    const auto own = std::ranges::find_if(
        links, [&](const auto& l) { return l.name == exit_host_link && is_ours(l); });
    if (own != links.end()) return {};
    std::vector<IpNetwork> used;
    for (const auto& link : links) {
        TRY(const auto addresses, here_->addresses(link.index));
        std::ranges::copy(addresses, std::back_inserter(used));
    }
    for (record_.pair = 0; record_.pair < 64; ++record_.pair) {
        const IpNetwork pair{pair_address(0), 30};
        if (std::ranges::none_of(used, [&](const auto& a) { return a.overlaps(pair); }))
            return save(host_record(), record_);
    }
    return fail(Errc::exhausted, "no free pair of addresses in 100.126.1.0/24 on this machine");
}

Result<> HostPlane::make_public_bridge()
{
    TRY(const auto bridge, need_host_link({.name = public_bridge, .kind = "bridge", .mtu = mtu}));
    TRY_DO(here_->set_addresses(
        bridge.index, {net("100.126.0.1/24"), {inner_v6(spec_.node_id, 0, 1), 64}}));
    return here_->set_up(bridge.index, true);
}

Result<kernel::Fd> HostPlane::need_space(const std::string& name)
{
    if (kernel::is_pinned_netns(pin(name))) return kernel::open_netns(pin(name));
    return kernel::make_pinned_netns(pin(name));
}

Result<> HostPlane::make_exit()
{
    TRY(const auto space, need_space(exit_space));
    TRY(auto inside, kernel::RouteSocket::open_in(space.get()));

    TRY(auto uplink, inside.link("npub4"));
    if (!uplink) {
        // The half of a pair whose other end is gone with its namespace goes by itself, but late.
        TRY(const auto stale, here_->link(exit_host_link));
        if (stale && is_ours_or_claimed(*stale)) TRY_DO(here_->remove_link(stale->index));
    }
    TRY(const auto outside,
        need_host_link(
            {.name = exit_host_link,
             .kind = "veth",
             .mtu = mtu,
             .peer = kernel::LinkSpec::Peer{
                 .name = "npub4", .netns = space.get(), .mac = mac_of(spec_.node_id + "-ndmz4")}}));
    TRY_DO(here_->set_addresses(
        outside.index, {{pair_address(1), 30}, {inner_v6(spec_.node_id, 1, 1), 64}}));
    TRY_DO(here_->set_up(outside.index, true));

    TRY(uplink, inside.need_link("npub4"));
    TRY_DO(inside.set_alias(uplink->index, mark("node")));
    TRY_DO(inside.set_addresses(
        uplink->index, {{pair_address(2), 30}, {inner_v6(spec_.node_id, 1, 2), 64}}));
    TRY_DO(inside.set_up(uplink->index, true));
    TRY_DO(inside.set_route({net("0.0.0.0/0"), pair_address(1), uplink->index}));
    TRY_DO(inside.set_route({net("::/0"), inner_v6(spec_.node_id, 1, 1), uplink->index}));

    TRY(auto bridge, inside.link(exit_bridge));
    if (!bridge) TRY_DO(inside.add_link({.name = exit_bridge, .kind = "bridge", .mtu = mtu}));
    TRY(bridge, inside.need_link(exit_bridge));
    TRY_DO(inside.set_alias(bridge->index, mark("node")));
    TRY_DO(kernel::run_in_netns(space.get(), []() -> Result<> {
        TRY_DO(kernel::write_net_sysctl("ipv4/ip_forward", "1"));
        TRY_DO(kernel::write_net_sysctl("ipv6/conf/all/forwarding", "1"));
        return kernel::write_net_sysctl(
            std::string{"ipv6/conf/"} + exit_bridge + "/disable_ipv6", "1");
    }));
    TRY_DO(inside.set_up(bridge->index, true));

    TRY(auto door, inside.link("tonrs"));
    if (!door)
        TRY_DO(inside.add_link(
            {.name = "tonrs", .kind = "macvlan", .mtu = mtu, .parent = bridge->index}));
    TRY(door, inside.need_link("tonrs"));
    TRY_DO(inside.set_alias(door->index, mark("node")));
    TRY_DO(inside.set_addresses(
        door->index, {net("100.127.0.1/16"), net("fe80::1/64"), net("fd00::1/64")}));
    TRY_DO(inside.set_up(door->index, true));
    return kernel::apply_nft(exit_ruleset(), pin(exit_space));
}

Result<> HostPlane::set_host_sysctl(const std::string& name, const std::string& value)
{
    TRY(const auto present, kernel::read_net_sysctl(name));
    if (present != value) {
        if (record_.sysctls.try_emplace(name, present).second) TRY_DO(save(host_record(), record_));
        TRY_DO(kernel::write_net_sysctl(name, value));
    }
    std::erase_if(host_.sysctls, [&](const auto& s) { return s.name == "net/" + name; });
    const auto before = record_.sysctls.find(name);
    host_.sysctls.push_back(
        {"net/" + name, before == record_.sysctls.end() ? present : before->second, value});
    return {};
}

Result<> HostPlane::apply_host_rules()
{
    HostRules rules{
        .uplink = host_.uplink,
        .exit_link = exit_host_link,
        .inner_v6 = node_prefix(spec_.node_id),
        .zdb = zdb_records()};
    for (const auto& address : host_.uplink_addresses)
        rules.uplink_addresses.push_back(address.address);
    return kernel::apply_nft(host_ruleset(rules));
}

Result<> HostPlane::purge()
{
    if (!here_) {
        TRY(auto here, kernel::RouteSocket::open());
        here_ = std::move(here);
    }
    if (auto record = load<HostRecord>(host_record())) record_ = *std::move(record);
    if (!record_.node_id.empty() && record_.node_id != spec_.node_id)
        return fail(Errc::denied, spec_.run_dir.string() + " belongs to another node");

    // As much as can be removed is removed; the first failure is what is told.
    Result<> outcome;
    const auto step = [&](Result<> done) {
        if (!done && outcome) outcome = std::move(done);
    };
    if (!started_) {
        step(choose_wireguard());
        if (host_.wireguard == WireGuardKind::userspace) step(mount_uapi_folder());
    }
    for (const auto& member : load_all<JoinRecord>(joins(), ".json")) step(leave(member.gwid));
    for (const auto& network : networks()) step(remove_network(network.id));
    const bool rules = started_ || !record_.node_id.empty();
    for (const auto& zdb : zdb_records()) step(remove_zdb(zdb.pool_id));
    started_ = false;
    for (const auto* name : {exit_host_link, public_bridge}) {
        const auto link = here_->link(name);
        if (link && *link && is_ours_or_claimed(**link)) step(here_->remove_link((*link)->index));
    }
    step(kernel::unpin_netns(pin(exit_space)));
    if (rules) step(kernel::apply_nft(no_host_ruleset()));
    for (const auto& [name, value] : record_.sysctls) step(kernel::write_net_sysctl(name, value));
    struct stat mine{};
    struct stat there{};
    if (::stat((spec_.run_dir / "network" / "wireguard").c_str(), &mine) == 0 &&
        ::stat(uapi_folder, &there) == 0 && mine.st_ino == there.st_ino &&
        mine.st_dev == there.st_dev) {
        const int err = error_of(::umount2(uapi_folder, MNT_DETACH | UMOUNT_NOFOLLOW));
        if (err) step(fail_errno(err, "unmount the folder of WireGuard sockets"));
    }
    if (outcome) {
        record_ = {};
        step(kernel::remove_file(host_record()));
    }
    return outcome;
}

Result<std::vector<Interface>> HostPlane::interfaces()
{
    TRY_DO(need_started());
    TRY(const auto uplink, find_uplink());
    // A lease brought another address, a router its IPv6. What is told must be what is in force.
    TRY_DO(follow(uplink));
    TRY(const auto routes, here_->routes());
    std::vector<Interface> found;
    for (const auto& name : {std::string{"lo"}, uplink.name}) {
        TRY(const auto link, here_->need_link(name));
        Interface interface{.name = name, .mac = name == "lo" ? "" : kernel::to_text(link.mac)};
        TRY(interface.addresses, here_->addresses(link.index));
        for (const auto& route : routes)
            if (route.link == link.index && route.destination.length == 0 && route.gateway)
                interface.gateways.push_back(*route.gateway);
        found.push_back(std::move(interface));
    }
    return found;
}

}  // namespace znode::network
