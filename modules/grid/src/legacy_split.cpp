// A reservation of the first era cut into workloads, and those told in the words of the later one.

#include <algorithm>
#include <limits>

#include "base/text.hpp"
#include "grid/legacy.hpp"

namespace znode::grid::legacy {
namespace {

/// The original's default for a container that says nothing of its size.
constexpr std::int64_t default_cpus = 1;
constexpr std::int64_t default_memory_mib = 1024;

ReservationWorkload entry_of(
    const Reservation& reservation, WorkloadType type, std::int64_t workload_id)
{
    ReservationWorkload entry;
    entry.workload_id = Gwid{reservation.id, workload_id}.text();
    entry.user = std::to_string(reservation.customer_tid);
    entry.type = type;
    entry.created = reservation.epoch;
    if (__builtin_sub_overflow(
            reservation.data.expiration_reservation.unix, reservation.epoch.unix, &entry.duration))
        entry.duration = reservation.epoch.unix < 0 ? std::numeric_limits<std::int64_t>::max()
                                                    : std::numeric_limits<std::int64_t>::min();
    entry.to_delete = reservation.next_action == NextAction::remove ||
                      reservation.next_action == NextAction::deleted;
    return entry;
}

template <class T>
void add_all(
    std::vector<ReservationWorkload>& entries,
    const Reservation& reservation,
    std::string_view node_id,
    WorkloadType type,
    const List<T>& list)
{
    for (const auto& item : list) {
        if (!node_id.empty() && item.node_id != node_id) continue;
        auto& entry = entries.emplace_back(entry_of(reservation, type, item.workload_id));
        entry.node_id = item.node_id;
        entry.content = item;
    }
}

std::int64_t or_default(std::int64_t number, std::int64_t otherwise)
{
    return number == 0 || number == unset_number ? otherwise : number;
}

// One function per type.

Result<Workload::Data> data_of(const std::monostate&, std::string_view)
{
    return fail(Errc::invalid, "member content is missing");
}
Result<Workload::Data> data_of(const Zdb& from, std::string_view)
{
    grid::Zdb data;
    data.size = from.size;
    data.mode = from.mode;
    data.password = from.password;
    data.disk_type = from.disk_type;
    data.is_public = from.is_public;
    data.stats_aggregator = from.stats_aggregator;
    return data;
}
Result<Workload::Data> data_of(const Container& from, std::string_view)
{
    grid::Container data;
    data.flist = from.flist;
    data.hub_url = from.hub_url;
    data.environment = from.environment;
    data.secret_environment = from.secret_environment;
    data.entrypoint = from.entrypoint;
    data.interactive = from.interactive;
    data.volumes = from.volumes;
    for (const auto& connection : from.network_connection) {
        NetworkConnection known;
        known.network_id = connection.network_id;
        known.ipaddress = connection.ipaddress;
        known.public_ip6 = connection.public_ip6;
        data.network_connection.push_back(std::move(known));
    }
    for (const auto& log : from.logs) {
        ContainerLogs known;
        known.type = log.type;
        known.data.stdout_url = log.data.stdout_url;
        known.data.stderr_url = log.data.stderr_url;
        data.logs.push_back(std::move(known));
    }
    data.capacity.cpu = or_default(from.capacity.cpu, default_cpus);
    data.capacity.memory = or_default(from.capacity.memory, default_memory_mib);
    data.capacity.disk_type = DiskType::ssd;
    return data;
}
Result<Workload::Data> data_of(const Volume& from, std::string_view)
{
    return grid::Volume{from.size, from.type};
}
Result<Workload::Data> data_of(const Network& from, std::string_view node_id)
{
    const auto own = std::ranges::find(
        from.network_resources, node_id, [](const NetworkResource& resource) -> std::string_view {
            return resource.node_id;
        });
    if (own == from.network_resources.end())
        return fail(
            Errc::invalid,
            "network " + printable(from.name) + " has no network_resources entry for this node");
    grid::NetworkResource data;
    data.name = from.name;
    data.network_iprange = from.iprange;
    data.wireguard_private_key_encrypted = own->wireguard_private_key_encrypted;
    data.wireguard_public_key = own->wireguard_public_key;
    data.wireguard_listen_port = own->wireguard_listen_port;
    data.iprange = own->iprange;
    data.peers = List<WireguardPeer>::none();
    for (const auto& peer : own->peers) {
        WireguardPeer known;
        known.public_key = peer.public_key;
        known.endpoint = peer.endpoint;
        known.iprange = peer.iprange;
        known.allowed_iprange = peer.allowed_iprange;
        data.peers.push_back(std::move(known));
    }
    data.stats_aggregator = from.stats_aggregator;
    return data;
}
Result<Workload::Data> data_of(const Kubernetes& from, std::string_view)
{
    grid::Kubernetes data;
    data.size = from.size;
    data.cluster_secret = from.cluster_secret;
    data.network_id = from.network_id;
    data.ipaddress = from.ipaddress;
    data.master_ips = from.master_ips;
    data.ssh_keys = from.ssh_keys;
    data.stats_aggregator = from.stats_aggregator;
    return data;
}
Result<Workload::Data> data_of(const Proxy& from, std::string_view)
{
    return grid::Proxy{from.domain, from.addr, from.port, from.port_tls};
}
Result<Workload::Data> data_of(const ReverseProxy& from, std::string_view)
{
    return grid::ReverseProxy{from.domain, from.secret};
}
Result<Workload::Data> data_of(const Subdomain& from, std::string_view)
{
    return grid::Subdomain{from.domain, from.ips};
}
Result<Workload::Data> data_of(const DomainDelegate& from, std::string_view)
{
    return grid::DomainDelegate{from.domain};
}
Result<Workload::Data> data_of(const Gateway4To6& from, std::string_view)
{
    return grid::Gateway4To6{from.public_key};
}

}  // namespace

std::string sign_text(const Reservation& reservation)
{
    return std::to_string(reservation.id) + reservation.json;
}

std::vector<ReservationWorkload> split(const Reservation& reservation, std::string_view node_id)
{
    std::vector<ReservationWorkload> entries;
    const auto& data = reservation.data;
    const auto add = [&](WorkloadType type, const auto& list) {
        add_all(entries, reservation, node_id, type, list);
    };
    add(WorkloadType::container, data.containers);
    add(WorkloadType::volume, data.volumes);
    add(WorkloadType::zdb, data.zdbs);
    add(WorkloadType::kubernetes, data.kubernetes);
    add(WorkloadType::proxy, data.proxies);
    add(WorkloadType::reverse_proxy, data.reserve_proxies);
    add(WorkloadType::subdomain, data.subdomains);
    add(WorkloadType::domain_delegate, data.domain_delegates);
    add(WorkloadType::gateway4to6, data.gateway4to6);
    for (const auto& network : data.networks)
        for (const auto& resource : network.network_resources) {
            if (!node_id.empty() && resource.node_id != node_id) continue;
            auto& entry = entries.emplace_back(
                entry_of(reservation, WorkloadType::network, network.workload_id));
            entry.node_id = resource.node_id;
            entry.content = network;
        }
    return entries;
}

Result<Workload> to_workload(const ReservationWorkload& entry, std::string_view node_id)
{
    TRY(const auto gwid, Gwid::parse(entry.workload_id));
    const auto user = to_number<std::int64_t>(entry.user);
    if (!user)
        return fail(
            Errc::invalid, "member user must be a number, not " + printable(entry.user, 40));
    Workload workload;
    workload.id = gwid.id;
    workload.workload_id = gwid.workload_id;
    workload.node_id = entry.node_id;
    workload.customer_tid = *user;
    workload.customer_signature = entry.signature;
    workload.next_action = entry.to_delete ? NextAction::remove : NextAction::deploy;
    workload.epoch = entry.created;
    workload.version = 0;
    TRY(workload.data,
        std::visit([&](const auto& content) { return data_of(content, node_id); }, entry.content));
    workload.workload_type = type_of(workload.data);
    return workload;
}

UsedReport used_of(const grid::UsedReport& used)
{
    UsedReport whole;
    whole.cru = static_cast<std::int64_t>(used.resources.cru);
    whole.mru = static_cast<std::int64_t>(used.resources.mru);
    whole.hru = static_cast<std::int64_t>(used.resources.hru);
    whole.sru = static_cast<std::int64_t>(used.resources.sru);
    whole.workloads = used.workloads;
    return whole;
}

}  // namespace znode::grid::legacy
