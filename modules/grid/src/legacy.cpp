#include "grid/legacy.hpp"

#include "base/text.hpp"
#include "node_tables.hpp"
#include "workload_tables.hpp"

namespace znode::grid {

using legacy::GatewayPart;

template <>
struct Table<legacy::Connection> {
    using T = legacy::Connection;
    static constexpr std::array fields{
        field<&T::network_id>("network_id"),
        field<&T::ipaddress>("ipaddress"),
        field<&T::public_ip6>("public_ip6")};
};

template <>
struct Table<legacy::LogTarget> {
    using T = legacy::LogTarget;
    static constexpr std::array fields{
        field<&T::stdout_url>("stdout"), field<&T::stderr_url>("stderr")};
};

template <>
struct Table<legacy::Logs> {
    using T = legacy::Logs;
    static constexpr std::array fields{field<&T::type>("type"), field<&T::data>("data")};
};

template <>
struct Table<legacy::Capacity> {
    using T = legacy::Capacity;
    static constexpr std::array fields{field<&T::cpu>("cpu"), field<&T::memory>("memory")};
};

template <>
struct Table<legacy::Container> {
    using T = legacy::Container;
    static constexpr std::array fields{
        field<&T::workload_id>("workload_id"),
        field<&T::node_id>("node_id"),
        field<&T::flist>("flist"),
        field<&T::hub_url>("hub_url"),
        field<&T::environment>("environment"),
        field<&T::secret_environment>("secret_environment"),
        field<&T::entrypoint>("entrypoint"),
        field<&T::interactive>("interactive"),
        field<&T::volumes>("volumes"),
        field<&T::network_connection>("network_connection"),
        field<&T::stats_aggregator>("stats_aggregator"),
        field<&T::logs>("logs"),
        field<&T::farmer_tid>("farmer_tid"),
        field<&T::capacity>("capacity")};
};

template <>
struct Table<legacy::Volume> {
    using T = legacy::Volume;
    static constexpr std::array fields{
        field<&T::workload_id>("workload_id"),
        field<&T::node_id>("node_id"),
        field<&T::size>("size"),
        field<&T::type>("type"),
        field<&T::stats_aggregator>("stats_aggregator"),
        field<&T::farmer_tid>("farmer_tid")};
};

template <>
struct Table<legacy::Zdb> {
    using T = legacy::Zdb;
    static constexpr std::array fields{
        field<&T::workload_id>("workload_id"),
        field<&T::node_id>("node_id"),
        field<&T::size>("size"),
        field<&T::mode>("mode"),
        field<&T::password>("password"),
        field<&T::disk_type>("disk_type"),
        field<&T::is_public>("public"),
        field<&T::stats_aggregator>("stats_aggregator"),
        field<&T::farmer_tid>("farmer_tid")};
};

template <>
struct Table<legacy::Peer> {
    using T = legacy::Peer;
    static constexpr std::array fields{
        field<&T::public_key>("public_key"),
        field<&T::allowed_iprange>("allowed_iprange"),
        field<&T::endpoint>("endpoint"),
        field<&T::iprange>("iprange")};
};

template <>
struct Table<legacy::NetworkResource> {
    using T = legacy::NetworkResource;
    static constexpr std::array fields{
        field<&T::node_id>("node_id"),
        field<&T::wireguard_private_key_encrypted>("wireguard_private_key_encrypted"),
        field<&T::wireguard_public_key>("wireguard_public_key"),
        field<&T::wireguard_listen_port>("wireguard_listen_port"),
        field<&T::iprange>("iprange"),
        field<&T::peers>("peers")};
};

template <>
struct Table<legacy::Network> {
    using T = legacy::Network;
    static constexpr std::array fields{
        field<&T::name>("name"),
        field<&T::workload_id>("workload_id"),
        field<&T::iprange>("iprange"),
        field<&T::stats_aggregator>("stats_aggregator"),
        field<&T::network_resources>("network_resources"),
        field<&T::farmer_tid>("farmer_tid")};
};

template <>
struct Table<legacy::Kubernetes> {
    using T = legacy::Kubernetes;
    static constexpr std::array fields{
        field<&T::workload_id>("workload_id"),
        field<&T::node_id>("node_id"),
        field<&T::size>("size"),
        field<&T::network_id>("network_id"),
        field<&T::ipaddress>("ipaddress"),
        field<&T::cluster_secret>("cluster_secret"),
        field<&T::master_ips>("master_ips"),
        field<&T::ssh_keys>("ssh_keys"),
        field<&T::stats_aggregator>("stats_aggregator"),
        field<&T::farmer_tid>("farmer_tid")};
};

/// A member that T has from GatewayPart.
template <class T, auto Member>
constexpr Field<T> shared(std::string_view name)
{
    using M = typename MemberTraits<decltype(Member)>::Type;
    return {
        name,
        Rule::plain,
        [](const json::Value& value, T& object) { return Codec<M>::read(value, object.*Member); },
        [](std::string& out, const T& object) { Codec<M>::write(out, object.*Member); },
        [](const T&) { return false; }};
}
template <class T, class... Own>
constexpr std::array<Field<T>, sizeof...(Own) + 3> gateway_fields(Own... own)
{
    return {
        shared<T, &GatewayPart::id>("id"),
        shared<T, &GatewayPart::workload_id>("workload_id"),
        shared<T, &GatewayPart::node_id>("node_id"),
        own...};
}

template <>
struct Table<legacy::Proxy> {
    using T = legacy::Proxy;
    static constexpr auto fields = gateway_fields<T>(
        field<&T::domain>("domain"),
        field<&T::addr>("addr"),
        field<&T::port>("port"),
        field<&T::port_tls>("port_tls"));
};

template <>
struct Table<legacy::ReverseProxy> {
    using T = legacy::ReverseProxy;
    static constexpr auto fields =
        gateway_fields<T>(field<&T::domain>("domain"), field<&T::secret>("secret"));
};

template <>
struct Table<legacy::Subdomain> {
    using T = legacy::Subdomain;
    static constexpr auto fields =
        gateway_fields<T>(field<&T::domain>("domain"), field<&T::ips>("ips"));
};

template <>
struct Table<legacy::DomainDelegate> {
    using T = legacy::DomainDelegate;
    static constexpr auto fields = gateway_fields<T>(field<&T::domain>("domain"));
};

template <>
struct Table<legacy::Gateway4To6> {
    using T = legacy::Gateway4To6;
    static constexpr auto fields = gateway_fields<T>(field<&T::public_key>("public_key"));
};

template <>
struct Table<legacy::ReservationData> {
    using T = legacy::ReservationData;
    static constexpr std::array fields{
        field<&T::description>("description"),
        field<&T::currencies>("currencies"),
        field<&T::signing_request_provision>("signing_request_provision"),
        field<&T::signing_request_delete>("signing_request_delete"),
        field<&T::containers>("containers"),
        field<&T::volumes>("volumes"),
        field<&T::zdbs>("zdbs"),
        field<&T::networks>("networks"),
        field<&T::kubernetes>("kubernetes"),
        field<&T::proxies>("proxies"),
        field<&T::reserve_proxies>("reserve_proxies"),
        field<&T::subdomains>("subdomains"),
        field<&T::domain_delegates>("domain_delegates"),
        field<&T::gateway4to6>("gateway4to6"),
        field<&T::expiration_provisioning>("expiration_provisioning"),
        field<&T::expiration_reservation>("expiration_reservation")};
};

template <>
struct Table<legacy::Reservation> {
    using T = legacy::Reservation;
    static constexpr std::array fields{
        field<&T::id>("id"),
        field<&T::json>("json"),
        field<&T::data>("data_reservation"),
        field<&T::customer_tid>("customer_tid"),
        field<&T::customer_signature>("customer_signature"),
        field<&T::next_action>("next_action"),
        field<&T::signatures_provision>("signatures_provision"),
        field<&T::signatures_farmer>("signatures_farmer"),
        field<&T::signatures_delete>("signatures_delete"),
        field<&T::epoch>("epoch"),
        field<&T::metadata>("metadata"),
        field<&T::results>("results")};
};

/// Reads into the alternative that the entry's type has chosen.
template <>
struct Codec<legacy::Content> {
    static Result<> read(const json::Value& value, legacy::Content& into)
    {
        if (value.is_null()) {
            into = std::monostate{};
            return {};
        }
        return std::visit([&](auto& content) { return read_as(value, content); }, into);
    }
    static void write(std::string& out, const legacy::Content& from)
    {
        std::visit([&](const auto& content) { write_as(out, content); }, from);
    }

private:
    static Result<> read_as(const json::Value&, std::monostate&) { return {}; }
    template <class T>
    static Result<> read_as(const json::Value& value, T& content)
    {
        return Codec<T>::read(value, content);
    }
    static void write_as(std::string& out, const std::monostate&) { out += "null"; }
    template <class T>
    static void write_as(std::string& out, const T& content)
    {
        Codec<T>::write(out, content);
    }
};

template <>
struct Table<legacy::ReservationWorkload> {
    using T = legacy::ReservationWorkload;
    static constexpr std::array fields{
        field<&T::workload_id>("workload_id"),
        field<&T::user>("user"),
        field<&T::type>("type"),
        field<&T::content>("content"),
        field<&T::created>("created"),
        field<&T::duration>("duration"),
        field<&T::signature>("signature"),
        field<&T::to_delete>("to_delete"),
        field<&T::node_id>("node_id"),
        field<&T::result, Rule::omit_unset>("result")};
};

namespace {

Result<legacy::Content> content_of(WorkloadType type)
{
    switch (type) {
        case WorkloadType::zdb:
            return legacy::Zdb{};
        case WorkloadType::container:
            return legacy::Container{};
        case WorkloadType::volume:
            return legacy::Volume{};
        case WorkloadType::network:
            return legacy::Network{};
        case WorkloadType::kubernetes:
            return legacy::Kubernetes{};
        case WorkloadType::proxy:
            return legacy::Proxy{};
        case WorkloadType::reverse_proxy:
            return legacy::ReverseProxy{};
        case WorkloadType::subdomain:
            return legacy::Subdomain{};
        case WorkloadType::domain_delegate:
            return legacy::DomainDelegate{};
        case WorkloadType::gateway4to6:
            return legacy::Gateway4To6{};
        case WorkloadType::network_resource:
        case WorkloadType::public_ip:
            break;
    }
    return fail(
        Errc::invalid, "type " + std::to_string(static_cast<unsigned>(type)) + " is unknown");
}

}  // namespace

template <>
struct Codec<legacy::ReservationWorkload> {
    using T = legacy::ReservationWorkload;
    static Result<> read(const json::Value& value, T& entry)
    {
        if (value.kind != json::Value::Kind::object) return wrong_type("an object", value);
        if (const auto* type = value.find("type")) {
            auto outcome = Codec<WorkloadType>::read(*type, entry.type);
            if (!outcome) return tl::unexpected(std::move(outcome).error().during("type"));
        }
        TRY(entry.content, content_of(entry.type));
        for (const auto& member : value.members) TRY_DO(read_member(member, entry));
        return {};
    }
    static void write(std::string& out, const T& entry)
    {
        out += '{';
        write_members(out, entry);
        out += '}';
    }
};

template <>
struct Table<legacy::UsedReport> {
    using T = legacy::UsedReport;
    using W = WorkloadAmount;
    static constexpr std::array fields{
        field<&T::cru>("cru"),
        field<&T::mru>("mru"),
        field<&T::hru>("hru"),
        field<&T::sru>("sru"),
        nested<&T::workloads, &W::network>("network"),
        nested<&T::workloads, &W::volume>("volume"),
        nested<&T::workloads, &W::zdb_namespace>("zdb_namespace"),
        nested<&T::workloads, &W::container>("container"),
        nested<&T::workloads, &W::k8s_vm>("k8s_vm"),
        nested<&T::workloads, &W::proxy>("proxy"),
        nested<&T::workloads, &W::reverse_proxy>("reverse_proxy"),
        nested<&T::workloads, &W::subdomain>("subdomain"),
        nested<&T::workloads, &W::delegate_domain>("delegate_domain")};
};

namespace legacy {

Result<std::int64_t> created_id(std::string_view body)
{
    TRY(const auto value, json::parse(body));
    const auto* number =
        value.kind == json::Value::Kind::object ? value.find("reservation_id") : &value;
    if (number == nullptr || number->kind != json::Value::Kind::number)
        return fail(Errc::invalid, "answer names no reservation: " + printable(body, 100));
    return from_json<std::int64_t>(*number);
}

}  // namespace legacy

ZNODE_DOCUMENT(legacy::Zdb);
ZNODE_DOCUMENT(legacy::Container);
ZNODE_DOCUMENT(legacy::Volume);
ZNODE_DOCUMENT(legacy::Network);
ZNODE_DOCUMENT(legacy::Kubernetes);
ZNODE_DOCUMENT(legacy::Proxy);
ZNODE_DOCUMENT(legacy::ReverseProxy);
ZNODE_DOCUMENT(legacy::Subdomain);
ZNODE_DOCUMENT(legacy::DomainDelegate);
ZNODE_DOCUMENT(legacy::Gateway4To6);
ZNODE_DOCUMENT(legacy::ReservationData);
ZNODE_DOCUMENT(legacy::Reservation);
ZNODE_DOCUMENT(legacy::ReservationWorkload);
ZNODE_DOCUMENT(legacy::UsedReport);

}  // namespace znode::grid
