#include "state.hpp"

#include <sys/stat.h>
#include <unistd.h>

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
    auto mine = State::load_for_change(identity, "http://one/api/v1", 7).value();
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
    mine.grid().deployments["gaia"]["volume.data"] = {14, "node", "print", "", "token"};
    network.token = "words";
    network.ending = {3, 4};
    ASSERT_TRUE(mine.save());
    mine.release();
    auto other = State::load_for_change(identity, "http://two", 7).value();
    EXPECT_TRUE(other.grid().networks.empty());
    other.grid().deployments["x"]["zdb.y"] = {1, "n", "p", "", ""};
    ASSERT_TRUE(other.save());

    auto again = State::load(identity, "http://one", 7).value();

    const auto& known = again.grid().networks.at("net");
    ASSERT_NE(known.member("node"), nullptr);
    EXPECT_EQ(known.member("node")->workload, 12);
    EXPECT_EQ(known.member("node")->endpoints[0].text(), "2001:db8::1");
    EXPECT_EQ(known.accesses[0].private_key.reveal(), "private");
    EXPECT_FALSE(known.accesses[0].ipv4);
    EXPECT_EQ(again.grid().deployments.at("gaia").at("volume.data").workload, 14);
    EXPECT_EQ(again.grid().deployments.at("gaia").at("volume.data").token, "token");
    EXPECT_EQ(known.token, "words");
    EXPECT_EQ(known.ending, (std::vector<std::int64_t>{3, 4}));
}

TEST_F(StateTest, TheFileIsForItsOwnerOnly)
{
    auto state = State::load_for_change(identity, "http://one", 7).value();
    ASSERT_TRUE(state.save());

    struct stat info{};
    ASSERT_EQ(::stat(file.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(StateTest, OnlyOneChangesItAtATime)
{
    auto first = State::load_for_change(identity, "http://one", 7);
    ASSERT_TRUE(first) << first.error().message;

    const auto second = State::load_for_change(identity, "http://two", 8);
    const auto reader = State::load(identity, "http://one", 7);

    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::unavailable);
    EXPECT_THAT(
        second.error().message, testing::HasSubstr("process " + std::to_string(::getpid())));
    ASSERT_TRUE(reader) << "a mere question waits for nobody";
    EXPECT_FALSE(reader->save()) << "and would overwrite what others save";

    first->release();
    EXPECT_TRUE(State::load_for_change(identity, "http://two", 8));
}

TEST_F(StateTest, AFileOfAnEarlierVersionIsRead)
{
    std::ofstream{file} << R"({"http://one 7": {"networks": {"net": {"range": "172.20.0.0/16",
        "pool": 1, "members": [], "accesses": []}}, "deployments": {"gaia": {"zdb.x":
        {"workload": 5, "node": "n", "fingerprint": "f", "ip": ""}}}}})";

    auto state = State::load(identity, "http://one", 7);

    ASSERT_TRUE(state) << state.error().message;
    EXPECT_TRUE(state->grid().networks.at("net").ending.empty());
    EXPECT_EQ(state->grid().deployments.at("gaia").at("zdb.x").token, "");
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
