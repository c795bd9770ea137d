#pragma once
// The documents of the first era (spring 2020): one reservation holds lists of workloads, is signed
// as a whole, and ends by itself.
//
// Clients of that era write 2147483647 for a number that is not set; it is read as any other
// number, and whoever acts on it decides.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "grid/node.hpp"
#include "grid/result.hpp"
#include "grid/scalars.hpp"
#include "grid/workload.hpp"

namespace znode::grid::legacy {

inline constexpr std::int64_t unset_number = 2147483647;

struct Connection {
    std::string network_id;  ///< The network's name.
    Ip ipaddress;
    bool public_ip6 = false;
};
struct LogTarget {
    std::string stdout_url;
    std::string stderr_url;
};
struct Logs {
    std::string type;  ///< "redis"
    LogTarget data;
};
struct Capacity {
    std::int64_t cpu = 0;
    std::int64_t memory = 0;  ///< MiB
};
struct Container {
    std::int64_t workload_id = 0;
    std::string node_id;
    std::string flist;
    std::string hub_url;
    std::map<std::string, std::string> environment;
    std::map<std::string, std::string> secret_environment;  ///< Sealed boxes, hex.
    std::string entrypoint;
    bool interactive = false;
    List<ContainerMount> volumes;
    List<Connection> network_connection;
    List<RawJson> stats_aggregator;
    List<Logs> logs;
    std::int64_t farmer_tid = 0;
    Capacity capacity;
};

struct Volume {
    std::int64_t workload_id = 0;
    std::string node_id;
    std::int64_t size = 0;  ///< GiB
    DiskType type = DiskType::hdd;
    List<RawJson> stats_aggregator;
    std::int64_t farmer_tid = 0;
};

struct Zdb {
    std::int64_t workload_id = 0;
    std::string node_id;
    std::int64_t size = 0;  ///< GiB
    ZdbMode mode = ZdbMode::seq;
    std::string password;  ///< Sealed box, hex; "" for none.
    DiskType disk_type = DiskType::hdd;
    bool is_public = false;
    List<RawJson> stats_aggregator;
    std::int64_t farmer_tid = 0;
};

struct Peer {
    std::string public_key;  ///< base64
    List<IpRange> allowed_iprange;
    std::string endpoint;
    IpRange iprange;
};
struct NetworkResource {
    std::string node_id;
    std::string wireguard_private_key_encrypted;  ///< Sealed box, hex.
    std::string wireguard_public_key;             ///< base64
    std::int64_t wireguard_listen_port = 0;
    IpRange iprange;
    List<Peer> peers;
};
/// The whole network; each of its nodes gets all of it and picks its own resource.
struct Network {
    std::string name;
    std::int64_t workload_id = 0;
    IpRange iprange;
    List<RawJson> stats_aggregator;
    List<NetworkResource> network_resources;
    std::int64_t farmer_tid = 0;
};

struct Kubernetes {
    std::int64_t workload_id = 0;
    std::string node_id;
    std::int64_t size = 0;
    std::string network_id;
    Ip ipaddress;
    std::string cluster_secret;
    List<Ip> master_ips;
    List<std::string> ssh_keys;
    List<RawJson> stats_aggregator;
    std::int64_t farmer_tid = 0;
};

/// What the gateways' objects have in common.
struct GatewayPart {
    std::int64_t id = 0;
    std::int64_t workload_id = 0;
    std::string node_id;
};
struct Proxy : GatewayPart {
    std::string domain;
    std::string addr;
    std::uint32_t port = 0;
    std::uint32_t port_tls = 0;
};
struct ReverseProxy : GatewayPart {
    std::string domain;
    std::string secret;
};
struct Subdomain : GatewayPart {
    std::string domain;
    List<std::string> ips;
};
struct DomainDelegate : GatewayPart {
    std::string domain;
};
struct Gateway4To6 : GatewayPart {
    std::string public_key;
};

struct ReservationData {
    std::string description;
    List<std::string> currencies;
    SigningRequest signing_request_provision;
    SigningRequest signing_request_delete;
    List<Container> containers;
    List<Volume> volumes;
    List<Zdb> zdbs;
    List<Network> networks;
    List<Kubernetes> kubernetes;
    List<Proxy> proxies;
    List<ReverseProxy> reserve_proxies;
    List<Subdomain> subdomains;
    List<DomainDelegate> domain_delegates;
    List<Gateway4To6> gateway4to6;
    Date expiration_provisioning;
    Date expiration_reservation;
};

struct Reservation {
    std::int64_t id = 0;
    /// The text of the data as the client made it: these bytes are signed, so they are kept.
    std::string json;
    ReservationData data;
    std::int64_t customer_tid = 0;
    std::string customer_signature;
    NextAction next_action = NextAction::create;
    List<SigningSignature> signatures_provision;
    List<SigningSignature> signatures_farmer;
    List<SigningSignature> signatures_delete;
    Date epoch;
    std::string metadata;
    List<WorkloadResult> results;
};

using Content = std::variant<
    std::monostate,
    Container,
    Volume,
    Zdb,
    Network,
    Kubernetes,
    Proxy,
    ReverseProxy,
    Subdomain,
    DomainDelegate,
    Gateway4To6>;

/// One entry of a node's page of work.
struct ReservationWorkload {
    std::string workload_id;  ///< The gwid.
    std::string user;         ///< The customer's id, decimal.
    WorkloadType type = WorkloadType::zdb;
    Content content;  ///< Of the type; nothing when it is null.
    Date created;
    std::int64_t duration = 0;  ///< Seconds from `created` to the end.
    std::string signature;      ///< Always "".
    bool to_delete = false;
    std::string node_id;
    /// Only in the answer to a question for one workload: at most one result.
    std::optional<List<WorkloadResult>> result;
};

/// Amounts of the heart-beat: whole numbers only.
struct UsedReport {
    std::int64_t cru = 0;
    std::int64_t mru = 0;
    std::int64_t hru = 0;
    std::int64_t sru = 0;
    WorkloadAmount workloads;
};
/// Fractions are dropped.
UsedReport used_of(const grid::UsedReport& used);

/// What the customer signs to create: the text itself, no hash.
inline const std::string& create_text(const Reservation& reservation) { return reservation.json; }
/// What is signed (no hash) to end a reservation, and to consent to it: its id and its text.
std::string sign_text(const Reservation& reservation);

/// The reservation's workloads in the order of the originals, for one node or (empty `node_id`) for
/// all. A network gives one entry per resource, all with the same gwid and the whole network.
std::vector<ReservationWorkload> split(const Reservation& reservation, std::string_view node_id);

/// The same wish in the words of the later era, as the node carries it out: secrets of version 0,
/// of a network the node's own resource, for a container that names no capacity 1 CPU and 1 GiB.
/// Errc::invalid: the gwid or the user is no number, or the network has no resource for this node.
Result<Workload> to_workload(const ReservationWorkload& entry, std::string_view node_id);

/// The answer to a new reservation: `9012`, or `{"reservation_id": 9012, …}`.
Result<std::int64_t> created_id(std::string_view body);

}  // namespace znode::grid::legacy
