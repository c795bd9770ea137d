#include "rulesets.hpp"

#include <algorithm>

namespace znode::network {
namespace {

/// Makes the table exist, so that deleting it works; then it is written anew.
std::string fresh_table(const std::string& name)
{
    return "table inet " + name + "\ndelete table inet " + name + "\ntable inet " + name + " {\n";
}

constexpr std::string_view neighbours =
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert }";

}  // namespace

std::string network_ruleset()
{
    return fresh_table("nat") +
           "  chain postrouting {\n"
           "    type nat hook postrouting priority srcnat; policy accept;\n"
           "    oifname \"public\" masquerade fully-random\n"
           "  }\n"
           "}\n" +
           fresh_table("filter") +
           "  chain base_checks {\n"
           "    ct state { established, related } accept\n"
           "    ct state invalid drop\n"
           "  }\n"
           "  chain input {\n"
           "    type filter hook input priority filter; policy accept;\n"
           "    jump base_checks\n"
           "    " +
           std::string{neighbours} +
           " accept\n"
           "    iifname \"public\" counter drop\n"
           "  }\n"
           "  chain forward {\n"
           "    type filter hook forward priority filter; policy accept;\n"
           "    tcp flags syn / syn,rst tcp option maxseg size set rt mtu\n"
           "    jump base_checks\n"
           "    iifname \"public\" counter drop\n"
           "  }\n"
           "  chain output {\n"
           "    type filter hook output priority filter; policy accept;\n"
           "  }\n"
           "}\n";
}

std::string exit_ruleset()
{
    return fresh_table("nat") +
           "  chain postrouting {\n"
           "    type nat hook postrouting priority srcnat; policy accept;\n"
           "    oifname \"npub4\" masquerade fully-random\n"
           "  }\n"
           "}\n" +
           fresh_table("filter") +
           "  chain base_checks {\n"
           "    ct state { established, related } accept\n"
           "    ct state invalid drop\n"
           "  }\n"
           "  chain input {\n"
           "    type filter hook input priority filter; policy accept;\n"
           "    iifname \"lo\" accept\n"
           "    jump base_checks\n"
           "    " +
           std::string{neighbours} +
           " accept\n"
           "    icmp type echo-request accept\n"
           "    counter drop\n"
           "  }\n"
           "  chain forward {\n"
           "    type filter hook forward priority filter; policy drop;\n"
           "    jump base_checks\n"
           "    iifname \"tonrs\" oifname \"npub4\" accept\n"
           "  }\n"
           "}\n";
}

IpAddress zdb_ipv6(const IpNetwork& node_prefix, const IpAddress& inner)
{
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::copy(node_prefix.first().bytes(), bytes.begin());
    bytes[15] = inner.bytes()[3];
    return IpAddress::v6(bytes);
}

std::string host_ruleset(const HostRules& rules)
{
    std::string to_zdb;
    for (const auto& zdb : rules.zdb) {
        const auto port = std::to_string(zdb.port);
        const auto v6 = zdb_ipv6(rules.inner_v6, zdb.inner).text();
        for (const auto& address : rules.uplink_addresses) {
            const bool v4 = address.is_v4();
            to_zdb += std::string{"    "} + (v4 ? "ip" : "ip6") + " daddr " + address.text() +
                      " tcp dport " + port + " dnat " + (v4 ? "ip" : "ip6") + " to " +
                      (v4 ? zdb.inner.text() : "[" + v6 + "]") + ":" + port + "\n";
        }
    }
    const auto quoted = [](const std::string& name) { return "\"" + name + "\""; };
    const auto up = quoted(rules.uplink);
    const auto exit = quoted(rules.exit_link);
    return fresh_table("znode") +
           "  chain prerouting {\n"
           "    type nat hook prerouting priority dstnat; policy accept;\n" +
           to_zdb +
           "  }\n"
           "  chain output {\n"
           "    type nat hook output priority -100; policy accept;\n" +
           to_zdb +
           "  }\n"
           "  chain postrouting {\n"
           "    type nat hook postrouting priority srcnat; policy accept;\n"
           "    oifname " +
           up +
           " ip saddr 100.126.0.0/23 masquerade\n"
           "    oifname " +
           up + " ip6 saddr " + rules.inner_v6.text() +
           " masquerade\n"
           "  }\n"
           "  chain input {\n"
           "    type filter hook input priority filter; policy accept;\n"
           "    iifname { " +
           exit +
           ", \"br-pub\" } jump from_inside\n"
           "  }\n"
           "  chain from_inside {\n"
           "    ct state { established, related } accept\n"
           "    " +
           std::string{neighbours} +
           " accept\n"
           "    icmp type echo-request accept\n"
           "    icmpv6 type echo-request accept\n"
           "    counter drop\n"
           "  }\n"
           "  chain forward {\n"
           "    type filter hook forward priority filter; policy accept;\n"
           "    ct state { established, related } accept\n"
           "    ct status dnat accept\n"
           "    iifname " +
           exit + " oifname \"br-pub\" counter drop\n" + "    iifname \"br-pub\" oifname " + exit +
           " counter drop\n"
           "    iifname { " +
           exit + ", \"br-pub\" } accept\n" + "    oifname { " + exit +
           ", \"br-pub\" } counter drop\n"
           "  }\n"
           "}\n";
}

std::string no_host_ruleset() { return "table inet znode\ndelete table inet znode\n"; }

}  // namespace znode::network
