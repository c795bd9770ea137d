// Nodes, gateways and what a node posts about itself.

#include "grid/node.hpp"
#include "node_tables.hpp"

namespace znode::grid {

template <>
struct Table<Interface> {
    static constexpr std::array fields{
        field<&Interface::name>("name"),
        field<&Interface::addrs>("addrs"),
        field<&Interface::gateway>("gateway"),
        field<&Interface::macaddress>("macaddress")};
};

template <>
struct Table<PublicConfig> {
    using T = PublicConfig;
    static constexpr std::array fields{
        field<&T::master>("master"),
        field<&T::type>("type"),
        field<&T::ipv4>("ipv4"),
        field<&T::ipv6>("ipv6"),
        field<&T::gw4>("gw4"),
        field<&T::gw6>("gw6"),
        field<&T::version>("version")};
};

template <>
struct Table<Node> {
    static constexpr std::array fields{
        field<&Node::id>("id"),
        field<&Node::node_id>("node_id"),
        field<&Node::hostname>("hostname"),
        field<&Node::node_id_v1>("node_id_v1"),
        field<&Node::farm_id>("farm_id"),
        field<&Node::os_version>("os_version"),
        field<&Node::created>("created"),
        field<&Node::updated>("updated"),
        field<&Node::uptime>("uptime"),
        field<&Node::address>("address"),
        field<&Node::location>("location"),
        field<&Node::total_resources>("total_resources"),
        field<&Node::used_resources>("used_resources"),
        field<&Node::reserved_resources>("reserved_resources"),
        field<&Node::workloads>("workloads"),
        field<&Node::proofs>("proofs"),
        field<&Node::ifaces>("ifaces"),
        field<&Node::public_config>("public_config"),
        field<&Node::free_to_use>("free_to_use"),
        field<&Node::approved>("approved"),
        field<&Node::public_key_hex>("public_key_hex"),
        field<&Node::wg_ports>("wg_ports"),
        field<&Node::deleted>("deleted"),
        field<&Node::reserved>("reserved"),
        field<&Node::dedicated>("dedicated")};
};

template <>
struct Table<Gateway> {
    using T = Gateway;
    static constexpr std::array fields{
        field<&T::id>("id"),
        field<&T::node_id>("node_id"),
        field<&T::farm_id>("farm_id"),
        field<&T::os_version>("os_version"),
        field<&T::created>("created"),
        field<&T::updated>("updated"),
        field<&T::uptime>("uptime"),
        field<&T::address>("address"),
        field<&T::location>("location"),
        field<&T::public_key_hex>("public_key_hex"),
        field<&T::workloads>("workloads"),
        field<&T::managed_domains>("managed_domains"),
        field<&T::tcp_router_port>("tcp_router_port"),
        field<&T::dns_nameserver>("dns_nameserver"),
        field<&T::free_to_use>("free_to_use")};
};

template <>
struct Table<UptimeReport> {
    static constexpr std::array fields{field<&UptimeReport::uptime>("uptime")};
};

template <>
struct Table<PortsReport> {
    static constexpr std::array fields{field<&PortsReport::ports>("ports")};
};

template <>
struct Table<CapacityReport> {
    using T = CapacityReport;
    static constexpr std::array fields{
        field<&T::capacity>("capacity"),
        field<&T::dmi>("dmi"),
        field<&T::disks>("disks"),
        field<&T::hypervisor>("hypervisor")};
};

template <>
struct Table<UsedReport> {
    using T = UsedReport;
    using R = ResourceAmount;
    using W = WorkloadAmount;
    static constexpr std::array fields{
        nested<&T::resources, &R::cru>("cru"),
        nested<&T::resources, &R::mru>("mru"),
        nested<&T::resources, &R::hru>("hru"),
        nested<&T::resources, &R::sru>("sru"),
        nested<&T::workloads, &W::network>("network"),
        nested<&T::workloads, &W::network_resource>("network_resource"),
        nested<&T::workloads, &W::volume>("volume"),
        nested<&T::workloads, &W::zdb_namespace>("zdb_namespace"),
        nested<&T::workloads, &W::container>("container"),
        nested<&T::workloads, &W::k8s_vm>("k8s_vm"),
        nested<&T::workloads, &W::proxy>("proxy"),
        nested<&T::workloads, &W::reverse_proxy>("reverse_proxy"),
        nested<&T::workloads, &W::subdomain>("subdomain"),
        nested<&T::workloads, &W::delegate_domain>("delegate_domain")};
};

Result<Mac> parse_mac(std::string_view text)
{
    const auto wrong = [&] { return fail(Errc::invalid, "invalid MAC: " + printable(text)); };
    if (text.empty()) return Mac{};

    // Pairs with ':' or '-' between them, or groups of four with '.'; 6, 8 or 20 bytes.
    const auto separator = text.find_first_of(":-.");
    if (separator == text.npos) return wrong();
    const std::size_t group = text[separator] == '.' ? 4 : 2;
    std::string digits;
    for (const auto piece : split(text, text[separator])) {
        if (piece.size() != group) return wrong();
        digits += to_lower(piece);
    }
    const auto bytes = digits.size() / 2;
    if (digits.find_first_not_of("0123456789abcdef") != digits.npos ||
        (bytes != 6 && bytes != 8 && bytes != 20))
        return wrong();
    Mac mac;
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        if (i > 0) mac.text += ':';
        mac.text.append(digits, i, 2);
    }
    return mac;
}

ZNODE_DOCUMENT(Location);
ZNODE_DOCUMENT(ResourceAmount);
ZNODE_DOCUMENT(Interface);
ZNODE_DOCUMENT(PublicConfig);
ZNODE_DOCUMENT(Node);
ZNODE_DOCUMENT(Gateway);
ZNODE_DOCUMENT(UptimeReport);
ZNODE_DOCUMENT(PortsReport);
ZNODE_DOCUMENT(CapacityReport);
ZNODE_DOCUMENT(UsedReport);

}  // namespace znode::grid
