#include "network_order.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grid_samples.hpp"

namespace znode::zgrid {
namespace {

using test::sample_node;
using testing::HasSubstr;

class NetworkOrderTest : public testing::Test {
protected:
    NetworkOrder order(std::vector<std::string> nodes, std::string access = "")
    {
        NetworkOrder wanted;
        wanted.name = "net";
        wanted.range = *IpNetwork::parse("172.20.0.0/16");
        wanted.nodes = std::move(nodes);
        wanted.access = std::move(access);
        return wanted;
    }

    grid::Node a = sample_node('a', "198.51.100.11/24");
    grid::Node b = sample_node('b', "198.51.100.12/24");
    grid::Node hidden = sample_node('h', "192.168.1.5/24");
};

TEST_F(NetworkOrderTest, GivesEachNodeASubnetAKeyAndItsPeers)
{
    const auto plan = plan_network_order(order({a.node_id, b.node_id}, a.node_id), nullptr, {a, b});

    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_TRUE(plan->changed);
    ASSERT_EQ(plan->resources.size(), 2U);
    EXPECT_EQ(plan->resources[0].iprange.text(), "172.20.1.0/24");
    EXPECT_EQ(plan->resources[1].iprange.text(), "172.20.2.0/24");
    EXPECT_EQ(plan->resources[0].wireguard_private_key_encrypted.size(), 184U);
    EXPECT_NE(plan->resources[0].wireguard_public_key, plan->resources[1].wireguard_public_key);
    // The other node and the laptop.
    EXPECT_EQ(plan->resources[0].peers.size(), 2U);
    ASSERT_EQ(plan->resources[1].peers.size(), 1U);
    EXPECT_THAT(plan->resources[1].peers[0].endpoint, HasSubstr("198.51.100.11:"));
    for (const auto& member : plan->network.members) {
        EXPECT_GE(member.port, 1000);
        EXPECT_LE(member.port, 8999);
    }
}

TEST_F(NetworkOrderTest, TheLaptopsFileLeadsToTheAccessNode)
{
    const auto plan = plan_network_order(order({a.node_id}, a.node_id), nullptr, {a});
    ASSERT_TRUE(plan) << plan.error().message;

    const auto file = laptop_file(plan->network, "");

    ASSERT_TRUE(file) << file.error().message;
    EXPECT_THAT(std::string{file->reveal()}, HasSubstr("Address = 100.64.20.2/32"));
    EXPECT_THAT(std::string{file->reveal()}, HasSubstr("Endpoint = 198.51.100.11:"));
    EXPECT_THAT(std::string{file->reveal()}, HasSubstr("172.20.0.0/16"));
}

TEST_F(NetworkOrderTest, TheSameOrderAgainChangesNothing)
{
    auto first = plan_network_order(order({a.node_id, b.node_id}, a.node_id), nullptr, {a, b});
    ASSERT_TRUE(first);
    for (auto& member : first->network.members) member.workload = 7;

    const auto again =
        plan_network_order(order({a.node_id, b.node_id}, a.node_id), &first->network, {a, b});

    ASSERT_TRUE(again);
    EXPECT_FALSE(again->changed);
}

TEST_F(NetworkOrderTest, WhatIsSentOfANetworkOfAFormerVersionHasAToken)
{
    auto first = plan_network_order(order({a.node_id, b.node_id}), nullptr, {a, b});
    ASSERT_TRUE(first);
    first->network.token.clear();
    first->network.members[0].workload = 7;

    const auto again = plan_network_order(order({a.node_id, b.node_id}), &first->network, {a, b});

    ASSERT_TRUE(again);
    EXPECT_TRUE(again->changed);
    EXPECT_FALSE(again->network.token.empty());
    EXPECT_EQ(again->network.members[0].workload, 7);
}

TEST_F(NetworkOrderTest, ANewNodeKeepsTheOthersKeysAndSubnets)
{
    auto first = plan_network_order(order({a.node_id}, a.node_id), nullptr, {a});
    ASSERT_TRUE(first);
    first->network.members[0].workload = 7;

    const auto grown = plan_network_order(order({b.node_id}), &first->network, {a, b});

    ASSERT_TRUE(grown) << grown.error().message;
    EXPECT_TRUE(grown->changed);
    ASSERT_EQ(grown->resources.size(), 2U);
    EXPECT_EQ(grown->resources[0].wireguard_public_key, first->resources[0].wireguard_public_key);
    EXPECT_EQ(grown->resources[1].iprange.text(), "172.20.3.0/24") << ".2.0 is the laptop's";
}

TEST_F(NetworkOrderTest, AnUpdateCountsAsUntoldUntilItIsSent)
{
    auto first = plan_network_order(order({a.node_id, b.node_id}), nullptr, {a, b});
    ASSERT_TRUE(first);
    first->network.members[0].workload = 7;
    first->network.members[1].workload = 8;

    auto update =
        plan_network_order(order({a.node_id, b.node_id}, a.node_id), &first->network, {a, b});

    ASSERT_TRUE(update) << update.error().message;
    EXPECT_EQ(update->network.members[0].workload, 0);
    EXPECT_EQ(update->network.members[1].workload, 0);
    EXPECT_THAT(update->network.ending, testing::ElementsAre(7, 8));
    EXPECT_NE(update->network.token, first->network.token);

    // Stopped after one POST: the next run sends what is missing, and has not forgotten the old.
    update->network.members[0].workload = 9;
    const auto next =
        plan_network_order(order({a.node_id, b.node_id}, a.node_id), &update->network, {a, b});

    ASSERT_TRUE(next);
    EXPECT_TRUE(next->changed);
    EXPECT_EQ(next->network.members[0].workload, 9);
    EXPECT_EQ(next->network.members[1].workload, 0);
    EXPECT_THAT(next->network.ending, testing::ElementsAre(7, 8));
    EXPECT_EQ(next->network.token, update->network.token);
}

TEST_F(NetworkOrderTest, RefusesWhatCannotWorkAndSaysWhy)
{
    const auto other = sample_node('i', "192.168.2.5/24");
    const auto apart =
        plan_network_order(order({hidden.node_id, other.node_id}), nullptr, {hidden, other});
    ASSERT_FALSE(apart);
    EXPECT_THAT(apart.error().message, HasSubstr(hidden.node_id));
    EXPECT_THAT(apart.error().message, HasSubstr(other.node_id));

    const auto blind =
        plan_network_order(order({hidden.node_id}, hidden.node_id), nullptr, {hidden});
    ASSERT_FALSE(blind);
    EXPECT_THAT(blind.error().message, HasSubstr("--endpoint"));
}

TEST_F(NetworkOrderTest, PrivateAddressesCountWhenAskedTo)
{
    auto wanted = order({hidden.node_id}, hidden.node_id);
    wanted.lan = true;
    EXPECT_TRUE(plan_network_order(wanted, nullptr, {hidden}));

    auto given = order({hidden.node_id}, hidden.node_id);
    given.endpoints[hidden.node_id] = {*IpAddress::parse("198.51.100.99")};
    const auto plan = plan_network_order(given, nullptr, {hidden});
    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_EQ(plan->network.members[0].endpoints[0].text(), "198.51.100.99");
}

}  // namespace
}  // namespace znode::zgrid
