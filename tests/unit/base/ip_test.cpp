#include "base/ip.hpp"

#include <gtest/gtest.h>

namespace znode {
namespace {

TEST(IpAddressTest, TextComesBackCanonical)
{
    EXPECT_EQ(IpAddress::parse("172.20.15.1")->text(), "172.20.15.1");
    EXPECT_EQ(IpAddress::parse("2001:DB8:0:0:1:0:0:1")->text(), "2001:db8::1:0:0:1");
    EXPECT_EQ(IpAddress::v4(0x7f000001).text(), "127.0.0.1");
    for (const auto* wrong : {"", "1.2.3", "1.2.3.4 ", "[::1]", "fe80::1%eth0", "256.1.1.1"})
        EXPECT_FALSE(IpAddress::parse(wrong)) << wrong;
}

TEST(IpNetworkTest, KeepsItsHostPartAndKnowsItsEnds)
{
    const auto network = *IpNetwork::parse("10.3.1.135/25");

    EXPECT_EQ(network.text(), "10.3.1.135/25");
    EXPECT_EQ(network.first().text(), "10.3.1.128");
    EXPECT_EQ(network.last().text(), "10.3.1.255");
    EXPECT_TRUE(network.contains(*IpAddress::parse("10.3.1.200")));
    EXPECT_FALSE(network.contains(*IpAddress::parse("10.3.1.1")));
    EXPECT_FALSE(network.contains(*IpAddress::parse("::1")));
    EXPECT_TRUE(network.overlaps(*IpNetwork::parse("10.0.0.0/8")));
    EXPECT_FALSE(network.overlaps(*IpNetwork::parse("10.3.1.0/25")));
    for (const auto* wrong :
         {"10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "/8", "::/129"})
        EXPECT_FALSE(IpNetwork::parse(wrong)) << wrong;
}

TEST(IpEndpointTest, NamesAndMissingBracketsAreRefused)
{
    EXPECT_EQ(IpEndpoint::parse("192.0.2.1:8030")->text(), "192.0.2.1:8030");
    EXPECT_EQ(IpEndpoint::parse("[2001:db8::1]:8030")->text(), "[2001:db8::1]:8030");
    for (const auto* wrong :
         {"host:1", "192.0.2.1", "192.0.2.1:0", "2001:db8::1:80", "[192.0.2.1]:1"})
        EXPECT_FALSE(IpEndpoint::parse(wrong)) << wrong;
}

TEST(IpTest, NearIsTheMachineItselfAndItsCable)
{
    for (const auto* near :
         {"127.0.0.1",
          "127.9.9.9",
          "0.0.0.0",
          "169.254.169.254",
          "::",
          "::1",
          "fe80::1",
          "::ffff:127.0.0.1",
          "::ffff:169.254.0.1"})
        EXPECT_TRUE(is_near(*IpAddress::parse(near))) << near;
    for (const auto* far :
         {"10.0.0.7", "198.51.100.1", "2001:db8::1", "fd00::1", "::ffff:198.51.100.1", "::2"})
        EXPECT_FALSE(is_near(*IpAddress::parse(far))) << far;
}

}  // namespace
}  // namespace znode
