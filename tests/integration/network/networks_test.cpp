#include "network/networks.hpp"

#include <netinet/in.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/child.hpp"
#include "kernel/netns.hpp"
#include "network/addressing.hpp"
#include "network/wireguard_keys.hpp"
#include "world.hpp"

namespace znode::network {
namespace {

using test::Echo;
using test::must;
using test::Place;
using test::reaches;
using test::World;
using testing::HasSubstr;
using testing::IsEmpty;

/// A node's agent with its networks, in namespaces of its own.
class Node {
public:
    Node(World& world, const std::string& name, const std::string& address)
        : address_{address.substr(0, address.find('/'))},
          space_{world.plug(name, address)},
          run_dir_{world.folder() / name},
          place_{space_.get()},
          spec_{.node_id = name + "-AAAAAAAAAAAAAAAA", .run_dir = run_dir_, .uplink = "eth0"}
    {
        start();
    }
    ~Node()
    {
        place_.call([&] {
            end_agent();
            start_agent();
            EXPECT_TRUE(run(*loop_, networks_->start()));
            const auto purged = run(*loop_, networks_->purge());
            EXPECT_TRUE(purged) << purged.error().message;
            end_agent();
            for (const auto& pin : containers_) EXPECT_TRUE(kernel::unpin_netns(pin));
            expect_nothing_left();
        });
    }

    void start()
    {
        place_.call([&] {
            start_agent();
            const auto host = run(*loop_, networks_->start());
            ASSERT_TRUE(host) << host.error().message;
            host_ = *host;
        });
    }
    /// As after kill -9: the next agent finds the world as it is.
    void restart()
    {
        place_.call([&] { end_agent(); });
        start();
    }

    template <class T>
    Result<T> ask(const std::function<Task<Result<T>>(Networks&)>& question)
    {
        Result<T> answer = fail(Errc::internal, "no answer");
        place_.call([&] { answer = run(*loop_, question(*networks_)); });
        return answer;
    }
    Result<NetworkFacts> ensure(const NetworkResourceSpec& spec)
    {
        return ask<NetworkFacts>([&](Networks& n) { return n.ensure(spec); });
    }
    Result<> remove(const std::string& gwid)
    {
        return ask<void>([&](Networks& n) { return n.remove(gwid); });
    }
    Result<Joined> join(const ContainerJoinSpec& spec)
    {
        return ask<Joined>([&](Networks& n) { return n.join(spec); });
    }
    Result<> leave(const std::string& gwid)
    {
        return ask<void>([&](Networks& n) { return n.leave(gwid); });
    }
    Inventory inventory()
    {
        return must(ask<Inventory>([](Networks& n) { return n.list(); }));
    }
    /// Lets the loop run, for what happens beside the calls.
    void pass(Duration duration)
    {
        place_.call([&] { run(*loop_, sleep_for(duration)); });
    }

    /// A container's namespace and a member of the network.
    Result<Joined> join_container(
        const std::string& gwid,
        const std::string& user,
        const std::string& net,
        const std::string& ip)
    {
        const auto pin = run_dir_ / ("c-" + gwid);
        place_.call([&] {
            if (!kernel::is_pinned_netns(pin)) {
                containers_.push_back(pin);
                spaces_[gwid] = must(kernel::make_pinned_netns(pin));
            }
        });
        return join(
            {.gwid = gwid, .user_id = user, .network = net, .space = pin, .addresses = {ip}});
    }
    int container(const std::string& gwid) const { return spaces_.at(gwid).get(); }
    int space() const { return space_.get(); }
    const std::string& address() const { return address_; }
    const HostNetwork& host() const { return host_; }
    Place& place() { return place_; }
    const std::filesystem::path& run_dir() const { return run_dir_; }

private:
    void start_agent()
    {
        loop_ = std::make_unique<asio::io_context>(1);
        networks_ = make_host_networks(*loop_, spec_, silent_log());
    }
    void end_agent()
    {
        if (!networks_) return;
        run(*loop_, networks_->stop());
        networks_.reset();
        loop_.reset();
    }
    void expect_nothing_left()
    {
        auto links = must(kernel::RouteSocket::open());
        std::set<std::string> names;
        for (const auto& link : must(links.links())) names.insert(link.name);
        EXPECT_THAT(names, testing::ElementsAre("eth0", "lo"));
        EXPECT_THAT(pins_left(run_dir_ / "ns"), IsEmpty());
        const auto tables = must(kernel::run_checked({"nft", "list", "tables"}));
        EXPECT_THAT(tables, Not(HasSubstr("znode")));
        EXPECT_EQ(must(kernel::read_net_sysctl("ipv4/ip_forward")), "0");
        std::ifstream mounts{"/proc/thread-self/mountinfo"};
        const std::string all{std::istreambuf_iterator<char>{mounts}, {}};
        EXPECT_THAT(all, Not(HasSubstr(run_dir_.string())));
    }
    static std::vector<std::string> pins_left(const std::filesystem::path& folder)
    {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator{folder})
            names.push_back(entry.path().filename());
        return names;
    }

