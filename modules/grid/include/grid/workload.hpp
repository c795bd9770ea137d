#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "grid/result.hpp"
#include "grid/scalars.hpp"

namespace znode::grid {

struct SigningRequest {
    List<std::int64_t> signers;
    std::int64_t quorum_min = 0;
};

/// Also the body of sign/delete and sign/provision.
struct SigningSignature {
    std::int64_t tid = 0;
    std::string signature;  ///< Hex.
    Date epoch;
};

struct Zdb {
    std::int64_t size = 0;  ///< GiB
    ZdbMode mode = ZdbMode::seq;
    std::string password;  ///< Encrypted, hex; "" for none.
    DiskType disk_type = DiskType::hdd;
    bool is_public = false;
    List<RawJson> stats_aggregator;
};

struct ContainerMount {
    std::string volume_id;
    std::string mountpoint;
};
struct NetworkConnection {
    std::string network_id;  ///< The network's name.
    Ip ipaddress;
    bool public_ip6 = false;
    bool yggdrasil_ip = false;
};
struct ContainerStats {
    std::string type;
    RawJson data;
};
struct LogTarget {
    std::string stdout_url;
    std::string stderr_url;
    std::string secret_stdout;  ///< Encrypted, hex.
    std::string secret_stderr;
};
struct ContainerLogs {
    std::string type;  ///< "redis"
    LogTarget data;
};
struct ContainerCapacity {
    std::int64_t cpu = 0;
    std::int64_t memory = 0;      ///< MiB
    std::uint64_t disk_size = 0;  ///< MiB; 0: default
    DiskType disk_type = DiskType::hdd;
};
struct Container {
    std::string flist;
    std::string hub_url;
    std::map<std::string, std::string> environment;
    std::map<std::string, std::string> secret_environment;  ///< Values encrypted, hex.
    std::string entrypoint;
    bool interactive = false;
    List<ContainerMount> volumes;
    List<NetworkConnection> network_connection;
    List<ContainerStats> stats;
    List<ContainerLogs> logs;
    ContainerCapacity capacity;
};

struct Volume {
    std::int64_t size = 0;  ///< GiB
    DiskType type = DiskType::hdd;
};

struct Kubernetes {
    std::int64_t size = 0;
    std::string cluster_secret;
    std::string network_id;
    Ip ipaddress;
    List<Ip> master_ips;
    List<std::string> ssh_keys;
    List<RawJson> stats_aggregator;
    std::int64_t public_ip = 0;
    std::string datastore_endpoint;
    bool disable_default_ingress = false;
};

struct Proxy {
    std::string domain;
    std::string addr;
    std::uint32_t port = 0;
    std::uint32_t port_tls = 0;
};
struct ReverseProxy {
    std::string domain;
    std::string secret;
};
struct Subdomain {
    std::string domain;
    List<std::string> ips;
};
struct DomainDelegate {
    std::string domain;
};
struct Gateway4To6 {
    std::string public_key;
};

struct WireguardPeer {
    std::string public_key;  ///< base64
    std::string endpoint;    ///< "host:port", or "" for one behind NAT and for laptops.
    IpRange iprange;
    List<IpRange> allowed_iprange;
};
struct NetworkResource {
    std::string name;
    IpRange network_iprange;
    std::string wireguard_private_key_encrypted;  ///< Sealed box, hex, in every version.
    std::string wireguard_public_key;             ///< base64
    std::int64_t wireguard_listen_port = 0;
    IpRange iprange;
    List<WireguardPeer> peers;
    List<RawJson> stats_aggregator;
};

struct PublicIp {
    IpRange ipaddress;
};

/// One reservation of the pools era: what a customer signed, what the explorer added, and the
/// node's result.
struct Workload {
    using Data = std::variant<
        Zdb,
        Container,
        Volume,
        Kubernetes,
        Proxy,
        ReverseProxy,
        Subdomain,
        DomainDelegate,
        Gateway4To6,
        NetworkResource,
        PublicIp>;

    std::int64_t workload_id = 0;
    std::string node_id;
    std::int64_t pool_id = 0;
    std::string reference;
    std::string description;
    SigningRequest signing_request_provision;
    SigningRequest signing_request_delete;
    std::int64_t id = 0;
    std::string json;
    std::int64_t customer_tid = 0;
    std::string customer_signature;
    NextAction next_action = NextAction::create;
    List<SigningSignature> signatures_provision;
    SigningSignature signature_farmer;
    List<SigningSignature> signatures_delete;
    Date epoch;
    std::string metadata;
    WorkloadResult result;
    WorkloadType workload_type = WorkloadType::zdb;
    std::int64_t version = 0;
    Data data;

    Gwid gwid() const { return {id, workload_id}; }
};

/// The type that goes with the data, whatever the member `workload_type` says.
WorkloadType type_of(const Workload::Data& data) noexcept;
/// Zero data of a type. Errc::invalid for a type that has no document (3, and above 11).
Result<Workload::Data> data_of(WorkloadType type);

/// Makes out of a customer's request what an explorer stores: signatures and result emptied,
/// signing requests present, id, version 2 and the server's time set.
void accept_created(Workload& workload, std::int64_t id, Date now);

}  // namespace znode::grid
