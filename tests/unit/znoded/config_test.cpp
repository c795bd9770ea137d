#include "config.hpp"

#include <fstream>
#include <iterator>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode::agent {
namespace {

using testing::HasSubstr;

std::optional<std::string> nothing(const std::string&) { return std::nullopt; }

Result<Config> parse(std::string_view text)
{
    return parse_config(text, "z.toml", nothing, "quiet");
}

constexpr auto least = "[node]\nfarm_id = 1\n[explorer]\nurl = \"http://127.0.0.1:8080\"\n";

TEST(ConfigTest, TakesTheLeastAndFillsInDefaults)
{
    const auto config = parse(least);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->node.mode, "host");
    EXPECT_EQ(config->socket_path(), "/run/znode/status.sock");
    EXPECT_EQ(config->node.city, "Unknown");
}

TEST(ConfigTest, ReadsAWholeFile)
{
    const auto config = parse(R"(
[node]
farm_id = 7
location = { continent = "Europe", country = "Austria", city = "Salzburg", latitude = 47.8, longitude = 13 }
mru = "8GiB"
[explorer]
url = "https://explorer.example/api/v1"
[storage]
pools = [ { kind = "image", path = "/var/lib/znode/pool.img", size = "20GiB", class = "ssd" } ]
undelete = "90m"
)");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->node.longitude, 13.0);
    EXPECT_EQ(config->node.mru, 8ULL << 30U);
    ASSERT_EQ(config->storage.pools.size(), 1U);
    EXPECT_EQ(config->storage.pools[0].size, 20ULL << 30U);
    EXPECT_EQ(config->storage.undelete, std::chrono::minutes{90});
}

std::string shipped()
{
    std::ifstream file{ZNODE_TEST_DATA "/../../systemd/znoded.toml.in"};
    return {std::istreambuf_iterator<char>{file}, {}};
}

TEST(ConfigTest, ShippedFileNeedsOnlyTheFarm)
{
    const auto config = parse_config(shipped(), "z.toml", nothing, "quiet farmer_id=12 ro");

    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->node.farm_id, 12);
    EXPECT_EQ(config->storage.pools.size(), 1U);
}

TEST(ConfigTest, ShippedFileShowsSettingsThatExist)
{
    std::string text;
    std::istringstream lines{shipped()};
    for (std::string line; std::getline(lines, line);) {
        const bool setting = line.size() > 1 && line[0] == '#' && line[1] >= 'a' && line[1] <= 'z';
        text += (setting ? line.substr(1) : line) + "\n";
    }

    const auto config = parse_config(text, "z.toml", nothing, "");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->node.farm_id, 1);
    EXPECT_EQ(config->containers.cgroup, "auto");
    EXPECT_EQ(config->containers.pids, Config{}.containers.pids);
    EXPECT_EQ(config->flist.cache_size, Config{}.flist.cache_size);
}

TEST(ConfigTest, CgroupIsAutoOrAPath)
{
    const auto with = [](const std::string& path) {
        return parse(std::string{least} + "[containers]\ncgroup = \"" + path + "\"\n");
    };
    EXPECT_EQ(with("/machine.slice/znode")->containers.cgroup, "/machine.slice/znode");
    for (const auto* wrong : {"", "/", "machine.slice", "/a//b", "/a/../b", "/a b"}) {
        const auto config = with(wrong);
        ASSERT_FALSE(config) << wrong;
        EXPECT_THAT(config.error().message, HasSubstr("containers.cgroup must be"));
    }
}

TEST(ConfigTest, ListsEveryMistakeWithItsLine)
{
    const auto config = parse(R"([node]
farm_id = "one"
mod = "host"
[explorer]
url = "ftp://x"
[storage]
pools = [ { kind = "image", path = "pool.img" } ]
[extra]
)");
    ASSERT_FALSE(config);
    const auto& text = config.error().message;
    EXPECT_THAT(text, HasSubstr("z.toml:2: node.farm_id must be a whole number"));
    EXPECT_THAT(text, HasSubstr("z.toml:3: node.mod is not known"));
    EXPECT_THAT(text, HasSubstr("explorer.url must begin with http://"));
    EXPECT_THAT(text, HasSubstr("z.toml:7: storage.pools: path is not known or has a wrong value"));
    EXPECT_THAT(text, HasSubstr("z.toml:7: storage.pools: an image needs a size"));
    EXPECT_THAT(text, HasSubstr("z.toml:8: [extra] is not a section"));
}

TEST(ConfigTest, EnvironmentWinsAndTheKernelCommandLineFillsIn)
{
    const auto environment = [](const std::string& name) -> std::optional<std::string> {
        if (name == "ZNODE_EXPLORER_URL") return "http://other:1";
        if (name == "ZNODE_NETWORK_ZDB_PORT_BASE") return "many";
        return std::nullopt;
    };
    const auto wrong = parse_config("", "z.toml", environment, "root=/dev/sda farmer_id=12 quiet");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(
        wrong.error().message, "environment: ZNODE_NETWORK_ZDB_PORT_BASE must be a whole number");

    const auto right = parse_config(
        "",
        "z.toml",
        [](const std::string& name) -> std::optional<std::string> {
            if (name == "ZNODE_EXPLORER_URL") return "http://other:1";
            return std::nullopt;
        },
        "root=/dev/sda farmer_id=12 quiet");
    ASSERT_TRUE(right) << right.error().message;
    EXPECT_EQ(right->node.farm_id, 12);
    EXPECT_EQ(right->explorer.url, "http://other:1");
}