    std::string address_;
    kernel::Fd space_;
    std::filesystem::path run_dir_;
    Place place_;
    HostNetworkSpec spec_;
    HostNetwork host_;
    std::unique_ptr<asio::io_context> loop_;
    std::unique_ptr<Networks> networks_;
    std::vector<std::filesystem::path> containers_;
    std::map<std::string, kernel::Fd> spaces_;
};

/// Processes called wireguard-go that serve one of our tunnels; they may take a moment to end.
std::vector<pid_t> tunnel_processes(Node& node, const std::string& network_id)
{
    std::vector<pid_t> found;
    node.place().call([&] {
        if (const auto pid = kernel::uapi_server("/run/wireguard/w-" + network_id + ".sock"))
            found.push_back(*pid);
    });
    return found;
}

class NetworksTest : public testing::Test {
protected:
    static void SetUpTestSuite() { test::leave_the_machine(); }

    static NetworkResourceSpec::Peer peer_at(
        const WireGuardKeys& keys, const std::string& endpoint, const std::string& third)
    {
        return {
            .public_key = keys.public_key,
            .endpoint = endpoint,
            .subnet = "172.20." + third + ".0/24",
            .allowed = {"172.20." + third + ".0/24", "100.64.20." + third + "/32"}};
    }
    static NetworkResourceSpec network(
        const std::string& gwid,
        const WireGuardKeys& keys,
        const std::string& third,
        std::vector<NetworkResourceSpec::Peer> peers)
    {
        return {
            .gwid = gwid,
            .user_id = "134",
            .name = "demo",
            .range = "172.20.0.0/16",
            .subnet = "172.20." + third + ".0/24",
            .private_key = keys.private_key,
            .public_key = keys.public_key,
            .listen_port = 8030,
            .peers = std::move(peers)};
    }

