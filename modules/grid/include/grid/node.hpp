#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "grid/scalars.hpp"

namespace znode::grid {

struct Location {
    std::string city;
    std::string country;
    std::string continent;
    double latitude = 0;
    double longitude = 0;
};

/// Of a machine: logical CPUs, and GiB of memory, HDD and SSD.
struct ResourceAmount {
    std::uint64_t cru = 0;
    double mru = 0;
    double hru = 0;
    double sru = 0;
};

struct WorkloadAmount {
    std::uint16_t network = 0;
    std::uint16_t network_resource = 0;
    std::uint16_t volume = 0;
    std::uint16_t zdb_namespace = 0;
    std::uint16_t container = 0;
    std::uint16_t k8s_vm = 0;
    std::uint16_t proxy = 0;
    std::uint16_t reverse_proxy = 0;
    std::uint16_t subdomain = 0;
    std::uint16_t delegate_domain = 0;
};

/// Body of POST nodes/{id}/interfaces is a list of these.
struct Interface {
    std::string name;
    List<IpRange> addrs;
    List<Ip> gateway;
    Mac macaddress;
};

/// Also the body of POST nodes/{id}/configure_public.
struct PublicConfig {
    std::string master;
    std::uint8_t type = 0;  ///< 0 macvlan, 1 vlan
    IpRange ipv4;
    IpRange ipv6;
    Ip gw4;
    Ip gw6;
    std::int64_t version = 0;
};

struct Node {
    std::int64_t id = 0;
    std::string node_id;
    std::string hostname;
    std::string node_id_v1;
    std::int64_t farm_id = 0;
    std::string os_version;
    Date created;
    Date updated;
    std::int64_t uptime = 0;  ///< Seconds.
    std::string address;
    Location location;
    ResourceAmount total_resources;
    ResourceAmount used_resources;
    ResourceAmount reserved_resources;
    WorkloadAmount workloads;
    List<RawJson> proofs;
    List<Interface> ifaces;
    std::optional<PublicConfig> public_config;
    bool free_to_use = false;
    bool approved = false;
    std::string public_key_hex;
    List<std::int64_t> wg_ports;
    bool deleted = false;
    bool reserved = false;
    std::int64_t dedicated = 0;
};

/// A gateway of the web (no role of ours, but clients ask for them).
struct Gateway {
    std::int64_t id = 0;
    std::string node_id;
    std::int64_t farm_id = 0;
    std::string os_version;
    Date created;
    Date updated;
    std::int64_t uptime = 0;
    std::string address;
    Location location;
    std::string public_key_hex;
    WorkloadAmount workloads;
    List<std::string> managed_domains;
    std::int64_t tcp_router_port = 0;
    List<std::string> dns_nameserver;
    bool free_to_use = false;
};

// Bodies of what a node posts about itself.

struct UptimeReport {
    std::uint64_t uptime = 0;  ///< Seconds.
};
struct PortsReport {
    List<std::int64_t> ports;
};
struct CapacityReport {
    ResourceAmount capacity;
    RawJson dmi;    ///< {tooling, sections}
    RawJson disks;  ///< {tool, environment, aggregator, devices}
    List<std::string> hypervisor;
};
/// Flat: the amounts reserved (bytes / GiB as fraction) and the numbers of workloads.
struct UsedReport {
    ResourceAmount resources;
    WorkloadAmount workloads;
};

}  // namespace znode::grid
