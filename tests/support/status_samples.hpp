#pragma once

#include <string>

#include "status/time.hpp"
#include "status/view.hpp"

namespace znode::status::test {

inline Look look(std::size_t width = 80)
{
    return {width, false, parse_time("2026-11-21T13:06:15Z").value()};
}

inline v1::Status sample_status()
{
    v1::Status status;
    status.set_node_id("48YmkyvfoXnXqEojpJieMfFPnCv2enEuqEJcmhvkcdAk");
    status.set_farm_id(12775);
    status.set_farm_name("freefarm");
    status.set_version("0.1.0");
    status.set_mode("host");
    status.set_hostname("titan");
    status.set_kernel("6.1.0-26-amd64");
    status.set_time("2026-11-21T13:06:15Z");
    status.set_uptime_seconds(11520);
    const auto address = [&](const char* interface, const char* text, const char* scope) {
        auto* added = status.add_addresses();
        added->set_interface(interface);
        added->set_address(text);
        added->set_scope(scope);
    };
    address("eth0", "192.168.1.20/24", "local");
    address("eth0", "2001:db8::20/64", "public");
    address("eth0", "fe80::1/64", "link");
    auto& explorer = *status.mutable_explorer();
    explorer.set_url("http://198.51.100.1:8080");
    explorer.set_era("pools");
    explorer.set_reachable(true);
    explorer.set_registered(true);
    explorer.set_last_poll("2026-11-21T13:06:13Z");
    const auto resources = [](v1::Resources& into, double cpu, double memory, double ssd) {
        into.set_cpu(cpu);
        into.set_memory(memory * 1024 * 1024 * 1024);
        into.set_ssd(ssd * 1024 * 1024 * 1024);
    };
    resources(*status.mutable_total(), 8, 31.2, 460);
    resources(*status.mutable_used(), 2, 4, 40.34);
    resources(*status.mutable_free(), 6, 27.2, 419.66);
    (*status.mutable_workloads())["running"] = 3;
    (*status.mutable_workloads())["failed"] = 1;
    (*status.mutable_workloads())["waiting"] = 2;
    auto* problem = status.add_problems();
    problem->set_text("another firewall table drops forwarded packets: docker");
    problem->set_remedy("iptables -I DOCKER-USER -j ACCEPT, or fix_forward = true in [network]");
    problem->set_severity("warning");
    return status;
}

inline v1::Workload sample_container()
{
    v1::Workload workload;
    workload.set_gwid("15-1");
    workload.set_type("container");
    workload.set_owner("7");
    workload.set_state("running");
    workload.set_since("2026-11-21T13:03:10Z");
    workload.set_name("http://198.51.100.1:8080/gaia/hub.flist");
    workload.add_addresses("172.20.1.10");
    workload.add_needs("12-1");
    workload.add_needs("14-1");
    workload.add_pids(4711);
    workload.set_restarts(1);
    workload.mutable_resources()->set_cpu(2);
    workload.mutable_resources()->set_memory(4096.0 * 1024 * 1024);
    workload.mutable_last_exit()->set_signal(9);
    workload.mutable_last_exit()->set_reason("out of memory");
    workload.mutable_last_exit()->set_time("2026-11-21T13:03:08Z");
    auto& result = *workload.mutable_result();
    result.set_state("ok");
    result.set_data_json(R"({"id":"15-1","ipv6":"","ipv4":"172.20.1.10","yggdrasil":""})");
    result.set_delivered(true);
    const auto step = [&](const char* time, const char* from, const char* to, double seconds) {
        auto* added = workload.add_history();
        added->set_time(time);
        added->set_from(from);
        added->set_to(to);
        added->set_seconds(seconds);
    };
    step("2026-11-21T13:02:01.100Z", "", "waiting", 0);
    step("2026-11-21T13:02:01.243Z", "waiting", "deploying", 0.143);
    step("2026-11-21T13:02:01.262Z", "deploying", "running", 0.019);
    step("2026-11-21T13:03:08Z", "running", "backing_off", 66.7);
    step("2026-11-21T13:03:10Z", "backing_off", "running", 2);
    (*workload.mutable_details())["flist mount"] = "/run/znode/flists/1f3a";
    return workload;
}

inline v1::WorkloadList sample_workloads()
{
    v1::WorkloadList list;
    const auto add = [&](const char* gwid,
                         const char* type,
                         const char* state,
                         const char* since,
                         const char* name,
                         const char* message) {
        auto* added = list.add_workloads();
        added->set_gwid(gwid);
        added->set_type(type);
        added->set_state(state);
        added->set_since(since);
        added->set_name(name);
        added->set_message(message);
    };
    add("12-1", "network_resource", "running", "2026-11-21T10:00:00Z", "net", "");
    add("13-1", "zdb", "running", "2026-11-20T13:00:00Z", "", "");
    list.mutable_workloads(1)->add_addresses("2001:db8::20");
    list.mutable_workloads(1)->mutable_resources()->set_ssd(10.0 * 1024 * 1024 * 1024);
    add("14-1", "volume", "running", "2026-11-21T13:02:00Z", "", "");
    list.mutable_workloads(2)->mutable_resources()->set_ssd(40.0 * 1024 * 1024 * 1024);
    *list.add_workloads() = sample_container();
    add("16-1",
        "container",
        "waiting",
        "2026-11-21T13:06:14Z",
        "http://x/y.flist",
        "waits for network resource 17-1, which is on its way");
    add("18-1",
        "container",
        "failed",
        "2026-11-21T13:06:00Z",
        "http://x/z.flist",
        "flist http://x/z.flist: not found (404): check the URL\x1b[2J");
    return list;
}

}  // namespace znode::status::test
