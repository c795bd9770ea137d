#pragma once
// The blocking half of host mode: every method talks to the kernel at once, on the one lane of
// HostNetworks.

#include <map>
#include <optional>

#include "kernel/child.hpp"
#include "kernel/netlink.hpp"
#include "network/networks.hpp"
#include "records.hpp"
#include "tunnel_device.hpp"

namespace znode::network {

class HostPlane {
public:
    HostPlane(HostNetworkSpec spec, Log log) : spec_{std::move(spec)}, log_{std::move(log)} {}

    Result<HostNetwork> start();
    Result<> purge();

    Result<NetworkFacts> ensure(const NetworkResourceSpec& spec);
    Result<> remove(const std::string& gwid);
    /// Makes the tunnel of this network live again after its process died.
    Result<> repair_tunnel(const std::string& network_id);
    /// Keeps in mind where peers without an endpoint of their own are; costs one question to the
    /// process, and a write where something changed.
    Result<> note_endpoints(const std::string& network_id);
    /// To be watched; none for the kernel's WireGuard or when it is away.
    Result<std::optional<kernel::Child>> tunnel_of(const std::string& network_id);

    Result<Joined> join(const ContainerJoinSpec& spec);
    Result<> leave(const std::string& gwid);

    Result<ZdbNamespace> ensure_zdb(const ZdbNamespaceSpec& spec);
    Result<> remove_zdb(const std::string& pool_id);

    Result<Inventory> list();
    Result<std::vector<Interface>> interfaces();
    Result<std::vector<std::uint16_t>> reserved_ports();

private:
    // Where things are kept.
    std::filesystem::path pins() const { return spec_.run_dir / "ns"; }
    std::filesystem::path pin(const std::string& name) const { return pins() / name; }
    std::filesystem::path record_of(const std::string& name) const
    {
        return pins() / (name + ".owner");
    }
    std::filesystem::path joins() const { return spec_.run_dir / "network" / "joins"; }
    std::filesystem::path join_record(const std::string& gwid) const
    {
        return joins() / (gwid + ".json");
    }
    std::filesystem::path learnt_record(const std::string& network_id) const
    {
        return spec_.run_dir / "network" / "learnt" / (network_id + ".json");
    }
    std::filesystem::path host_record() const { return spec_.run_dir / "network" / "host.json"; }
    /// IFLA_IFALIAS of a link of ours.
    std::string mark(const std::string& owner) const;
    bool is_ours(const kernel::Link& link) const;
    bool is_ours_or_claimed(const kernel::Link& link) const;

    // The machine (host_plane.cpp).
    Result<> need_started() const;
    struct Uplink {
        std::string name;
        std::vector<IpNetwork> addresses;
        bool ipv6 = false;
    };
    Result<Uplink> find_uplink();
    void set_uplink(const Uplink& uplink);
    /// Puts a change of the uplink in force; what is in force stays known until that was done.
    Result<> follow(const Uplink& uplink);
    Result<> allow_forwarding();
    Result<> choose_wireguard();
    Result<> mount_uapi_folder();
    Result<> claim(const std::string& link);
    Result<kernel::Link> need_host_link(const kernel::LinkSpec& spec);
    Result<> choose_pair();
    Result<> make_public_bridge();
    Result<> make_exit();
    Result<> set_host_sysctl(const std::string& name, const std::string& value);
    Result<> apply_host_rules();
    Result<kernel::Fd> need_space(const std::string& name);
    IpAddress pair_address(unsigned host) const;

    // Networks (host_plane_network.cpp).
    std::vector<NetworkRecord> networks() const;
    std::optional<NetworkRecord> network(const std::string& id) const;
    Result<NetworkRecord> admit(const NetworkResource& resource) const;
    Result<> build(const NetworkResource& resource, const NetworkRecord& record);
    Result<> build_links(const NetworkRecord& record, int space);
    Result<> build_tunnel(const NetworkResource& resource, const NetworkRecord& record, int space);
    kernel::TunnelConfig with_learnt_endpoints(
        kernel::TunnelConfig tunnel, const std::string& network_id) const;
    Result<> remove_network(const std::string& id);
    TunnelPlace tunnel_place(const std::string& id, int space) const;
    NetworkFacts facts_of(const NetworkRecord& record) const;

    // Containers (host_plane_join.cpp).
    std::vector<JoinRecord> members_of(const std::string& network_id) const;
    Result<std::vector<IpNetwork>> check_addresses(
        const ContainerJoinSpec& spec, const NetworkRecord& network) const;
    Result<Joined> joined(const JoinRecord& record, const NetworkRecord& network) const;

    // 0-db (host_plane_zdb.cpp).
    std::vector<ZdbRecord> zdb_records() const;
    ZdbNamespace zdb_facts(const ZdbRecord& record) const;

    HostNetworkSpec spec_;
    Log log_;
    HostNetwork host_;
    HostRecord record_;
    bool started_ = false;
    /// Routes of the namespace the agent runs in.
    std::optional<kernel::RouteSocket> here_;
    /// What is in force, with its key: to repair a tunnel, and to go back to after a failed update.
    std::map<std::string, NetworkResource> in_force_;
    std::vector<kernel::Child> children_;  ///< Tunnels' processes that this agent started.
};

}  // namespace znode::network
