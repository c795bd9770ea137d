#include <algorithm>
#include <set>

#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "host_plane.hpp"
#include "kernel/files.hpp"
#include "kernel/netns.hpp"
#include "network/addressing.hpp"
#include "rulesets.hpp"

namespace znode::network {
namespace {

constexpr int mtu = 1500;

/// The bridge's end of a 0-db's link.
std::string port_name(const std::string& pool_id)
{
    return "z" + to_hex(std::span<const std::uint8_t>{mac_of(pool_id)});
}

}  // namespace

std::vector<ZdbRecord> HostPlane::zdb_records() const
{
    auto all = load_all<ZdbRecord>(pins(), ".owner");
    std::erase_if(all, [&](const auto& r) { return r.node_id != spec_.node_id; });
    std::ranges::sort(all, {}, &ZdbRecord::port);
    return all;
}

ZdbNamespace HostPlane::zdb_facts(const ZdbRecord& record) const
{
    ZdbNamespace facts{
        .pool_id = record.pool_id,
        .space = pin(zdb_namespace(record.pool_id)),
        .inner = record.inner,
        .port = record.port};
    for (const auto& address : host_.uplink_addresses) facts.addresses.push_back(address.address);
    return facts;
}

Result<ZdbNamespace> HostPlane::ensure_zdb(const ZdbNamespaceSpec& spec)
{
    TRY_DO(need_started());
    if (spec.pool_id.empty() || spec.port == 0)
        return fail(Errc::invalid, "a 0-db needs the id of its pool and a port");
    const auto name = zdb_namespace(spec.pool_id);
    ZdbRecord record{.node_id = spec_.node_id, .pool_id = spec.pool_id, .port = spec.port};
    std::set<std::uint32_t> used;
    for (const auto& other : zdb_records()) {
        if (other.pool_id == spec.pool_id) {
            record.inner = other.inner;
            continue;
        }
        used.insert(other.inner.number());
        if (other.port == spec.port)
            return fail(
                Errc::exists,
                "port " + std::to_string(spec.port) + " is the 0-db's of another pool");
    }
    const auto base = IpAddress::parse("100.126.0.0")->number();
    for (auto i = base + 2; record.inner.number() == 0 && i < base + 255; ++i)
        if (!used.contains(i)) record.inner = IpAddress::v4(i);
    if (record.inner.number() == 0)
        return fail(Errc::exhausted, "no free address for another 0-db on this node");

    TRY_DO(save(record_of(name), record));
    FP("network.zdb.record");
    TRY(const auto space, need_space(name));
    TRY(auto inside, kernel::RouteSocket::open_in(space.get()));
    const auto port = port_name(spec.pool_id);
    TRY(auto link, inside.link("zdb0"));
    TRY(auto end, here_->link(port));
    if (!link || !end) {
        if (end && is_ours(*end)) TRY_DO(here_->remove_link(end->index));
        if (link) TRY_DO(inside.remove_link(link->index));
        TRY(const auto bridge, here_->need_link("br-pub"));
        TRY_DO(claim(port));
        TRY_DO(here_->add_link(
            {.name = port,
             .kind = "veth",
             .mtu = mtu,
             .master = bridge.index,
             .peer = kernel::LinkSpec::Peer{
                 .name = "zdb0", .netns = space.get(), .mac = mac_of(spec.pool_id)}}));
        FP("network.zdb.link");
    }
    TRY(end, here_->need_link(port));
    TRY_DO(here_->set_alias(end->index, mark(spec.pool_id)));
    TRY_DO(kernel::write_net_sysctl("ipv6/conf/" + port + "/disable_ipv6", "1"));
    TRY_DO(here_->set_up(end->index, true));
    TRY(link, inside.need_link("zdb0"));
    TRY_DO(inside.set_alias(link->index, mark(spec.pool_id)));
    const auto prefix = node_prefix(spec_.node_id);
    TRY_DO(inside.set_addresses(
        link->index, {{record.inner, 24}, {zdb_ipv6(prefix, record.inner), 64}}));
    TRY_DO(inside.set_up(link->index, true));
    TRY_DO(inside.set_route(
        {*IpNetwork::parse("0.0.0.0/0"), IpAddress::parse("100.126.0.1"), link->index}));
    TRY_DO(inside.set_route(
        {*IpNetwork::parse("::/0"), zdb_ipv6(prefix, IpAddress::v4(1)), link->index}));
    FP("network.zdb.rules");
    TRY_DO(apply_host_rules());
    return zdb_facts(record);
}

Result<> HostPlane::remove_zdb(const std::string& pool_id)
{
    const auto name = zdb_namespace(pool_id);
    const auto record = load<ZdbRecord>(record_of(name));
    if (record && record->node_id != spec_.node_id) return {};
    if (!here_) return need_started();
    const auto port = port_name(pool_id);
    TRY(const auto end, here_->link(port));
    if (end && (is_ours(*end) || end->alias.empty())) TRY_DO(here_->remove_link(end->index));
    FP("network.zdb.unpin");
    TRY_DO(kernel::unpin_netns(pin(name)));
    TRY_DO(kernel::remove_file(record_of(name)));
    if (std::erase(record_.links, port) > 0) TRY_DO(save(host_record(), record_));
    return started_ && record ? apply_host_rules() : Result<>{};
}

}  // namespace znode::network
