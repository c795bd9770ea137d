#include "network/topology.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode::network {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const auto range = *IpNetwork::parse("172.20.0.0/16");

Member member(const std::string& name, int third, std::vector<const char*> endpoints)
{
    Member made{
        .node_id = name,
        .subnet = *IpNetwork::parse("172.20." + std::to_string(third) + ".0/24"),
        .public_key = "key-" + name,
        .port = 8030};
    for (const auto* endpoint : endpoints) made.endpoints.push_back(*IpAddress::parse(endpoint));
    return made;
}

TEST(EndpointsTest, PrivateAddressesCountOnlyAtHome)
{
    const ReportedAddresses reported{
        {},
        {*IpAddress::parse("127.0.0.1"),
         *IpAddress::parse("192.168.1.5"),
         *IpAddress::parse("fe80::1"),
         *IpAddress::parse("301::1")}};

    EXPECT_TRUE(endpoints_of(reported).empty());
    ASSERT_EQ(endpoints_of(reported, /*lan=*/true).size(), 1U);
    EXPECT_EQ(endpoints_of(reported, true)[0].text(), "192.168.1.5");
}

TEST(PlanNetworkTest, HiddenNodesMeetAtAPublicOne)
{
    const std::vector members{
        member("a", 1, {}), member("b", 2, {"198.51.100.2"}), member("c", 3, {})};

    const auto plan = plan_network(range, members, {});

    ASSERT_TRUE(plan) << plan.error().message;
    ASSERT_EQ((*plan)[0].size(), 1U);
    EXPECT_EQ((*plan)[0][0].endpoint, "198.51.100.2:8030");
}

TEST(PlanNetworkTest, NetworkWithoutAPathIsRefusedWithBothNames)
{
    const auto hidden = plan_network(range, {member("a", 1, {}), member("b", 2, {})}, {});
    ASSERT_FALSE(hidden);
    EXPECT_THAT(hidden.error().message, AllOf(HasSubstr("node a"), HasSubstr("node b")));

    const auto families = plan_network(
        range, {member("a", 1, {"198.51.100.1"}), member("b", 2, {"2001:db8::2"})}, {});
    EXPECT_FALSE(families);
}

TEST(PlanNetworkTest, SubnetGivenTwiceOrOutsideIsRefused)
{
    EXPECT_FALSE(plan_network(
        range, {member("a", 1, {"198.51.100.1"}), member("b", 1, {"198.51.100.2"})}, {}));
    EXPECT_FALSE(
        plan_network(*IpNetwork::parse("10.0.0.0/16"), {member("a", 1, {"198.51.100.1"})}, {}));
}

TEST(PlanLaptopTest, AccessNodeNeedsAnEndpointOfThatFamily)
{
    const std::vector members{member("a", 1, {"198.51.100.1"})};
    const auto laptop = *IpNetwork::parse("172.20.9.0/24");

    EXPECT_TRUE(plan_laptop(range, members, {"a", laptop, "k", true}, {}));
    EXPECT_FALSE(plan_laptop(range, members, {"a", laptop, "k", false}, {}));
    EXPECT_FALSE(plan_laptop(range, members, {"b", laptop, "k", true}, {}));
}

}  // namespace
}  // namespace znode::network