    World world;
    WireGuardKeys keys1 = make_wireguard_keys();
    WireGuardKeys keys2 = make_wireguard_keys();
    WireGuardKeys keys3 = make_wireguard_keys();
    const std::string id = network_id("134", "demo");
};

TEST_F(NetworksTest, ContainersOfTwoNodesAndALaptopMeetAndStrangersDoNot)
{
    Node one{world, "one", "198.51.100.11/24"};
    Node two{world, "two", "198.51.100.12/24"};
    auto laptop_spec = network("1-3", keys3, "100", {peer_at(keys1, "198.51.100.11:8030", "15")});
    laptop_spec.peers[0].allowed = {"172.20.0.0/16"};
    Node laptop{world, "laptop", "198.51.100.50/24"};

    const auto began = std::chrono::steady_clock::now();
    const auto first = one.ensure(network(
        "1-1",
        keys1,
        "15",
        {peer_at(keys2, "198.51.100.12:8030", "16"), peer_at(keys3, "", "100")}));
    ASSERT_TRUE(first) << first.error().message;
    const auto made = std::chrono::steady_clock::now();
    auto to_one = peer_at(keys1, "198.51.100.11:8030", "15");
    to_one.allowed.push_back("172.20.100.0/24");
    to_one.allowed.push_back("100.64.20.100/32");
    ASSERT_TRUE(two.ensure(network("1-2", keys2, "16", {to_one})));
    ASSERT_TRUE(laptop.ensure(laptop_spec));
    ASSERT_TRUE(one.join_container("2-1", "134", "demo", "172.20.15.10"));
    const auto before_join = std::chrono::steady_clock::now();
    const auto joined = two.join_container("2-2", "134", "demo", "172.20.16.10");
    const auto after_join = std::chrono::steady_clock::now();
    ASSERT_TRUE(joined) << joined.error().message;
    RecordProperty("create_us", static_cast<int>((made - began).count() / 1000));
    RecordProperty("join_us", static_cast<int>((after_join - before_join).count() / 1000));
    std::printf(
        "network resource %.1f ms, join %.1f ms\n",
        std::chrono::duration<double, std::milli>(made - began).count(),
        std::chrono::duration<double, std::milli>(after_join - before_join).count());

    const Echo on_one{one.container("2-1"), "172.20.15.10", 80};
    const Echo on_two{two.container("2-2"), "172.20.16.10", 80};
    EXPECT_TRUE(reaches(one.container("2-1"), "172.20.16.10", 80, 15000));
    EXPECT_TRUE(reaches(two.container("2-2"), "172.20.15.10", 80, 15000));
    const auto laptop_space = must(kernel::in_netns(laptop.space(), [&]() -> Result<kernel::Fd> {
        Result<kernel::Fd> fd = fail(Errc::internal, "");
        laptop.place().call(
            [&] { fd = kernel::open_netns(laptop.run_dir() / "ns" / ("n-" + id)); });
        return fd;
    }));
    EXPECT_TRUE(reaches(laptop_space.get(), "172.20.15.10", 80, 15000));
    EXPECT_TRUE(reaches(laptop_space.get(), "172.20.16.10", 80, 15000));

    // Another customer with the same ranges on the same node: another world.
    const auto stranger_keys = make_wireguard_keys();
    auto stranger = network("9-1", stranger_keys, "99", {});
    stranger.user_id = "135";
    stranger.listen_port = 8031;
    ASSERT_TRUE(one.ensure(stranger));
    ASSERT_TRUE(one.join_container("9-2", "135", "demo", "172.20.99.10"));
    EXPECT_FALSE(reaches(one.container("9-2"), "172.20.15.10", 80, 300));
    EXPECT_FALSE(reaches(one.container("9-2"), "172.20.16.10", 80, 300));
    // Nor may it address the other's namespace on the exit, which it could guess.
    const Echo in_exit{
        must(kernel::in_netns(
                 one.space(),
                 [&]() -> Result<kernel::Fd> {
                     Result<kernel::Fd> fd = fail(Errc::internal, "");
                     one.place().call([&] { fd = kernel::open_netns(first->space); });
                     return fd;
                 }))
            .get(),
        first->lease.text(),
        80};
    EXPECT_FALSE(reaches(one.container("9-2"), first->lease.text(), 80, 300));

    // Outwards through exit and uplink; nothing inwards.
    const auto server = world.plug("server", "198.51.100.77/24");
    const Echo outside{server.get(), "198.51.100.77", 8080};
    EXPECT_TRUE(reaches(one.container("2-1"), "198.51.100.77", 8080, 15000));
    EXPECT_TRUE(reaches(one.container("9-2"), "198.51.100.77", 8080, 15000));

    // A service of the machine itself is none of a tenant's business.
    const Echo on_host{one.space(), "198.51.100.11", 22};
    EXPECT_TRUE(reaches(server.get(), "198.51.100.11", 22, 15000));
    EXPECT_FALSE(reaches(one.container("2-1"), "198.51.100.11", 22, 300));
}

TEST_F(NetworksTest, TunnelOutlivesTheAgentAndItsProcessIsReplaced)
{
    Node one{world, "one", "198.51.100.11/24"};
    Node two{world, "two", "198.51.100.12/24"};
    const auto spec1 = network("1-1", keys1, "15", {peer_at(keys2, "198.51.100.12:8030", "16")});
    const auto spec2 = network("1-2", keys2, "16", {peer_at(keys1, "198.51.100.11:8030", "15")});
    ASSERT_TRUE(one.ensure(spec1));
    ASSERT_TRUE(two.ensure(spec2));
    ASSERT_TRUE(one.join_container("2-1", "134", "demo", "172.20.15.10"));
    ASSERT_TRUE(two.join_container("2-2", "134", "demo", "172.20.16.10"));
    const Echo on_two{two.container("2-2"), "172.20.16.10", 80};
    ASSERT_TRUE(reaches(one.container("2-1"), "172.20.16.10", 80, 15000));
    if (one.host().wireguard == WireGuardKind::kernel) return;

    const auto before = tunnel_processes(one, id);
    one.restart();
    EXPECT_TRUE(reaches(one.container("2-1"), "172.20.16.10", 80, 15000));
    const auto inventory = one.inventory();
    ASSERT_EQ(inventory.networks.size(), 1U);
    EXPECT_EQ(inventory.networks[0].gwid, "1-1");
    EXPECT_THAT(inventory.networks[0].members, testing::ElementsAre("2-1"));
    ASSERT_TRUE(one.ensure(spec1));
    EXPECT_EQ(tunnel_processes(one, id), before);

    ASSERT_EQ(before.size(), 1U);
    ::kill(before[0], SIGKILL);
    for (int i = 0; i < 100; ++i) {
        one.pass(std::chrono::milliseconds{50});
        const auto now = tunnel_processes(one, id);
        if (!now.empty() && now != before) break;
    }
    EXPECT_EQ(tunnel_processes(one, id).size(), 1U);
    EXPECT_NE(tunnel_processes(one, id), before);
    EXPECT_TRUE(reaches(one.container("2-1"), "172.20.16.10", 80, 20000));
}

TEST_F(NetworksTest, WrongUpdateAndOldGenerationsLeaveWhatRunsAlone)
{
    Node one{world, "one", "198.51.100.11/24"};
    ASSERT_TRUE(one.ensure(network("7-1", keys1, "15", {peer_at(keys2, "", "16")})));

    auto wrong = network("8-1", keys1, "15", {peer_at(keys2, "node.example:8030", "16")});
    const auto refused = one.ensure(wrong);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("peers[0].endpoint"));

