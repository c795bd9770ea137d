#include "status/view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "golden.hpp"
#include "status/terminal.hpp"
#include "status_samples.hpp"

namespace znode::status {
namespace {

using namespace test;
using znode::test::matches_golden;

void expect_fits(const std::string& text, std::size_t width)
{
    std::size_t begin = 0;
    while (begin < text.size()) {
        const auto end = text.find('\n', begin);
        ASSERT_NE(end, std::string::npos) << "no newline at the end";
        const auto line = text.substr(begin, end - begin);
        EXPECT_LE(columns_of(line), width) << line;
        begin = end + 1;
    }
}

TEST(ViewTest, StatusFits80Columns)
{
    const auto text = to_text(sample_status(), look());

    EXPECT_TRUE(matches_golden("status/status.txt", text));
    expect_fits(text, 80);
}

TEST(ViewTest, StatusSaysWhenTheExplorerIsAway)
{
    auto status = sample_status();
    status.mutable_explorer()->set_reachable(false);
    status.mutable_explorer()->set_message("connect 198.51.100.1:8080: Connection refused");
    status.mutable_explorer()->set_results_waiting(2);
    status.mutable_maintenance()->set_on(true);
    status.mutable_maintenance()->set_reason("new disk");

    EXPECT_TRUE(matches_golden("status/status-away.txt", to_text(status, look())));
}

TEST(ViewTest, WorkloadsFit80ColumnsAndForeignTextCannotMoveTheCursor)
{
    const auto text = to_text(sample_workloads(), look());

    EXPECT_TRUE(matches_golden("status/workloads.txt", text));
    expect_fits(text, 80);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
    EXPECT_EQ(to_text(v1::WorkloadList{}, look()), "no workloads\n");
}

TEST(ViewTest, AWorkloadShowsItsHistory)
{
    const auto text = to_text(sample_container(), look());

    EXPECT_TRUE(matches_golden("status/workload.txt", text));
    expect_fits(text, 80);
}

TEST(ViewTest, ColoursChangeNothingButColours)
{
    auto colored = look();
    colored.color = true;
    auto text = to_text(sample_workloads(), colored);
    EXPECT_NE(text.find('\x1b'), std::string::npos);

    for (auto at = text.find('\x1b'); at != std::string::npos; at = text.find('\x1b'))
        text.erase(at, text.find('m', at) - at + 1);

    EXPECT_EQ(text, to_text(sample_workloads(), look()));
}

TEST(ViewTest, EventsAreALineEach)
{
    v1::Event event;
    event.set_sequence(9);
    event.set_time("2026-11-21T13:02:01.262Z");
    event.set_workload("15-1");
    event.set_type("container");
    event.set_from("deploying");
    event.set_to("running");
    event.set_seconds(0.019);

    EXPECT_EQ(
        to_text(event, look()),
        "13:02:01.262  15-1      container         deploying → running after 19 ms\n");
}

TEST(ViewTest, LogLinesAreHarmlessOnATerminalAndUnchangedInAPipe)
{
    v1::LogLine line;
    line.set_time("2026-11-21T13:02:01.262Z");
    line.set_stream("stderr");
    line.set_line("\x1b[31mGrüße\x07");

    EXPECT_EQ(to_text(line, look(), false), "13:02:01.262 ! \\x1b[31mGrüße\\x07\n");
    EXPECT_EQ(to_text(line, look(), true), "\x1b[31mGrüße\x07\n");
}

TEST(ViewTest, StorageNamesPoolsVolumesAndWhatIsForeign)
{
    constexpr double gib = 1024.0 * 1024 * 1024;
    v1::Storage storage;
    auto* pool = storage.add_pools();
    pool->set_name("pool0");
    pool->set_kind("image");
    pool->set_media("ssd");
    pool->set_path("/var/lib/znode/pools/pool0");
    pool->set_size(20 * gib);
    pool->set_promised(10.25 * gib);
    pool->set_used(1.5 * gib);
    pool->set_free(9.75 * gib);
    pool->set_accepting(false);
    pool->set_message("5 % of the host's disk left");
    auto* volume = storage.add_volumes();
    volume->set_name("14-1");
    volume->set_purpose("volume");
    volume->set_workload("14-1");
    volume->set_pool("pool0");
    volume->set_size(10 * gib);
    volume->set_used(0.1 * gib);
    auto* kept = storage.add_volumes();
    kept->set_name("9-1");
    kept->set_purpose("kept");
    kept->set_pool("pool0");
    kept->set_kept_until("2026-11-22T10:00:00Z");
    storage.add_foreign("/var/lib/znode/pools/pool0/77-1");

    const auto text = to_text(storage, look());

    EXPECT_TRUE(matches_golden("status/storage.txt", text));
    expect_fits(text, 80);
}

TEST(ViewTest, NetworkNamesPeersAndWhatChangedOnTheHost)
{
    v1::Network network;
    network.set_uplink("eth0");
    network.add_gateways("192.168.1.1");
    network.set_wireguard("userspace");
    auto* interface = network.add_interfaces();
    interface->set_name("br-pub");
    interface->set_up(true);
    interface->set_purpose("0-db and exits");
    interface->add_addresses("100.126.0.1/24");
    auto* resource = network.add_resources();
    resource->set_name("net");
    resource->set_workload("12-1");
    resource->set_subnet("172.20.1.0/24");
    resource->set_range("172.20.0.0/16");
    resource->set_listen_port(5123);
    resource->set_namespace_("n-7gzGWLvkQ1aBc");
    resource->add_members("15-1 172.20.1.10");
    auto* peer = resource->add_peers();
    peer->set_subnet("172.20.2.0/24");
    peer->set_endpoint("[2001:db8::21]:5200");
    peer->set_last_handshake("2026-11-21T13:05:00Z");
    peer->set_received(123456);
    peer->set_sent(654321);
    resource->add_peers()->set_subnet("172.20.3.0/24");
    network.add_host_changes("net.ipv4.ip_forward 0 → 1");

    const auto text = to_text(network, look());

    EXPECT_TRUE(matches_golden("status/network.txt", text));
    expect_fits(text, 80);
}

TEST(ViewTest, DoctorIsHealthyWithWarningsButNotWithFailures)
{
    v1::Doctor doctor;
    const auto check =
        [&](const char* name, const char* outcome, const char* message, const char* remedy) {
            auto* added = doctor.add_checks();
            added->set_name(name);
            added->set_outcome(outcome);
            added->set_message(message);
            added->set_remedy(remedy);
        };
    check("kernel", "ok", "6.1.0", "");
    check("wireguard", "warning", "this kernel has none, wireguard-go is used", "");
    EXPECT_TRUE(is_healthy(doctor));

    check(
        "forwarding",
        "failed",
        "packets of containers do not reach the uplink: the table ip filter "
        "of docker drops them",
        "iptables -I DOCKER-USER -j ACCEPT");
    EXPECT_FALSE(is_healthy(doctor));
    const auto text = to_text(doctor, look());

    EXPECT_TRUE(matches_golden("status/doctor.txt", text));
    expect_fits(text, 80);
}

std::string joined(const std::vector<std::string>& lines)
{
    std::string text;
    for (const auto& line : lines) text += line + '\n';
    return text;
}

TEST(ConsoleTest, FillsAScreenOf80By24WithTheAddressesFirst)
{
    ConsoleView view;
    view.status = sample_status();
    view.workloads = sample_workloads();

    const auto frame = console_frame(view, 24, look());

    ASSERT_EQ(frame.size(), 24U);
    EXPECT_TRUE(matches_golden("status/console.txt", joined(frame)));
    expect_fits(joined(frame), 80);
    EXPECT_THAT(frame[1], testing::HasSubstr("192.168.1.20/24"));
}

TEST(ConsoleTest, ScrollsThroughMoreWorkloadsThanFit)
{
    ConsoleView view;
    view.status = sample_status();
    for (int i = 0; i < 40; ++i) view.workloads.add_workloads()->set_gwid(std::to_string(i) + "-1");
    view.first_workload = 1000;

    const auto frame = console_frame(view, 24, look());

    ASSERT_EQ(frame.size(), 24U);
    EXPECT_THAT(frame[22], testing::HasSubstr("39-1"));
    EXPECT_THAT(frame[23], testing::HasSubstr("more"));
}

TEST(ConsoleTest, ShowsTheAddressesAlsoWithoutAnAgent)
{
    ConsoleView view;
    view.failure = "nothing listens on /run/znode/status.sock: systemctl status znoded";
    auto& address = view.own_addresses.emplace_back();
    address.set_interface("eth0");
    address.set_address("192.168.1.20/24");

    const auto frame = console_frame(view, 24, look());

    ASSERT_EQ(frame.size(), 24U);
    EXPECT_TRUE(matches_golden("status/console-no-agent.txt", joined(frame)));
}

TEST(ConsoleTest, SurvivesScreensOfAnySize)
{
    ConsoleView view;
    view.status = sample_status();
    view.workloads = sample_workloads();
    for (const std::size_t rows : {1U, 2U, 5U, 10U, 100U})
        for (const std::size_t width : {20U, 40U, 80U, 200U}) {
            const auto frame = console_frame(view, rows, look(width));
            EXPECT_EQ(frame.size(), rows);
            for (const auto& line : frame) EXPECT_LE(columns_of(line), width);
        }
}

}  // namespace
}  // namespace znode::status
