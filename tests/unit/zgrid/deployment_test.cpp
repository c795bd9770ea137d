#include "deployment.hpp"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden.hpp"

namespace znode::zgrid {
namespace {

std::string sample(const char* name)
{
    std::ostringstream text;
    text << std::ifstream{std::string{ZNODE_TEST_DATA "/zgrid/"} + name}.rdbuf();
    return text.str();
}

TEST(DeploymentTest, ReadsTheWholeFile)
{
    const auto read = read_deployment(sample("gaia.toml"));

    ASSERT_TRUE(read.mistakes.empty()) << to_text(read.mistakes, "gaia.toml");
    const auto& it = read.deployment;
    EXPECT_EQ(it.name, "gaia");
    EXPECT_EQ(it.pool, 1);
    ASSERT_EQ(it.networks.size(), 1U);
    EXPECT_EQ(it.networks[0].range.text(), "172.20.0.0/16");
    EXPECT_EQ(it.networks[0].nodes.size(), 2U);
    ASSERT_EQ(it.volumes.size(), 1U);
    EXPECT_EQ(it.volumes[0].size, 40);
    ASSERT_EQ(it.zdbs.size(), 1U);
    EXPECT_EQ(it.zdbs[0].password.reveal(), "x");
    ASSERT_EQ(it.containers.size(), 1U);
    const auto& container = it.containers[0];
    EXPECT_EQ(container.memory, 4096);
    EXPECT_EQ(container.disk, 350);
    EXPECT_EQ(container.ip->text(), "172.20.1.10");
    ASSERT_EQ(container.volumes.size(), 2U);
    EXPECT_FALSE(container.volumes[0].is_gwid);
    EXPECT_TRUE(container.volumes[1].is_gwid);
    EXPECT_EQ(container.env.at("SHARDS"), "{zdb.s1}");
    EXPECT_EQ(container.secret_env.at("KEY").reveal(), "x");
    EXPECT_EQ(container.logs.reveal(), "redis://:pw@host:6379/gaia");
}

TEST(DeploymentTest, ListsEveryMistakeWithItsLine)
{
    const auto read = read_deployment(sample("mistakes.toml"));

    EXPECT_TRUE(znode::test::matches_golden(
        "zgrid/mistakes.txt", to_text(read.mistakes, "mistakes.toml") + "\n"));
}

TEST(DeploymentTest, NamesTheLineOfBrokenSyntax)
{
    const auto read = read_deployment("name = \"x\"\nvolume.a = { size = \n");

    ASSERT_EQ(read.mistakes.size(), 1U);
    EXPECT_EQ(read.mistakes[0].line, 2);
}

TEST(DeploymentTest, ReadsHowLongItShallLive)
{
    EXPECT_EQ(parse_lifetime("24h"), std::chrono::hours{24});
    EXPECT_EQ(parse_lifetime("90m"), std::chrono::minutes{90});
    EXPECT_EQ(parse_lifetime("8s"), std::chrono::seconds{8});
    EXPECT_EQ(parse_lifetime("30d"), std::chrono::hours{720});
    for (const auto* wrong : {"", "h", "0h", "-1h", "1 h", "24", "99999999999999999999w", "1y"})
        EXPECT_FALSE(parse_lifetime(wrong)) << wrong;

    EXPECT_EQ(
        read_deployment("name = \"x\"\nduration = \"2d\"").deployment.duration,
        std::chrono::hours{48});
    const auto read = read_deployment("name = \"x\"\nduration = 3");
    ASSERT_EQ(read.mistakes.size(), 1U);
    EXPECT_EQ(read.mistakes[0].line, 2);
}

TEST(DeploymentTest, PutsResultsIntoValues)
{
    EXPECT_THAT(zdbs_in("{zdb.a},{zdb.b} {zdb"), testing::ElementsAre("a", "b"));
    EXPECT_EQ(
        with_zdbs("{zdb.a},{zdb.b};{zdb.c}", {{"a", "one"}, {"b", "two"}}), "one,two;{zdb.c}");
    EXPECT_EQ(
        zdb_reference("9012-4", Secret{"p@s:s"}, "2a04::1", 9900),
        "9012-4:p%40s%3As@[2a04::1]:9900");
    EXPECT_EQ(zdb_reference("1-1", Secret{}, "198.51.100.2", 9901), "1-1:@198.51.100.2:9901");
}

}  // namespace
}  // namespace znode::zgrid
