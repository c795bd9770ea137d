#include "grid/workload.hpp"

#include "workload_tables.hpp"

namespace znode::grid {

template <>
struct Table<Zdb> {
    static constexpr std::array fields{
        field<&Zdb::size>("size"),
        field<&Zdb::mode>("mode"),
        field<&Zdb::password>("password"),
        field<&Zdb::disk_type>("disk_type"),
        field<&Zdb::is_public>("public"),
        field<&Zdb::stats_aggregator>("stats_aggregator")};
};

template <>
struct Table<NetworkConnection> {
    using T = NetworkConnection;
    static constexpr std::array fields{
        field<&T::network_id>("network_id"),
        field<&T::ipaddress>("ipaddress"),
        field<&T::public_ip6>("public_ip6"),
        field<&T::yggdrasil_ip>("yggdrasil_ip")};
};

template <>
struct Table<ContainerStats> {
    static constexpr std::array fields{
        field<&ContainerStats::type>("type"), field<&ContainerStats::data>("data")};
};

template <>
struct Table<LogTarget> {
    static constexpr std::array fields{
        field<&LogTarget::stdout_url>("stdout"),
        field<&LogTarget::stderr_url>("stderr"),
        field<&LogTarget::secret_stdout>("secret_stdout"),
        field<&LogTarget::secret_stderr>("secret_stderr")};
};

template <>
struct Table<ContainerLogs> {
    static constexpr std::array fields{
        field<&ContainerLogs::type>("type"), field<&ContainerLogs::data>("data")};
};

template <>
struct Table<ContainerCapacity> {
    using T = ContainerCapacity;
    static constexpr std::array fields{
        field<&T::cpu>("cpu"),
        field<&T::memory>("memory"),
        field<&T::disk_size>("disk_size"),
        field<&T::disk_type>("disk_type")};
};

template <>
struct Table<Container> {
    using T = Container;
    static constexpr std::array fields{
        field<&T::flist>("flist"),
        field<&T::hub_url>("hub_url"),
        field<&T::environment>("environment"),
        field<&T::secret_environment>("secret_environment"),
        field<&T::entrypoint>("entrypoint"),
        field<&T::interactive>("interactive"),
        field<&T::volumes>("volumes"),
        field<&T::network_connection>("network_connection"),
        field<&T::stats>("stats"),
        field<&T::logs>("logs"),
        field<&T::capacity>("capacity")};
};

template <>
struct Table<Volume> {
    static constexpr std::array fields{field<&Volume::size>("size"), field<&Volume::type>("type")};
};

template <>
struct Table<Kubernetes> {
    using T = Kubernetes;
    static constexpr std::array fields{
        field<&T::size>("size"),
        field<&T::cluster_secret>("cluster_secret"),
        field<&T::network_id>("network_id"),
        field<&T::ipaddress>("ipaddress"),
        field<&T::master_ips>("master_ips"),
        field<&T::ssh_keys>("ssh_keys"),
        field<&T::stats_aggregator>("stats_aggregator"),
        field<&T::public_ip>("public_ip"),
        field<&T::datastore_endpoint>("datastore_endpoint"),
        field<&T::disable_default_ingress>("disable_default_ingress")};
};

template <>
struct Table<Proxy> {
    static constexpr std::array fields{
        field<&Proxy::domain>("domain"),
        field<&Proxy::addr>("addr"),
        field<&Proxy::port>("port"),
        field<&Proxy::port_tls>("port_tls")};
};

template <>
struct Table<ReverseProxy> {
    static constexpr std::array fields{
        field<&ReverseProxy::domain>("domain"), field<&ReverseProxy::secret>("secret")};
};

template <>
struct Table<Subdomain> {
    static constexpr std::array fields{
        field<&Subdomain::domain>("domain"), field<&Subdomain::ips>("ips")};
};

template <>
struct Table<DomainDelegate> {
    static constexpr std::array fields{field<&DomainDelegate::domain>("domain")};
};

template <>
struct Table<Gateway4To6> {
    static constexpr std::array fields{field<&Gateway4To6::public_key>("public_key")};
};

template <>
struct Table<WireguardPeer> {
    using T = WireguardPeer;
    static constexpr std::array fields{
        field<&T::public_key>("public_key"),
        field<&T::endpoint>("endpoint"),
        field<&T::iprange>("iprange"),
        field<&T::allowed_iprange>("allowed_iprange")};
};

template <>
struct Table<NetworkResource> {
    using T = NetworkResource;
    static constexpr std::array fields{
        field<&T::name>("name"),
        field<&T::network_iprange>("network_iprange"),
        field<&T::wireguard_private_key_encrypted>("wireguard_private_key_encrypted"),
        field<&T::wireguard_public_key>("wireguard_public_key"),
        field<&T::wireguard_listen_port>("wireguard_listen_port"),
        field<&T::iprange>("iprange"),
        field<&T::peers>("peers"),
        field<&T::stats_aggregator>("stats_aggregator")};
};

template <>
struct Table<PublicIp> {
    static constexpr std::array fields{field<&PublicIp::ipaddress>("ipaddress")};
};

/// The common members; those of the type follow them at the same level.
template <>
struct Table<Workload> {
    using T = Workload;
    static constexpr std::array fields{
        field<&T::workload_id>("workload_id"),
        field<&T::node_id>("node_id"),
        field<&T::pool_id>("pool_id"),
        field<&T::reference>("reference"),
        field<&T::description>("description"),
        field<&T::signing_request_provision>("signing_request_provision"),
        field<&T::signing_request_delete>("signing_request_delete"),
        field<&T::id>("id"),
        field<&T::json>("json"),
        field<&T::customer_tid>("customer_tid"),
        field<&T::customer_signature>("customer_signature"),
        field<&T::next_action>("next_action"),
        field<&T::signatures_provision>("signatures_provision"),
        field<&T::signature_farmer>("signature_farmer"),
        field<&T::signatures_delete>("signatures_delete"),
        field<&T::epoch>("epoch"),
        field<&T::metadata>("metadata"),
        field<&T::result>("result"),
        field<&T::workload_type>("workload_type"),
        field<&T::version>("version")};
};

template <>
struct Codec<Workload> {
    static Result<> read(const json::Value& value, Workload& workload)
    {
        if (value.kind != json::Value::Kind::object && !value.is_null())
            return wrong_type("an object", value);
        if (const auto* type = value.find("workload_type")) {
            auto outcome = Codec<WorkloadType>::read(*type, workload.workload_type);
            if (!outcome) return tl::unexpected(std::move(outcome).error().during("workload_type"));
        }
        TRY(workload.data, data_of(workload.workload_type));

        for (const auto& member : value.members) {
            TRY(const bool common, read_member(member, workload));
            if (common) continue;
            auto typed =
                std::visit([&](auto& data) { return read_member(member, data); }, workload.data);
            if (!typed) return tl::unexpected(std::move(typed).error());
        }
        return {};
    }
    static void write(std::string& out, const Workload& workload)
    {
        out += '{';
        write_members(out, workload);
        std::visit([&](const auto& data) { write_members(out, data); }, workload.data);
        out += '}';
    }
};

template <>
struct Table<ZdbResult> {
    static constexpr std::array fields{
        field<&ZdbResult::name>("Namespace"),
        field<&ZdbResult::ips, Rule::omit_unset>("IPs"),
        field<&ZdbResult::ip, Rule::omit_unset>("IP"),
        field<&ZdbResult::port>("Port")};
};

template <>
struct Table<ContainerResult> {
    using T = ContainerResult;
    static constexpr std::array fields{
        field<&T::id>("id"),
        field<&T::ipv6>("ipv6"),
        field<&T::ipv4>("ipv4"),
        field<&T::yggdrasil, Rule::omit_unset>("yggdrasil")};
};

template <>
struct Table<VolumeResult> {
    static constexpr std::array fields{field<&VolumeResult::volume_id>("volume_id")};
};

template <>
struct Table<IpResult> {
    static constexpr std::array fields{field<&IpResult::id>("id"), field<&IpResult::ip>("ip")};
};

WorkloadType type_of(const Workload::Data& data) noexcept
{
    // In the order of the variant.
    static constexpr std::array types{
        WorkloadType::zdb,
        WorkloadType::container,
        WorkloadType::volume,
        WorkloadType::kubernetes,
        WorkloadType::proxy,
        WorkloadType::reverse_proxy,
        WorkloadType::subdomain,
        WorkloadType::domain_delegate,
        WorkloadType::gateway4to6,
        WorkloadType::network_resource,
        WorkloadType::public_ip};
    static_assert(types.size() == std::variant_size_v<Workload::Data>);
    return types[data.index()];
}

Result<Workload::Data> data_of(WorkloadType type)
{
    switch (type) {
        case WorkloadType::zdb:
            return Workload::Data{Zdb{}};
        case WorkloadType::container:
            return Workload::Data{Container{}};
        case WorkloadType::volume:
            return Workload::Data{Volume{}};
        case WorkloadType::kubernetes:
            return Workload::Data{Kubernetes{}};
        case WorkloadType::proxy:
            return Workload::Data{Proxy{}};
        case WorkloadType::reverse_proxy:
            return Workload::Data{ReverseProxy{}};
        case WorkloadType::subdomain:
            return Workload::Data{Subdomain{}};
        case WorkloadType::domain_delegate:
            return Workload::Data{DomainDelegate{}};
        case WorkloadType::gateway4to6:
            return Workload::Data{Gateway4To6{}};
        case WorkloadType::network_resource:
            return Workload::Data{NetworkResource{}};
        case WorkloadType::public_ip:
            return Workload::Data{PublicIp{}};
        case WorkloadType::network:
            break;
    }
    return fail(
        Errc::invalid,
        "workload_type " + std::to_string(static_cast<unsigned>(type)) + " is unknown");
}

void accept_created(Workload& workload, std::int64_t id, Date now)
{
    for (auto* request : {&workload.signing_request_provision, &workload.signing_request_delete}) {
        if (request->signers.is_null()) request->signers = List<std::int64_t>::none();
    }
    workload.signatures_provision = List<SigningSignature>::none();
    workload.signatures_delete = List<SigningSignature>::none();
    workload.signature_farmer = {.tid = 0, .signature = {}, .epoch = {}};
    workload.result = {};
    workload.id = id;
    workload.version = 2;
    workload.epoch = now;
}

WorkloadType category_of(WorkloadType type) noexcept
{
    return type == WorkloadType::network_resource ? WorkloadType::network : type;
}

std::string result_signing_bytes(
    ResultState state, std::string_view message, std::string_view data_bytes)
{
    std::string bytes(1, static_cast<char>(state));
    bytes += message;
    bytes += data_bytes.empty() ? std::string_view{"null"} : data_bytes;
    return bytes;
}

std::string result_signing_bytes(const WorkloadResult& result)
{
    return result_signing_bytes(result.state, result.message, result.data.text);
}

ZNODE_DOCUMENT(Workload);
ZNODE_DOCUMENT(WorkloadResult);
ZNODE_DOCUMENT(SigningSignature);
ZNODE_DOCUMENT(ZdbResult);
ZNODE_DOCUMENT(ContainerResult);
ZNODE_DOCUMENT(VolumeResult);
ZNODE_DOCUMENT(IpResult);

}  // namespace znode::grid
