// Every case of the network vectors. ZNODE_VECTORS names another folder with the same files; a
// group or a member that is not known here fails, since it would go untested.

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sodium.h>

#include "base/hex.hpp"
#include "kernel/wireguard.hpp"
#include "network/addressing.hpp"
#include "network/resource.hpp"
#include "network/topology.hpp"
#include "network/wireguard_keys.hpp"

namespace znode::network {
namespace {

using json = nlohmann::ordered_json;

json vectors(const std::string& name)
{
    const char* folder = std::getenv("ZNODE_VECTORS");
    const auto path =
        (folder != nullptr ? std::string{folder} : std::string{ZNODE_TEST_DATA} + "/vectors") +
        "/" + name;
    std::ifstream file{path};
    EXPECT_TRUE(file) << "missing " << path;
    return json::parse(file);
}

void expect_members(
    const json& object, const std::set<std::string>& known, const std::string& where)
{
    for (const auto& [name, value] : object.items())
        EXPECT_TRUE(known.contains(name)) << where << " has a member that is not tested: " << name;
}

std::string text(const json& object, const char* name)
{
    return object.at(name).get<std::string>();
}
IpAddress address(const json& value) { return IpAddress::parse(value.get<std::string>()).value(); }
IpNetwork net(const json& value) { return IpNetwork::parse(value.get<std::string>()).value(); }
std::string unhex(const json& value) { return from_hex(value.get<std::string>()).value(); }

TEST(NetworkVectors, IdsOfTheCapacityFile)
{
    // The other groups of the file are the explorer's: its tests run them.
    const auto all = vectors("capacity.json");
    for (const auto& c : all.at("network_ids")) {
        expect_members(c, {"user", "name", "network_id"}, "network_ids");
        EXPECT_EQ(network_id(text(c, "user"), text(c, "name")), text(c, "network_id"));
    }
    std::cout << "capacity.json (network_ids): " << all.at("network_ids").size() << " cases\n";
    EXPECT_FALSE(all.at("network_ids").empty());
}

TEST(NetworkVectors, Derivations)
{
    const auto all = vectors("network-derivations.json");
    expect_members(
        all,
        {"description",
         "net_id",
         "net_id_note",
         "mac",
         "mac_algorithm",
         "convert4to6",
         "ndmz_ipv6",
         "wireguard_ip",
         "predicted_slaac",
         "zdb",
         "yggdrasil"},
        "file");
    int cases = 0;
    for (const auto& c : all.at("net_id")) {
        expect_members(c, {"user", "name", "net_id"}, "net_id");
        EXPECT_EQ(network_id(text(c, "user"), text(c, "name")), text(c, "net_id"));
        ++cases;
    }
    for (const auto& c : all.at("mac")) {
        expect_members(c, {"input_hex", "label", "mac", "offset", "rounds"}, "mac");
        EXPECT_EQ(kernel::to_text(mac_of(unhex(c.at("input_hex")))), text(c, "mac"));
        EXPECT_EQ(c.at("rounds"), 0);
        ++cases;
    }
    for (const auto& c : all.at("convert4to6")) {
        expect_members(c, {"net_id", "ipv4", "ipv6"}, "convert4to6");
        EXPECT_EQ(inner_ipv6(text(c, "net_id"), address(c.at("ipv4"))).text(), text(c, "ipv6"));
        ++cases;
    }
    for (const auto& c : all.at("ndmz_ipv6")) {
        expect_members(c, {"ipv4", "ipv6"}, "ndmz_ipv6");
        EXPECT_EQ(exit_ipv6(address(c.at("ipv4"))).text(), text(c, "ipv6"));
        ++cases;
    }
    for (const auto& c : all.at("wireguard_ip")) {
        expect_members(c, {"subnet", "device", "allowed_ip"}, "wireguard_ip");
        const auto own = wireguard_address(net(c.at("subnet")));
        EXPECT_EQ((IpNetwork{own, 16}.text()), text(c, "device"));
        EXPECT_EQ((IpNetwork{own, 32}.text()), text(c, "allowed_ip"));
        ++cases;
    }
    for (const auto& c : all.at("predicted_slaac")) {
        expect_members(c, {"prefix", "mac", "ipv6"}, "predicted_slaac");
        auto hex = text(c, "mac");
        std::erase(hex, ':');
        const auto bytes = from_hex(hex).value();
        MacAddress mac{};
        std::ranges::transform(
            bytes, mac.begin(), [](char b) { return static_cast<std::uint8_t>(b); });
        EXPECT_EQ(slaac_address(net(c.at("prefix")), mac).text(), text(c, "ipv6"));
        ++cases;
    }
    for (const auto& c : all.at("zdb")) {
        expect_members(c, {"volume_id", "mac", "namespace"}, "zdb");
        EXPECT_EQ(kernel::to_text(mac_of(text(c, "volume_id"))), text(c, "mac"));
        EXPECT_EQ(zdb_namespace(text(c, "volume_id")), text(c, "namespace"));
        ++cases;
    }
    const auto& overlay = all.at("yggdrasil");
    expect_members(
        overlay,
        {"seed_ascii", "box_public_hex", "address", "subnet", "gateway", "host"},
        "yggdrasil");
    const auto derived = overlay_addresses(unhex(overlay.at("box_public_hex")));
    EXPECT_EQ(derived.address.text(), text(overlay, "address"));
    EXPECT_EQ(derived.subnet.text(), text(overlay, "subnet"));
    EXPECT_EQ(derived.gateway.text(), text(overlay, "gateway"));
    unsigned char sign_public[32];
    unsigned char sign_secret[64];
    unsigned char box_public[32];
    const auto seed = text(overlay, "seed_ascii");
    ASSERT_EQ(seed.size(), 32U);
    crypto_sign_seed_keypair(
        sign_public, sign_secret, reinterpret_cast<const unsigned char*>(seed.data()));  // NOLINT
    ASSERT_EQ(crypto_sign_ed25519_pk_to_curve25519(box_public, sign_public), 0);
    EXPECT_EQ(to_hex(box_public), text(overlay, "box_public_hex"));
    ++cases;
    for (const auto& c : overlay.at("host")) {
        expect_members(c, {"prefix", "input_ascii", "input_hex", "container", "ipv6"}, "host");
        const auto input =
            c.contains("input_hex") ? unhex(c.at("input_hex")) : text(c, "input_ascii");
        EXPECT_EQ(overlay_host(net(c.at("prefix")), input).text(), text(c, "ipv6"));
        if (c.contains("container")) {
            const auto mac = mac_of(text(c, "container"));
            EXPECT_EQ(to_hex(mac), text(c, "input_hex"));
        }
        ++cases;
    }
    std::printf("network-derivations.json: %d cases\n", cases);
}

/// What a node's directory entry says.
ReportedAddresses reported_by(const json& node)
{
    expect_members(node, {"public_config", "ifaces", "wg_ports"}, "directory_node");
    ReportedAddresses reported;
    const auto& config = node.at("public_config");
    if (!config.is_null() && !config.at("master").get<std::string>().empty())
        for (const auto* family : {"ipv4", "ipv6"})
            if (const auto own = IpNetwork::parse(config.value(family, "")))
                reported.public_config.push_back(own->address);
    for (const auto& link : node.at("ifaces"))
        for (const auto& own : link.at("addrs")) reported.interfaces.push_back(net(own).address);
    return reported;
}

/// Opens the sealed private key with the node's seed.
std::string open_key(const json& identity, const std::string& hex)
{
    unsigned char sign_public[32];
    unsigned char sign_secret[64];
    unsigned char box_public[32];
    unsigned char box_secret[32];
    const auto seed = unhex(identity.at("seed_hex"));
    crypto_sign_seed_keypair(
        sign_public, sign_secret, reinterpret_cast<const unsigned char*>(seed.data()));  // NOLINT
    EXPECT_EQ(to_hex(sign_public), text(identity, "public_key_hex"));
    EXPECT_EQ(crypto_sign_ed25519_pk_to_curve25519(box_public, sign_public), 0);
    EXPECT_EQ(crypto_sign_ed25519_sk_to_curve25519(box_secret, sign_secret), 0);
    const auto sealed = from_hex(hex).value();
    std::string opened(sealed.size() - crypto_box_SEALBYTES, '\0');
    EXPECT_EQ(
        crypto_box_seal_open(
            reinterpret_cast<unsigned char*>(opened.data()),        // NOLINT
            reinterpret_cast<const unsigned char*>(sealed.data()),  // NOLINT
            sealed.size(),
            box_public,
            box_secret),
        0);
    return opened;
}

NetworkResourceSpec spec_of(const json& workload, const std::string& private_key)
{
    NetworkResourceSpec spec{
        .gwid = std::to_string(workload.at("id").get<int>()) + "-" +
                std::to_string(workload.at("workload_id").get<int>()),
        .user_id = std::to_string(workload.at("customer_tid").get<int>()),
        .name = text(workload, "name"),
        .range = text(workload, "network_iprange"),
        .subnet = text(workload, "iprange"),
        .private_key = Secret{private_key},
        .public_key = text(workload, "wireguard_public_key"),
        .listen_port = workload.at("wireguard_listen_port").get<int>()};
    for (const auto& peer : workload.at("peers")) {
        expect_members(peer, {"public_key", "endpoint", "iprange", "allowed_iprange"}, "peer");
        spec.peers.push_back(
            {text(peer, "public_key"), text(peer, "endpoint"), text(peer, "iprange"), {}});
        for (const auto& allowed : peer.at("allowed_iprange"))
            spec.peers.back().allowed.push_back(allowed.get<std::string>());
    }
    return spec;
}

/// The node's side: what an agent derives from its part of the network.
void expect_node_side(const json& node, const NetworkResource& resource, const std::string& user)
{
    const auto& derived = node.at("derived");
    expect_members(
        derived,
        {"net_id",
         "wg_private_key_plain",
         "namespace",
         "bridge",
         "bridge_macvlan",
         "wireguard",
         "vm_tap",
         "ndmz_iface",
         "nr_addresses",
         "nr_routes",
         "wireguard_uapi"},
        "derived");
    EXPECT_EQ(network_id(user, resource.name), text(derived, "net_id"));
    EXPECT_EQ(resource.id, text(derived, "net_id"));
    const auto names = names_of(resource.id);
    EXPECT_EQ(names.space, text(derived, "namespace"));
    EXPECT_EQ(names.bridge, text(derived, "bridge"));
    EXPECT_EQ(names.gateway, text(derived, "bridge_macvlan"));
    EXPECT_EQ(names.tunnel, text(derived, "wireguard"));
    EXPECT_EQ(names.vm_tap, text(derived, "vm_tap"));
    EXPECT_EQ(exit_link, text(derived, "ndmz_iface"));

    const auto gateway = gateway_of(resource.subnet);
    const auto first_lease = *IpAddress::parse("100.127.0.2");
    const json addresses{
        {names.gateway,
         {IpNetwork{gateway, resource.subnet.length}.text(),
          IpNetwork{inner_ipv6(resource.id, gateway), 64}.text(),
          "fe80::1/64"}},
        {names.tunnel, json::array({IpNetwork{wireguard_address(resource.subnet), 16}.text()})},
        {exit_link, {first_lease.text() + "/16", exit_ipv6(first_lease).text() + "/64"}}};
    EXPECT_EQ(addresses, derived.at("nr_addresses"));
    const json routes{
        {{"dst", "0.0.0.0/0"}, {"via", "100.127.0.1"}, {"dev", exit_link}},
        {{"dst", "::/0"}, {"via", "fe80::1"}, {"dev", exit_link}},
        {{"dst", resource.range.text()}, {"dev", names.tunnel}}};
    EXPECT_EQ(routes, derived.at("nr_routes"));
    const auto uapi = kernel::to_uapi(kernel::whole_tunnel(resource.tunnel));
    ASSERT_TRUE(uapi) << uapi.error().message;
    EXPECT_EQ(*uapi, text(derived, "wireguard_uapi"));
}

void expect_same_resource(const json& resource, const json& workload)
{
    expect_members(
        resource,
        {"Name",
         "net_id",
         "ip_range",
         "node_id",
         "subnet",
         "wg_private_key",
         "wg_public_key",
         "wg_listen_port",
         "peers"},
        "net_resource");
    EXPECT_EQ(resource.at("ip_range"), workload.at("network_iprange"));
    EXPECT_EQ(resource.at("subnet"), workload.at("iprange"));
    EXPECT_EQ(resource.at("wg_private_key"), workload.at("wireguard_private_key_encrypted"));
    ASSERT_EQ(resource.at("peers").size(), workload.at("peers").size());
    for (std::size_t i = 0; i < resource.at("peers").size(); ++i) {
        EXPECT_EQ(
            resource.at("peers")[i].at("allowed_ips"),
            workload.at("peers")[i].at("allowed_iprange"));
    }
}

void expect_laptop(
    const json& laptop,
    const IpNetwork& range,
    const std::vector<Member>& members,
    const Access& access)
{
    const Secret key{text(laptop, "private_key")};
    EXPECT_EQ(public_key_of(key).value(), text(laptop, "public_key"));
    const auto config = plan_laptop(range, members, access, key);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->address.text(), text(laptop, "address"));
    EXPECT_EQ(to_wg_quick(*config).reveal(), text(laptop, "wg_quick"));
}

int check_topology(const std::string& file)
{
    const auto all = vectors(file);
    expect_members(all, {"description", "notes", "user", "network", "nodes", "laptop"}, file);
    const auto range = net(all.at("network").at("iprange"));
    std::vector<Member> members;
    for (const auto& node : all.at("nodes")) {
        expect_members(
            node,
            {"identity",
             "directory_node",
             "endpoints",
             "hidden",
             "reservation_id",
             "workload",
             "net_resource",
             "derived"},
            "node");
        const auto& workload = node.at("workload");
        Member member{
            text(node.at("identity"), "node_id"),
            net(workload.at("iprange")),
            text(workload, "wireguard_public_key"),
            workload.at("wireguard_listen_port").get<std::uint16_t>(),
            endpoints_of(reported_by(node.at("directory_node")))};
        std::vector<std::string> endpoints;
        for (const auto& endpoint : member.endpoints) endpoints.push_back(endpoint.text());
        EXPECT_EQ(json(endpoints), node.at("endpoints"));
        EXPECT_EQ(member.endpoints.empty(), node.at("hidden").get<bool>());
        members.push_back(std::move(member));
    }
    std::vector<Access> accesses;
    if (all.contains("laptop")) {
        const auto& laptop = all.at("laptop");
        expect_members(
            laptop,
            {"subnet",
             "access_node",
             "use_ipv4",
             "private_key",
             "public_key",
             "address",
             "wg_quick"},
            "laptop");
        accesses.push_back(
            {text(laptop, "access_node"),
             net(laptop.at("subnet")),
             text(laptop, "public_key"),
             laptop.at("use_ipv4").get<bool>()});
        expect_laptop(laptop, range, members, accesses.front());
    }

    const auto plan = plan_peers(members, accesses);
    bool any_peer = false;
    for (std::size_t i = 0; i < members.size(); ++i) {
        const auto& node = all.at("nodes")[i];
        const auto& workload = node.at("workload");
        auto expected = json::array();
        for (const auto& peer : plan[i]) {
            auto allowed = json::array();
            for (const auto& network : peer.allowed) allowed.push_back(network.text());
            expected.push_back(
                {{"public_key", peer.public_key},
                 {"endpoint", peer.endpoint},
                 {"iprange", peer.subnet.text()},
                 {"allowed_iprange", allowed}});
            any_peer = true;
        }
        EXPECT_EQ(expected, workload.at("peers")) << file << " " << members[i].node_id;

        const auto private_key =
            open_key(node.at("identity"), text(workload, "wireguard_private_key_encrypted"));
        EXPECT_EQ(private_key, text(node.at("derived"), "wg_private_key_plain"));
        const auto resource = check(spec_of(workload, private_key));
        EXPECT_TRUE(resource) << resource.error().message;
        if (resource) expect_node_side(node, *resource, text(all, "user"));
        expect_same_resource(node.at("net_resource"), workload);
    }
    // A network without a single tunnel is planned by other tools without a word; ours refuses it.
    const auto checked = plan_network(range, members, accesses);
    EXPECT_EQ(checked.has_value(), any_peer) << (checked ? "" : checked.error().message);
    if (!checked) {
        EXPECT_NE(checked.error().message.find(members[0].node_id), std::string::npos);
        EXPECT_NE(checked.error().message.find(members[1].node_id), std::string::npos);
    }
    return static_cast<int>(members.size());
}

class TopologyVectors : public testing::TestWithParam<const char*> {};

TEST_P(TopologyVectors, EveryNodeOfTheFile)
{
    const auto file = "network-topology-" + std::string{GetParam()} + ".json";
    const int nodes = check_topology(file.c_str());
    std::printf("%s: %d nodes\n", file.c_str(), nodes);
    EXPECT_GT(nodes, 0);
}

INSTANTIATE_TEST_SUITE_P(
    NetworkTopologies,
    TopologyVectors,
    testing::Values("dual", "ipv6only", "twohidden", "noaccess", "allhidden"),
    [](const auto& file) { return std::string{file.param}; });

}  // namespace
}  // namespace znode::network
