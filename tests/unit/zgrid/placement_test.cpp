#include "placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grid_samples.hpp"

namespace znode::zgrid {
namespace {

using test::sample_node;
using testing::ElementsAre;
using testing::HasSubstr;

class PlacementTest : public testing::Test {
protected:
    PlacementTest()
    {
        facts.nodes = {a, b};
        NetworkWish net;
        net.name = "net";
        net.range = *IpNetwork::parse("172.20.0.0/16");
        net.nodes = {a.node_id, "auto"};
        deployment.networks = {net};
        VolumeWish data;
        data.name = "data";
        data.size = 40;
        deployment.volumes = {data};
        ContainerWish hub;
        hub.name = "hub";
        hub.network = "net";
        hub.memory = 4096;
        hub.volumes = {{"/data", "data", false}};
        deployment.containers = {hub};
    }

    grid::Node a = sample_node('a', "198.51.100.11/24", 16);
    grid::Node b = sample_node('b', "198.51.100.12/24", 32);
    PlacementFacts facts;
    Deployment deployment;
};

TEST_F(PlacementTest, AContainerAndItsVolumeGoTogetherToTheNodeWithMostMemory)
{
    const auto placed = place(deployment, facts);

    ASSERT_TRUE(placed) << placed.error().message;
    EXPECT_THAT(placed->networks.at("net"), ElementsAre(a.node_id, b.node_id));
    EXPECT_EQ(placed->parts.at("container.hub"), b.node_id);
    EXPECT_EQ(placed->parts.at("volume.data"), b.node_id);
}

TEST_F(PlacementTest, AnAddressNamesTheNode)
{
    deployment.containers[0].ip = IpAddress::parse("172.20.1.10");

    EXPECT_EQ(place(deployment, facts)->parts.at("container.hub"), a.node_id);
}

TEST_F(PlacementTest, WhatIsThereStays)
{
    facts.settled["volume.data"] = a.node_id;

    const auto placed = place(deployment, facts);

    EXPECT_EQ(placed->parts.at("container.hub"), a.node_id);
    EXPECT_EQ(placed->parts.at("volume.data"), a.node_id);
}

TEST_F(PlacementTest, AnOlderVolumeDecides)
{
    deployment.containers[0].volumes = {{"/data", "12-1", true}};
    facts.volume_nodes["12-1"] = a.node_id;

    EXPECT_EQ(place(deployment, facts)->parts.at("container.hub"), a.node_id);
}

TEST_F(PlacementTest, ContainersSpreadByMemory)
{
    deployment.containers.push_back(deployment.containers[0]);
    deployment.containers[0].memory = 20 * 1024;
    deployment.containers[0].volumes.clear();
    deployment.containers[1].name = "second";
    deployment.volumes.clear();
    deployment.containers[1].volumes.clear();

    const auto placed = place(deployment, facts);

    EXPECT_EQ(placed->parts.at("container.hub"), b.node_id);
    EXPECT_EQ(placed->parts.at("container.second"), a.node_id);
}

TEST_F(PlacementTest, SaysWhatHasNoPlace)
{
    deployment.networks[0].nodes = {"auto", "auto", "auto"};
    EXPECT_THAT(place(deployment, facts).error().message, HasSubstr("network.net"));

    deployment.networks[0].nodes = {a.node_id};
    deployment.containers[0].node = b.node_id;
    EXPECT_THAT(place(deployment, facts).error().message, HasSubstr("container.hub"));
}

TEST(DivideTest, KeepsWhatIsTakenAndEndsWithTheRange)
{
    const auto range = *IpNetwork::parse("10.1.0.0/22");
    const auto taken =
        std::vector<std::pair<std::string, IpNetwork>>{{"a", *IpNetwork::parse("10.1.2.0/24")}};

    const auto subnets = divide(range, {"a", "b", "c"}, taken);

    ASSERT_TRUE(subnets);
    EXPECT_EQ(subnets->at("a").text(), "10.1.2.0/24");
    EXPECT_EQ(subnets->at("b").text(), "10.1.1.0/24");
    EXPECT_EQ(subnets->at("c").text(), "10.1.3.0/24");
    EXPECT_EQ(divide(range, {"a", "b", "c", "d"}, taken).error().code, Errc::exhausted);
}

TEST(HasFreeTest, WhatIsReservedIsNotOffered)
{
    auto node = sample_node('a', "198.51.100.11/24", 16);
    node.total_resources.cru = 4;
    node.reserved_resources.cru = 1;
    node.reserved_resources.mru = 10;
    node.reserved_resources.sru = 200;

    EXPECT_TRUE(has_free(node, {}));
    EXPECT_TRUE(has_free(node, {.cru = 3, .mru = 6}));
    EXPECT_FALSE(has_free(node, {.cru = 4}));
    EXPECT_FALSE(has_free(node, {.mru = 7}));
    EXPECT_FALSE(has_free(node, {.sru = 1})) << "more in use than it has";
    EXPECT_FALSE(has_free(node, {.hru = 1}));
}

}  // namespace
}  // namespace znode::zgrid
