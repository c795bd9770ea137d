#include "source.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <set>

#include "base/text.hpp"
#include "doctor.hpp"
#include "settings.hpp"
#include "status/json.hpp"
#include "views.hpp"

namespace znode::agent {
namespace {

using engine::now_ns;

std::string scope_of(const IpNetwork& network)
{
    const auto& address = network.address;
    const auto within = [&](const char* range) {
        const auto known = IpNetwork::parse(range);
        return known && known->contains(address);
    };
    if (within("fe80::/10") || within("169.254.0.0/16")) return "link";
    if (within("127.0.0.0/8") || within("::1/128")) return "link";
    for (const auto* range :
         {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"})
        if (within(range)) return "local";
    return "public";
}

}  // namespace

AgentSource::AgentSource(SourceParts parts) : parts_{std::move(parts)}, started_{now_ns()} {}

v1::Resources AgentSource::total() const
{
    const auto& machine = parts_.engine.machine();
    v1::Resources total;
    total.set_cpu(static_cast<double>(machine.cpus));
    total.set_memory(
        static_cast<double>(machine.memory - std::min(machine.memory, machine.memory_reserve)));
    for (const auto& pool : pools_) {
        if (pool.media == storage::Media::ssd)
            total.set_ssd(total.ssd() + static_cast<double>(pool.total));
        else
            total.set_hdd(total.hdd() + static_cast<double>(pool.total));
    }
    return total;
}

v1::Resources AgentSource::promised() const { return resources_of(parts_.engine.taken()); }

v1::Status AgentSource::status()
{
    v1::Status status;
    const auto& link = parts_.link.state();
    status.set_node_id(parts_.node_id);
    status.set_farm_id(static_cast<std::uint32_t>(parts_.config.node.farm_id));
    status.set_farm_name(link.farm_name);
    status.set_version(ZNODE_VERSION);
    status.set_mode(parts_.config.node.mode);
    utsname machine{};
    ::uname(&machine);
    status.set_hostname(
        parts_.config.node.hostname.empty() ? machine.nodename : parts_.config.node.hostname);
    status.set_kernel(machine.release);
    status.set_time(time_text(now_ns()));
    status.set_started(time_text(started_));
    status.set_uptime_seconds(static_cast<double>(now_ns() - started_) / 1e9);

    // What a person looks for comes first: an address of the local network, then the public ones.
    for (const char* wanted : {"local", "public", "link"})
        for (const auto& interface : interfaces_)
            for (const auto& network : interface.addresses) {
                if (scope_of(network) != wanted) continue;
                auto* address = status.add_addresses();
                address->set_interface(interface.name);
                address->set_address(network.text());
                address->set_scope(wanted);
            }

    auto* explorer = status.mutable_explorer();
    explorer->set_url(parts_.config.explorer.url);
    explorer->set_era(link.era ? std::string{explorer::to_string(*link.era)} : std::string{});
    explorer->set_reachable(link.reachable);
    explorer->set_registered(link.registered);
    explorer->set_last_poll(time_text(link.last_poll));
    explorer->set_last_contact(time_text(link.last_contact));
    explorer->set_last_heartbeat(time_text(link.last_heartbeat));
    explorer->set_message(link.message);
    explorer->set_results_waiting(static_cast<std::uint32_t>(parts_.engine.letters_waiting()));

    *status.mutable_total() = total();
    *status.mutable_used() = promised();
    auto* free = status.mutable_free();
    free->set_cpu(
        std::max(0.0, total().cpu() * parts_.engine.machine().cpu_overcommit - promised().cpu()));
    free->set_memory(std::max(0.0, total().memory() - promised().memory()));
    for (const auto& pool : pools_) {
        if (pool.media == storage::Media::ssd)
            free->set_ssd(free->ssd() + static_cast<double>(pool.free));
        else
            free->set_hdd(free->hdd() + static_cast<double>(pool.free));
    }
    for (const auto& view : parts_.engine.workloads())
        ++(*status.mutable_workloads())[std::string{to_string(view.entry.state)}];

    const auto problem = [&](const std::string& text, const std::string& remedy) {
        auto* added = status.add_problems();
        added->set_text(text);
        added->set_remedy(remedy);
        added->set_severity("error");
    };
    if (!link.reachable && !link.message.empty())
        problem(
            "the explorer does not answer: " + link.message,
            "check explorer.url and explorer.ca_file in the config, and this machine's network; "
            "workloads go on meanwhile");
    else if (!link.registered && !link.message.empty())
        problem("the node is not registered: " + link.message, "check farm_id in the config");
    for (const auto& pool : pools_)
        if (!pool.problem.empty()) problem("pool " + pool.name + ": " + pool.problem, "");
    for (const auto& shipper : shippers_)
        if (!shipper.problem.empty())
            problem(
                "logs of " + shipper.gwid + " (" + std::string{to_string(shipper.stream)} +
                    ") do not reach " + shipper.target + ": " + shipper.problem,
                "the lines are kept on disk and sent once it takes them; the customer names the "
                "server and its password");
    for (const auto& shipper : shippers_)
        if (shipper.lost_bytes > 0)
            problem(
                "logs of " + shipper.gwid + " (" + std::string{to_string(shipper.stream)} +
                    "): " + format_size(shipper.lost_bytes) + " were rotated away before " +
                    shipper.target + " took them",
                "more or larger segments in [logs] bridge a longer silence of the server");
    for (const auto& shortage : shortages_)
        problem(
            shortage + "; new workloads are refused",
            "make room on that disk; what runs goes on, and new workloads are taken again at once");
    for (const auto& [gwid, text] : parts_.engine.alarms())
        problem(
            text,
            gwid.empty()
                ? "ask the explorer's operator; what they held is kept for storage.undelete: "
                  "volumes as "
                  ".znode-kept-… in their pool (znodectl storage), 0-db namespaces frozen in their "
                  "server"
                : "what is here is kept; when it is really to go, take the node out with znoded "
                  "--purge or give the explorer back its database");
    if (link.refused_signatures > 0)
        problem(
            std::to_string(link.refused_signatures) +
                " reservations were refused, for their customers did not sign them so",
            "ask the explorer's operator; the journal names them");
    for (const auto& [about, trouble] : troubles_) problem(trouble.text, trouble.remedy);

    auto* maintenance = status.mutable_maintenance();
    maintenance->set_on(parts_.engine.in_maintenance());
    maintenance->set_reason(parts_.engine.maintenance_reason());
    return status;
}

std::string AgentSource::summary()
{
    const auto count = parts_.engine.workloads().size();
    const auto& link = parts_.link.state();
    auto text = "node " + parts_.node_id + ", " + std::to_string(count) +
                (count == 1 ? " workload" : " workloads") +
                (link.reachable         ? ", explorer answers"
                 : link.message.empty() ? ", explorer not heard yet"
                                        : ", explorer does not answer");
    const auto now = status();
    if (now.problems_size() > 0)
        text += ", " + std::to_string(now.problems_size()) +
                " to look at (znodectl status): " + now.problems(0).text();
    return printable(text, 400);
}

v1::Health AgentSource::health()
{
    v1::Health health;
    const auto& link = parts_.link.state();
    if (!link.reachable) health.add_reasons("the explorer does not answer");
    for (const auto& pool : pools_)
        if (pool.state == storage::PoolState::failed)
            health.add_reasons("pool " + pool.name + ": " + pool.problem);
    for (const auto& [about, trouble] : troubles_) health.add_reasons(trouble.text);
    health.set_healthy(health.reasons().empty());
    return health;
}

v1::WorkloadList AgentSource::workloads()
{
    v1::WorkloadList list;
    for (const auto& view : parts_.engine.workloads()) *list.add_workloads() = view_of(view, false);
    return list;
}

std::optional<v1::Workload> AgentSource::workload(std::string gwid)
{
    const auto view = parts_.engine.workload(gwid);
    if (!view) return std::nullopt;
    return view_of(*view, true);
}

Task<Result<v1::EventList>> AgentSource::events(std::uint64_t since, std::size_t limit)
{
    CO_TRY(
        const auto events,
        co_await parts_.engine.events_after(
            static_cast<std::int64_t>(since),
            static_cast<int>(std::min<std::size_t>(limit, 10'000))));
    v1::EventList list;
    for (const auto& event : events) *list.add_events() = event_of(event);
    co_return list;
}

Task<> AgentSource::wait_for_event(std::uint64_t since, Duration patience)
{
    if (parts_.engine.last_sequence() > static_cast<std::int64_t>(since)) co_return;
    (void)co_await run_until(sleep_for(patience), [](engine::Engine* engine) -> Task<bool> {
        co_await engine->wait_for_event();
        co_return true;
    }(&parts_.engine));
}

Task<Result<v1::Storage>> AgentSource::storage()
{
    pools_ = co_await parts_.volumes.pools();
    CO_TRY(const auto volumes, co_await parts_.volumes.list());
    v1::Storage storage;
    for (const auto& pool : pools_) {
        auto* view = storage.add_pools();
        view->set_name(pool.name);
        view->set_kind(pool.kind);
        view->set_media(std::string{to_string(pool.media)});
        view->set_source(pool.source.string());
        view->set_path(pool.path.string());
        view->set_size(static_cast<double>(pool.total));
        view->set_used(static_cast<double>(pool.used));
        view->set_promised(static_cast<double>(pool.promised));
        view->set_free(static_cast<double>(pool.free));
        view->set_accepting(pool.state == storage::PoolState::ready);
        view->set_message(pool.problem);
        for (const auto& foreign : pool.foreign) storage.add_foreign(foreign);
    }
    for (const auto& volume : volumes) {
        auto* view = storage.add_volumes();
        view->set_name(volume.name);
        view->set_workload(volume.gwid);
        view->set_purpose(
            volume.purpose == storage::Purpose::rootfs ? "root"
                                                       : std::string{to_string(volume.purpose)});
        view->set_pool(volume.pool);
        view->set_path(volume.path.string());
        view->set_size(static_cast<double>(volume.bytes));
        view->set_used(static_cast<double>(volume.used));
    }
    co_return storage;
}

Task<Result<v1::Network>> AgentSource::network()
{
    CO_TRY(const auto inventory, co_await parts_.networks.list());
    CO_TRY(interfaces_, co_await parts_.networks.interfaces());
    v1::Network network;
    if (host_) {
        network.set_uplink(host_->uplink);
        network.set_wireguard(
            host_->wireguard == network::WireGuardKind::kernel ? "kernel" : "userspace");
        for (const auto& sysctl : host_->sysctls)
            if (sysctl.before != sysctl.now)
                network.add_host_changes(
                    sysctl.name + ": " + sysctl.before + " became " + sysctl.now);
    }
    for (const auto& interface : interfaces_) {
        auto* view = network.add_interfaces();
        view->set_name(interface.name);
        view->set_mac(interface.mac);
        view->set_up(true);
        for (const auto& address : interface.addresses) view->add_addresses(address.text());
        for (const auto& gateway : interface.gateways) network.add_gateways(gateway.text());
    }
    for (const auto& resource : inventory.networks) {
        auto* view = network.add_resources();
        view->set_workload(resource.gwid);
        view->set_name(resource.name);
        view->set_namespace_(resource.space.filename().string());
        view->set_range(resource.range.text());
        view->set_subnet(resource.subnet.text());
        view->set_listen_port(resource.port);
        for (const auto& container : inventory.containers) {
            if (container.network_id != resource.id) continue;
            for (const auto& address : container.addresses)
                view->add_members(container.gwid + " " + address.address.text());
        }
        for (const auto& peer : resource.peers) {
            auto* shown = view->add_peers();
            shown->set_public_key(kernel::to_text(peer.public_key));
            if (peer.endpoint) shown->set_endpoint(peer.endpoint->text());
            for (const auto& range : peer.allowed) shown->add_allowed(range.text());
            shown->set_last_handshake(time_text(peer.last_handshake * 1'000'000'000));
            shown->set_received(static_cast<double>(peer.received));
            shown->set_sent(static_cast<double>(peer.sent));
        }
    }
    for (const auto& zdb : inventory.zdb) {
        auto* view = network.add_ports();
        view->set_protocol("tcp");
        view->set_port(zdb.port);
        view->set_to(IpEndpoint{zdb.inner, zdb.port}.text());
        view->set_purpose("0-db of pool " + zdb.pool_id);
    }
    for (const auto& foreign : inventory.foreign) network.add_foreign(foreign);
    co_return network;
}

Task<Result<v1::Capacity>> AgentSource::capacity()
{
    pools_ = co_await parts_.volumes.pools();
    v1::Capacity view;
    *view.mutable_total() = total();
    *view.mutable_promised() = promised();
    *view.mutable_free() = status().free();
    describe_machine(view);
    for (const auto& workload : parts_.engine.workloads())
        ++(*view.mutable_workloads())[workload.entry.order.type];
    co_return view;
}

Task<Result<v1::FlistList>> AgentSource::flists()
{
    CO_TRY(const auto mounted, co_await parts_.flists.list());
    const auto users = parts_.planner.flist_users();
    v1::FlistList list;
    for (const auto& flist : mounted) {
        auto* view = list.add_flists();
        view->set_url(flist.url);
        view->set_hash(flist.md5);
        view->set_path(flist.path.string());
        view->set_store(flist.store);
        view->set_pid(static_cast<std::uint32_t>(flist.server));
        view->set_uid_shift(flist.uid_shift);
        view->set_entries(static_cast<double>(flist.entries));
        view->set_bytes(static_cast<double>(flist.bytes));
        if (const auto known = users.find(flist.key); known != users.end())
            for (const auto& gwid : known->second) view->add_workloads(gwid);
    }
    list.set_cache_size(static_cast<double>(cache_limit_of(parts_.config)));
    list.set_cache_used(static_cast<double>(co_await parts_.flists.cache_used()));
    co_return list;
}

Task<Result<v1::Doctor>> AgentSource::doctor()
{
    pools_ = co_await parts_.volumes.pools();
    DoctorFacts facts;
    facts.cgroup_layout = parts_.cgroup_layout;
    facts.link = parts_.link.state();
    facts.pools = pools_;
    facts.host = host_;
    facts.explorer_url = parts_.config.explorer.url;
    facts.state_dir = parts_.config.node.state_dir;
    co_return examine(facts);
}

namespace {

/// Lines of the segments in the words of the socket.
class SegmentLines : public status::LogReader {
public:
    explicit SegmentLines(std::unique_ptr<logs::LineReader> lines) : lines_{std::move(lines)} {}

    Task<Result<std::optional<std::vector<v1::LogLine>>>> next() override
    {
        CO_TRY(auto lines, co_await lines_->next());
        if (!lines) co_return std::nullopt;
        std::vector<v1::LogLine> views;
        for (auto& line : *lines) {
            v1::LogLine view;
            view.set_time(time_text(line.time_ns));
            view.set_stream(std::string{to_string(line.stream)});
            if (status::is_utf8(line.text))
                view.set_line(std::move(line.text));
            else
                view.set_line_base64(std::move(line.text));
            views.push_back(std::move(view));
        }
        co_return views;
    }

private:
    std::unique_ptr<logs::LineReader> lines_;
};

}  // namespace

Task<Result<std::unique_ptr<status::LogReader>>> AgentSource::logs(status::LogQuery query)
{
    const auto known = parts_.engine.workload(query.workload);
    if (!known)
        co_return fail(
            Errc::not_found, "no workload " + printable(query.workload) + " is on this node");
    if (known->entry.order.type != "container")
        co_return fail(Errc::invalid, "a " + known->entry.order.type + " has no logs");
    logs::Query wanted;
    if (query.stream == "stdout") wanted.stream = logs::Stream::out;
    if (query.stream == "stderr") wanted.stream = logs::Stream::err;
    wanted.tail = query.tail;
    wanted.since_ns = query.since_unix_ns;
    wanted.follow = query.follow;
    co_return std::make_unique<SegmentLines>(logs::make_line_reader(
        parts_.log_dir / known->entry.order.gwid, wanted, parts_.watch, parts_.disks));
}

Task<Result<>> AgentSource::restart(std::string gwid) { co_return parts_.engine.restart(gwid); }

Task<Result<v1::Maintenance>> AgentSource::maintenance(bool on, std::string reason)
{
    if (on && reason.empty()) reason = "no reason was given";
    CO_TRY_DO(co_await parts_.set_fact("maintenance", on ? reason : std::string{}));
    parts_.engine.set_maintenance(on, on ? reason : std::string{});
    v1::Maintenance view;
    view.set_on(on);
    view.set_reason(on ? reason : std::string{});
    co_return view;
}

std::string gc_obstacle(bool database_is_new, const engine::LinkState& link, Duration uptime)
{
    using namespace std::chrono_literals;
    if (database_is_new)
        return "the database was begun anew: whose these are is not known until the explorer was "
               "read; restart znoded when znodectl workloads shows what it should";
    if (link.last_poll == 0)
        return "the explorer was not read yet since znoded was started; try again when it answers";
    if (uptime < 2min)
        return "znoded has just been started and may not have read all that the explorer has; try "
               "again in two minutes";
    return "";
}

Duration AgentSource::uptime() const
{
    return std::chrono::nanoseconds{std::max<std::int64_t>(now_ns() - started_, 0)};
}

Task<Result<v1::GcReport>> AgentSource::gc(bool dry_run)
{
    // What carries our mark and belongs to no workload that we know.
    v1::GcReport report;
    report.set_dry_run(dry_run);
    if (const auto obstacle = parts_.gc_obstacle(); !obstacle.empty() && !dry_run)
        co_return fail(Errc::unavailable, obstacle);
    CO_TRY(const auto volumes, co_await parts_.volumes.list());
    CO_TRY(const auto cgroups, parts_.cgroups());
    const std::set<std::string> living{cgroups.begin(), cgroups.end()};
    for (const auto& volume : volumes) {
        if (volume.gwid.empty() || living.contains(volume.gwid)) continue;
        const auto known = parts_.engine.workload(volume.gwid);
        if (known && known->entry.state != engine::State::gone) continue;
        auto* item = report.add_items();
        item->set_kind("volume");
        item->set_name(volume.name);
        item->set_reason("belongs to workload " + volume.gwid + ", which is not on this node");
        item->set_bytes(static_cast<double>(volume.used));
        if (dry_run) continue;
        // Somebody's data all the same: kept for storage.undelete, its room is free at once.
        const auto removed = co_await parts_.planner.set_volume_aside(volume.name);
        if (!removed)
            item->set_failure(removed.error().message);
        else
            report.set_bytes(report.bytes() + static_cast<double>(volume.used));
    }
    co_return report;
}

/// All that there is to count is in the status, and shown from there.
std::string AgentSource::metrics() { return ""; }

}  // namespace znode::agent