TEST(ConfigTest, WhatThisVersionCannotDoIsRefused)
{
    const auto config = parse(std::string{least} + R"(
[network]
fix_forward = true
[storage]
pools = [ { kind = "disk", path = "/dev/sdb" } ]
)");
    ASSERT_FALSE(config);
    EXPECT_THAT(config.error().message, HasSubstr("network.fix_forward is not supported"));
    EXPECT_THAT(config.error().message, HasSubstr("use kind = \"directory\""));
}

TEST(ConfigTest, BrokenTomlNamesTheLine)
{
    EXPECT_THAT(parse("[node]\nfarm_id = = 1\n").error().message, HasSubstr("z.toml:2: "));
    EXPECT_THAT(parse("").error().message, HasSubstr("node.farm_id is missing"));
}

TEST(ConfigTest, ATimeThatDoesNotFitIsRefusedAndNotNegative)
{
    EXPECT_EQ(*parse_duration("36500d"), std::chrono::hours{24} * 36500);
    EXPECT_GT(*parse_duration("99999999s"), Duration{});
    for (const auto* text :
         {"999999d", "36501d", "876001h", "100000000d", "9223372036854775807d"}) {
        const auto read = parse_duration(text);
        ASSERT_FALSE(read) << text;
        EXPECT_THAT(read.error().message, HasSubstr("too long")) << text;
    }
    EXPECT_FALSE(parse_duration("-1d"));
    const auto config = parse(std::string{least} + "[storage]\nundelete = \"999999d\"\n");
    ASSERT_FALSE(config);
    EXPECT_THAT(config.error().message, HasSubstr("storage.undelete"));
}

TEST(ConfigTest, MetricsAreServedAtAnAddress)
{
    const auto with = [](const std::string& listen) {
        return parse(std::string{least} + "[status]\nlisten = \"" + listen + "\"\n");
    };
    EXPECT_EQ(parse(least)->status.listen, "");
    EXPECT_EQ(with("127.0.0.1:9100")->status.listen, "127.0.0.1:9100");
    EXPECT_TRUE(with("[::1]:9100"));
    for (const auto* wrong : {"9100", "127.0.0.1", "localhost:9100", "127.0.0.1:0", "::1:x"}) {
        const auto config = with(wrong);
        ASSERT_FALSE(config) << wrong;
        EXPECT_THAT(config.error().message, HasSubstr("status.listen"));
    }
}

TEST(ConfigTest, TwoFilesAreComparedKeyByKey)
{
    const auto before = parse(least);
    const auto after = parse(R"(
[node]
farm_id = 2
state_dir = "/s"
cache_dir = "/c"
run_dir = "/r"
helpers_dir = "/h"
hostname = "h"
log_level = "debug"
location = { city = "Salzburg" }
cru = 1
mru = "1GiB"
cpu_overcommit = 2.0
memory_reserve = "2GiB"
[explorer]
url = "http://127.0.0.1:8081"
era = "pools"
verify = "always"
ca_file = "/ca"
[storage]
pools = [ { kind = "image", path = "/p.img", size = "20GiB" } ]
undelete = "90m"
[network]
uplink = "eth7"
wireguard = "kernel"
zdb_port_base = 9901
[flist]
hub_url = "zdb://hub:9900"
cache_size = "1GiB"
[zdb]
command = "other"
user = "zdb"
[containers]
runtime = "/crun"
cgroup = "/a/b"
pids = 7
first_uid = 2000000
[logs]
segment_size = "1MiB"
segments = 7
[status]
socket = "/s.sock"
group = "g"
listen = "127.0.0.1:9100"
)");
    ASSERT_TRUE(before && after) << after.error().message;

    EXPECT_TRUE(changed_keys(*after, *after).empty());
    // All that the file knows but what only one value is taken for yet.
    EXPECT_THAT(
        changed_keys(*before, *after),
        testing::ElementsAre(
            "node.farm_id",
            "node.state_dir",
            "node.cache_dir",
            "node.run_dir",
            "node.helpers_dir",
            "node.hostname",
            "node.log_level",
            "node.location",
            "node.cru",
            "node.mru",
            "node.cpu_overcommit",
            "node.memory_reserve",
            "explorer.url",
            "explorer.era",
            "explorer.verify",
            "explorer.ca_file",
            "storage.pools",
            "storage.undelete",
            "network.uplink",
            "network.wireguard",
            "network.zdb_port_base",
            "flist.hub_url",
            "flist.cache_size",
            "zdb.command",
            "zdb.user",
            "containers.runtime",
            "containers.cgroup",
            "containers.pids",
            "containers.first_uid",
            "logs.segment_size",
            "logs.segments",
            "status.socket",
            "status.group",
            "status.listen"));
}

}  // namespace
}  // namespace znode::agent