    auto newer = network("10-1", keys1, "15", {peer_at(keys3, "", "17")});
    ASSERT_TRUE(one.ensure(newer));
    const auto old = one.ensure(network("9-1", keys1, "15", {}));
    ASSERT_TRUE(old);
    EXPECT_TRUE(old->superseded);
    EXPECT_TRUE(one.remove("7-1"));
    const auto inventory = one.inventory();
    ASSERT_EQ(inventory.networks.size(), 1U);
    EXPECT_EQ(inventory.networks[0].gwid, "10-1");
    ASSERT_EQ(inventory.networks[0].peers.size(), 1U);
    EXPECT_EQ(kernel::to_text(inventory.networks[0].peers[0].public_key), keys3.public_key);

    // Another user whose id and name run together to the same network id.
    auto thief = network("11-1", keys2, "15", {});
    thief.user_id = "13";
    thief.name = "4demo";
    const auto denied = one.ensure(thief);
    ASSERT_FALSE(denied);
    EXPECT_EQ(denied.error().code, Errc::denied);

    auto same_port = network("12-1", keys2, "15", {});
    same_port.name = "other";
    const auto taken = one.ensure(same_port);
    ASSERT_FALSE(taken);
    EXPECT_THAT(taken.error().message, HasSubstr("wireguard_listen_port"));
    EXPECT_THAT(
        must(one.ask<std::vector<std::uint16_t>>([](Networks& n) { return n.reserved_ports(); })),
        testing::ElementsAre(8030, 9943, 9944, 9945));
}

TEST_F(NetworksTest, PortOfAnotherProgramIsNamedAndNothingIsLeft)
{
    Node one{world, "one", "198.51.100.11/24"};
    const auto other = must(kernel::in_netns(one.space(), []() -> Result<kernel::Fd> {
        kernel::Fd fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(8030);
        if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0)  // NOLINT
            return fail_errno(errno, "bind");
        return fd;
    }));

    const auto refused = one.ensure(network("7-1", keys1, "15", {}));

    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("wireguard_listen_port: 8030 is in use"));
    EXPECT_THAT(one.inventory().networks, IsEmpty());
    EXPECT_THAT(tunnel_processes(one, id), IsEmpty());
}

TEST_F(NetworksTest, JoinChecksItsAddressAndLeaveTakesTheLink)
{
    Node one{world, "one", "198.51.100.11/24"};
    EXPECT_EQ(
        one.join_container("2-1", "134", "demo", "172.20.15.10").error().code, Errc::not_found);
    const auto made = one.ensure(network("7-1", keys1, "15", {}));
    ASSERT_TRUE(made) << made.error().message;

    for (const auto* wrong :
         {"172.20.16.10", "172.20.15.1", "172.20.15.0", "172.20.15.255", "x", "::1"})
        EXPECT_EQ(one.join_container("2-1", "134", "demo", wrong).error().code, Errc::invalid)
            << wrong;
    EXPECT_EQ(
        one.join_container("2-1", "135", "demo", "172.20.15.10").error().code, Errc::not_found);
    const auto joined = one.join_container("2-1", "134", "demo", "172.20.15.10");
    ASSERT_TRUE(joined) << joined.error().message;
    EXPECT_EQ(joined->gateway.text(), "172.20.15.1");
    const auto again = one.join_container("2-1", "134", "demo", "172.20.15.10");
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->mac, joined->mac);
    const auto taken = one.join_container("2-2", "134", "demo", "172.20.15.10");
    ASSERT_FALSE(taken);
    EXPECT_THAT(taken.error().message, HasSubstr("in use by workload 2-1"));

    EXPECT_TRUE(one.leave("2-1"));
    EXPECT_TRUE(one.leave("2-1"));
    EXPECT_TRUE(one.join_container("2-2", "134", "demo", "172.20.15.10"));
    EXPECT_TRUE(one.remove("7-1"));
    EXPECT_TRUE(one.remove("7-1"));
    EXPECT_TRUE(one.leave("2-2"));
    EXPECT_THAT(one.inventory().networks, IsEmpty());
}

