#include "kernel/wireguard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode::kernel {
namespace {

using testing::ElementsAre;

WireGuardKey key(std::uint8_t fill)
{
    WireGuardKey made{};
    made.fill(fill);
    return made;
}

IpNetwork net(const char* text) { return *IpNetwork::parse(text); }

TunnelConfig config_with(std::vector<TunnelPeer> peers)
{
    return {.private_key = Secret{to_text(key(9))}, .port = 8030, .peers = std::move(peers)};
}

TEST(WireGuardKeyTest, OnlyFortyFourCharactersAreAKey)
{
    EXPECT_EQ(*parse_wireguard_key(to_text(key(7))), key(7));
    EXPECT_FALSE(parse_wireguard_key(""));
    EXPECT_FALSE(parse_wireguard_key(to_text(key(7)).substr(0, 43)));
    EXPECT_FALSE(parse_wireguard_key("yaBXdCGmAwQpKNDrO2SNktYDXsaZRNbEBVuDuTcIpWM!"));
}

TEST(TunnelDifferenceTest, SameConfigurationChangesNothing)
{
    const auto wanted =
        config_with({{.public_key = key(1), .keepalive = 20, .allowed = {net("10.1.0.0/24")}}});
    auto present = wanted;
    // What a running device adds of itself is no difference.
    present.peers[0].endpoint = IpEndpoint::parse("192.0.2.7:9");
    present.peers[0].last_handshake = 5;

    EXPECT_TRUE(tunnel_difference(present, wanted).empty());
}

TEST(TunnelDifferenceTest, OnlyWhatDiffersIsTouched)
{
    const auto present = config_with(
        {{.public_key = key(1), .keepalive = 20, .allowed = {net("10.1.0.0/24")}},
         {.public_key = key(2), .keepalive = 20, .allowed = {net("10.2.0.0/24")}},
         {.public_key = key(3), .keepalive = 20, .allowed = {net("10.3.0.0/24")}}});
    const auto wanted = config_with(
        {{.public_key = key(1), .keepalive = 20, .allowed = {net("10.1.0.0/24")}},
         {.public_key = key(3),
          .keepalive = 20,
          .allowed = {net("10.3.0.0/24"), net("10.4.0.0/24")}}});

    const auto change = tunnel_difference(present, wanted);

    EXPECT_FALSE(change.replace_peers);
    EXPECT_FALSE(change.private_key);
    ASSERT_EQ(change.peers.size(), 2U);
    EXPECT_EQ(change.peers[0].public_key, key(2));
    EXPECT_TRUE(change.peers[0].remove);
    EXPECT_EQ(change.peers[1].public_key, key(3));
    EXPECT_FALSE(change.peers[1].replace_allowed);
    EXPECT_THAT(change.peers[1].allowed, ElementsAre(net("10.4.0.0/24")));
}

TEST(TunnelDifferenceTest, NetworkListedTwiceBelongsToTheLaterPeer)
{
    const auto wanted = config_with(
        {{.public_key = key(1),
          .keepalive = 20,
          .allowed = {net("10.1.0.0/24"), net("10.9.0.0/24")}},
         {.public_key = key(2), .keepalive = 20, .allowed = {net("10.9.0.0/24")}}});
    auto present = wanted;
    present.peers[0].allowed = {net("10.1.0.0/24")};

    EXPECT_TRUE(tunnel_difference(present, wanted).empty());
}

TEST(UapiTest, AnswerBecomesConfigAndErrnoAnError)
{
    const auto config = from_uapi(
        "private_key=0909090909090909090909090909090909090909090909090909090909090909\n"
        "listen_port=8030\n"
        "public_key=0101010101010101010101010101010101010101010101010101010101010101\n"
        "preshared_key=0000000000000000000000000000000000000000000000000000000000000000\n"
        "protocol_version=1\n"
        "endpoint=[2001:db8::1]:8030\n"
        "last_handshake_time_sec=17\nlast_handshake_time_nsec=1\ntx_bytes=3\nrx_bytes=4\n"
        "persistent_keepalive_interval=20\nallowed_ip=10.1.0.0/24\nerrno=0\n\n");

    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->private_key.reveal(), to_text(key(9)));
    ASSERT_EQ(config->peers.size(), 1U);
    EXPECT_EQ(config->peers[0].endpoint->text(), "[2001:db8::1]:8030");
    EXPECT_EQ(config->peers[0].last_handshake, 17);
    EXPECT_EQ(config->peers[0].received, 4U);
    EXPECT_THAT(config->peers[0].allowed, ElementsAre(net("10.1.0.0/24")));
    EXPECT_FALSE(from_uapi("errno=-19\n\n"));
    EXPECT_EQ(from_uapi("garbage\n\n").error().code, Errc::corrupt);
}

}  // namespace
}  // namespace znode::kernel
