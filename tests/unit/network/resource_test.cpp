#include "network/resource.hpp"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/wireguard_keys.hpp"

namespace znode::network {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const WireGuardKeys own = make_wireguard_keys();
const WireGuardKeys other = make_wireguard_keys();
const WireGuardKeys third = make_wireguard_keys();

NetworkResourceSpec good()
{
    return {
        .gwid = "12-1",
        .user_id = "134",
        .name = "demo",
        .range = "172.20.0.0/16",
        .subnet = "172.20.15.0/24",
        .private_key = own.private_key,
        .public_key = own.public_key,
        .listen_port = 8030,
        .peers = {
            {other.public_key,
             "198.51.100.12:8030",
             "172.20.16.0/24",
             {"172.20.16.0/24", "100.64.20.16/32"}}}};
}

TEST(ResourceTest, GoodOneIsRead)
{
    const auto resource = check(good());

    ASSERT_TRUE(resource) << resource.error().message;
    EXPECT_EQ(resource->subnet.text(), "172.20.15.0/24");
    EXPECT_EQ(resource->tunnel.port, 8030);
    ASSERT_EQ(resource->tunnel.peers.size(), 1U);
    EXPECT_EQ(resource->tunnel.peers[0].keepalive, 20);
}

TEST(ResourceTest, HostPartOfTheSubnetIsCutOff)
{
    auto spec = good();
    spec.subnet = "172.20.15.7/24";

    EXPECT_EQ(check(spec)->subnet.text(), "172.20.15.0/24");
}

struct Wrong {
    const char* member;
    std::function<void(NetworkResourceSpec&)> spoil;
};

class WrongResourceTest : public testing::TestWithParam<Wrong> {};

TEST_P(WrongResourceTest, IsRefusedByTheNameOfItsMember)
{
    auto spec = good();
    GetParam().spoil(spec);

    const auto resource = check(spec);

    ASSERT_FALSE(resource);
    EXPECT_EQ(resource.error().code, Errc::invalid);
    EXPECT_THAT(resource.error().message, StartsWith(std::string{GetParam().member} + ": "));
    EXPECT_THAT(resource.error().message, Not(HasSubstr(std::string{own.private_key.reveal()})));
}

using Spec = NetworkResourceSpec;

INSTANTIATE_TEST_SUITE_P(
    All,
    WrongResourceTest,
    testing::Values(
        Wrong{"name", [](Spec& s) { s.name = ""; }},
        Wrong{"customer_tid", [](Spec& s) { s.user_id = "x"; }},
        Wrong{"network_iprange", [](Spec& s) { s.range = "172.20.0.0"; }},
        Wrong{"network_iprange", [](Spec& s) { s.range = "8.8.0.0/16"; }},
        Wrong{"network_iprange", [](Spec& s) { s.range = "100.64.0.0/16"; }},
        Wrong{"network_iprange", [](Spec& s) { s.range = "0.0.0.0/0"; }},
        Wrong{"network_iprange", [](Spec& s) { s.range = "fd00::/48"; }},
        Wrong{"iprange", [](Spec& s) { s.subnet = "172.21.15.0/24"; }},
        Wrong{"iprange", [](Spec& s) { s.subnet = "172.20.15.4/32"; }},
        Wrong{"iprange", [](Spec& s) { s.subnet = ""; }},
        Wrong{"wireguard_private_key_encrypted", [](Spec& s) { s.private_key = Secret{"short"}; }},
        Wrong{"wireguard_public_key", [](Spec& s) { s.public_key = other.public_key; }},
        Wrong{"wireguard_listen_port", [](Spec& s) { s.listen_port = 0; }},
        Wrong{"wireguard_listen_port", [](Spec& s) { s.listen_port = 65536 + 8030; }},
        Wrong{"wireguard_listen_port", [](Spec& s) { s.listen_port = 53; }},
        Wrong{"wireguard_listen_port", [](Spec& s) { s.listen_port = 9943; }},
        Wrong{"peers[0].public_key", [](Spec& s) { s.peers[0].public_key = "x"; }},
        Wrong{"peers[0].public_key", [](Spec& s) { s.peers[0].public_key = own.public_key; }},
        Wrong{"peers[0].endpoint", [](Spec& s) { s.peers[0].endpoint = "node.example:8030"; }},
        Wrong{"peers[0].endpoint", [](Spec& s) { s.peers[0].endpoint = "198.51.100.12"; }},
        Wrong{"peers[0].iprange", [](Spec& s) { s.peers[0].subnet = ""; }},
        Wrong{"peers[0].iprange", [](Spec& s) { s.peers[0].subnet = "172.20.15.128/25"; }},
        Wrong{"peers[0].iprange", [](Spec& s) { s.peers[0].subnet = "10.0.0.0/24"; }},
        Wrong{"peers[0].allowed_iprange", [](Spec& s) { s.peers[0].allowed.clear(); }},
        Wrong{"peers[0].allowed_iprange[1]", [](Spec& s) { s.peers[0].allowed[1] = "0.0.0.0/0"; }},
        Wrong{
            "peers[1].public_key",
            [](Spec& s) {
                s.peers.push_back(s.peers[0]);
                s.peers[1].subnet = "172.20.17.0/24";
            }},
        Wrong{"peers[1].iprange", [](Spec& s) {
                  s.peers.push_back(s.peers[0]);
                  s.peers[1].public_key = third.public_key;
              }}));

TEST(ResourceTest, GenerationsAreComparedAsNumbers)
{
    EXPECT_TRUE(is_newer("10-1", "9-1"));
    EXPECT_TRUE(is_newer("9-10", "9-9"));
    EXPECT_FALSE(is_newer("9-1", "9-1"));
    EXPECT_FALSE(is_newer("9-1", "10-1"));
}

TEST(WireGuardKeysTest, PublicHalfFollowsFromThePrivate)
{
    const auto keys = make_wireguard_keys();

    EXPECT_EQ(public_key_of(keys.private_key).value(), keys.public_key);
    EXPECT_NE(make_wireguard_keys().public_key, keys.public_key);
    EXPECT_FALSE(public_key_of(Secret{"x"}));
}

}  // namespace
}  // namespace znode::network
