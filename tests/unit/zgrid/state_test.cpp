#include "state.hpp"

#include <sys/stat.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace znode::zgrid {
namespace {

class StateTest : public testing::Test {
protected:
    znode::test::TempFolder folder;
    std::filesystem::path identity = folder.path() / "me.json";
    std::filesystem::path file = folder.path() / "me.json.state";
};

TEST_F(StateTest, RemembersPerExplorerAndUser)
{
    auto mine = State::load(identity, "http://one/api/v1", 7).value();
    auto& network = mine.grid().networks["net"];
    network.range = *IpNetwork::parse("172.20.0.0/16");
    network.members.push_back(
        {"node",
         *IpNetwork::parse("172.20.1.0/24"),
         "key",
         "sealed",
         5123,
         {*IpAddress::parse("2001:db8::1")},
         12});
    network.accesses.push_back(
        {"node", *IpNetwork::parse("172.20.2.0/24"), "laptop", Secret{"private"}, false});
    mine.grid().deployments["gaia"]["volume.data"] = {14, "node", "print", ""};
    ASSERT_TRUE(mine.save());
    auto other = State::load(identity, "http://two", 7).value();
    EXPECT_TRUE(other.grid().networks.empty());
    other.grid().deployments["x"]["zdb.y"] = {1, "n", "p", ""};
    ASSERT_TRUE(other.save());

    auto again = State::load(identity, "http://one", 7).value();

    const auto& known = again.grid().networks.at("net");
    ASSERT_NE(known.member("node"), nullptr);
    EXPECT_EQ(known.member("node")->workload, 12);
    EXPECT_EQ(known.member("node")->endpoints[0].text(), "2001:db8::1");
    EXPECT_EQ(known.accesses[0].private_key.reveal(), "private");
    EXPECT_FALSE(known.accesses[0].ipv4);
    EXPECT_EQ(again.grid().deployments.at("gaia").at("volume.data").workload, 14);
}

TEST_F(StateTest, TheFileIsForItsOwnerOnly)
{
    auto state = State::load(identity, "http://one", 7).value();
    ASSERT_TRUE(state.save());

    struct stat info{};
    ASSERT_EQ(::stat(file.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(StateTest, ADamagedFileIsNeitherReadNorReplaced)
{
    std::ofstream{file} << R"({"http://one 7": {"networks": 3, "private": "topsecret"})";

    const auto state = State::load(identity, "http://one", 7);

    EXPECT_EQ(state.error().code, Errc::corrupt);
    EXPECT_THAT(state.error().message, testing::Not(testing::HasSubstr("topsecret")));
}

}  // namespace
}  // namespace znode::zgrid