TEST_F(NetworksTest, ZdbIsReachedAtTheUplinkFromOutsideAndFromContainers)
{
    Node one{world, "one", "198.51.100.11/24"};
    const auto zdb = one.ask<ZdbNamespace>(
        [](Networks& n) { return n.ensure_zdb_namespace({.pool_id = "pool-1", .port = 9900}); });
    ASSERT_TRUE(zdb) << zdb.error().message;
    ASSERT_EQ(zdb->addresses.size(), 1U);
    EXPECT_EQ(zdb->addresses[0].text(), "198.51.100.11");
    ASSERT_TRUE(one.ensure(network("7-1", keys1, "15", {})));
    ASSERT_TRUE(one.join_container("2-1", "134", "demo", "172.20.15.10"));
    Result<kernel::Fd> space = fail(Errc::internal, "");
    one.place().call([&] { space = kernel::open_netns(zdb->space); });
    const Echo server{must(std::move(space)).get(), "0.0.0.0", 9900};

    const auto client = world.plug("client", "198.51.100.60/24");
    EXPECT_TRUE(reaches(client.get(), "198.51.100.11", 9900, 15000));
    EXPECT_TRUE(reaches(one.container("2-1"), "198.51.100.11", 9900, 15000));
    EXPECT_TRUE(reaches(one.space(), "198.51.100.11", 9900, 15000));
    EXPECT_FALSE(reaches(one.container("2-1"), zdb->inner.text(), 9900, 300));

    const auto again = one.ask<ZdbNamespace>(
        [](Networks& n) { return n.ensure_zdb_namespace({.pool_id = "pool-1", .port = 9900}); });
    ASSERT_TRUE(again);
    EXPECT_EQ(again->inner, zdb->inner);
    const auto interfaces =
        must(one.ask<std::vector<Interface>>([](Networks& n) { return n.interfaces(); }));
    ASSERT_EQ(interfaces.size(), 2U);
    EXPECT_EQ(interfaces[0].name, "lo");
    EXPECT_EQ(interfaces[1].name, "eth0");
    EXPECT_TRUE(one.ask<void>([](Networks& n) { return n.remove_zdb_namespace("pool-1"); }));
    EXPECT_FALSE(reaches(client.get(), "198.51.100.11", 9900, 300));
}

TEST_F(NetworksTest, AnotherAddressAtTheUplinkIsInForceOnceItIsTold)
{
    Node one{world, "one", "198.51.100.11/24"};
    const auto zdb = one.ask<ZdbNamespace>(
        [](Networks& n) { return n.ensure_zdb_namespace({.pool_id = "pool-1", .port = 9900}); });
    ASSERT_TRUE(zdb) << zdb.error().message;
    Result<kernel::Fd> space = fail(Errc::internal, "");
    one.place().call([&] { space = kernel::open_netns(zdb->space); });
    const Echo server{must(std::move(space)).get(), "0.0.0.0", 9900};
    const auto client = world.plug("client", "198.51.100.60/24");
    ASSERT_TRUE(reaches(client.get(), "198.51.100.11", 9900, 15000));

    one.place().call([] {
        auto links = must(kernel::RouteSocket::open());
        const auto eth0 = must(links.need_link("eth0"));
        must(links.add_address(eth0.index, *IpNetwork::parse("198.51.100.12/24")));
        must(links.add_address(eth0.index, *IpNetwork::parse("2001:db8::12/64")));
    });
    const auto told =
        must(one.ask<std::vector<Interface>>([](Networks& n) { return n.interfaces(); }));

    EXPECT_THAT(told[1].addresses, testing::Contains(*IpNetwork::parse("198.51.100.12/24")));
    EXPECT_TRUE(reaches(client.get(), "198.51.100.12", 9900, 15000));
    one.place().call([] {
        EXPECT_EQ(must(kernel::read_net_sysctl("ipv6/conf/all/forwarding")), "1");
        EXPECT_EQ(must(kernel::read_net_sysctl("ipv6/conf/eth0/accept_ra")), "2");
    });
}

}  // namespace
}  // namespace znode::network
