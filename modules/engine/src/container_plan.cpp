#include <unistd.h>

#include <algorithm>

#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"
#include "container_state.hpp"
#include "grid/document.hpp"
#include "hub_url.hpp"

namespace znode::engine {
namespace {

constexpr std::int64_t least_memory_mib = 8;
constexpr std::uint64_t default_root_mib = 256;
constexpr auto stop_grace = std::chrono::seconds{10};
constexpr auto last_lines_patience = std::chrono::seconds{2};
/// Each is two connections of the agent.
constexpr std::ptrdiff_t most_log_targets = 4;

using State = std::shared_ptr<ContainerState>;

Task<Result<Secret>> log_url(State state, std::string open, std::string sealed)
{
    if (sealed.empty()) co_return Secret{std::move(open)};
    co_return co_await state->node.decrypt(std::move(sealed), state->version, state->owner);
}

Task<Result<>> read_secrets(State state)
{
    CO_TRY(state->first_uid, co_await state->node.resources.uid_range(state->owner));
    state->root.uid = state->first_uid;
    state->root.gid = state->first_uid;
    for (const auto& [name, hex] : state->document.secret_environment) {
        auto value = co_await state->node.decrypt(hex, state->version, state->owner);
        if (!value)
            co_return tl::unexpected(std::move(value).error().during(
                "read the secret environment variable " + printable(name)));
        state->secrets.insert_or_assign(name, *std::move(value));
    }
    state->log_targets.clear();
    for (const auto& log : state->document.logs) {
        if (log.type != "redis") continue;
        auto out = co_await log_url(state, log.data.stdout_url, log.data.secret_stdout);
        if (!out)
            co_return tl::unexpected(std::move(out).error().during("read the address for logs"));
        auto err = co_await log_url(state, log.data.stderr_url, log.data.secret_stderr);
        if (!err)
            co_return tl::unexpected(std::move(err).error().during("read the address for logs"));
        state->log_targets.push_back({*std::move(out), *std::move(err)});
    }
    co_return Result<>{};
}

Task<Result<>> make_root(State state)
{
    CO_FP("engine.container.root");
    CO_TRY(const auto volume, co_await state->node.ensure_volume(state->root));
    state->writable = volume.path;
    co_return Result<>{};
}

Task<Result<>> remove_root(State state)
{
    CO_FP("engine.container.unroot");
    co_return co_await state->node.end_volume(state->root.name, false);
}

Task<Result<>> join_network(State state)
{
    CO_FP("engine.container.join");
    auto& resources = state->node.resources;
    CO_TRY(
        const auto spaces,
        co_await resources.containers.prepare_namespaces(
            state->gwid, container::IdRange{state->first_uid, 65536}));
    const auto& connection = state->document.network_connection.front();
    network::ContainerJoinSpec spec;
    spec.gwid = state->gwid;
    spec.user_id = std::to_string(state->owner);
    spec.network = connection.network_id;
    spec.space = spaces.network;
    spec.addresses = {connection.ipaddress.text()};
    spec.public_ip6 = connection.public_ip6;
    CO_TRY(state->joined, co_await resources.networks.join(std::move(spec)));
    co_return Result<>{};
}

Task<Result<>> leave_network(State state)
{
    CO_FP("engine.container.leave");
    co_return co_await state->node.resources.networks.leave(state->gwid);
}

Task<Result<>> ship_logs(State state)
{
    if (state->log_targets.empty()) co_return Result<>{};
    co_return co_await state->node.resources.shippers.ensure(
        state->gwid, state->log_targets, state->node.config.log_dir / state->gwid);
}

/// The last lines first; then the folder goes, which nobody else would remove, and which the next
/// owner of the number would publish.
Task<Result<>> stop_logs(State state)
{
    auto& resources = state->node.resources;
    CO_TRY_DO(co_await resources.shippers.remove(state->gwid, last_lines_patience));
    const auto& gwid = state->gwid;
    if (gwid.empty() || gwid.starts_with('.') || gwid.find('/') != gwid.npos) co_return Result<>{};
    CO_FP("engine.container.unlog");
    const auto folder = state->node.config.log_dir / gwid;
    std::error_code failed;
    co_await resources.disks.run([&] { std::filesystem::remove_all(folder, failed); });
    if (failed) co_return fail_errno(failed.value(), "remove the log folder " + folder.string());
    co_return Result<>{};
}

Task<Result<>> start_container(State state)
{
    CO_FP("engine.container.start");
    auto& resources = state->node.resources;
    container::ContainerSpec spec;
    spec.gwid = state->gwid;
    spec.owner = "{\"node_id\":\"" + state->node.config.node_id + "\",\"gwid\":\"" + state->gwid +
                 "\",\"owner\":\"" + std::to_string(state->owner) + "\"}";
    spec.ids = {state->first_uid, 65536};
    spec.root.lower = {state->flist.path};
    spec.root.writable = state->writable;
    for (const auto& mount : state->document.volumes) {
        CO_TRY(const auto volume, co_await resources.volumes.find(mount.volume_id));
        spec.volumes.push_back({volume.path, mount.mountpoint, false});
    }
    spec.entry_point = state->document.entrypoint;
    spec.environment = state->document.environment;
    spec.secret_environment = state->secrets;
    spec.interactive = state->document.interactive;
    spec.hostname = state->gwid;
    spec.limits.cpus = static_cast<double>(state->document.capacity.cpu);
    spec.limits.memory_bytes = static_cast<std::uint64_t>(state->document.capacity.memory) * mib;
    spec.limits.pids = state->node.config.pids;
    spec.logs = state->node.config.logs;
    for (const auto& server : state->joined.nameservers) spec.dns_servers.push_back(server.text());
    for (const auto& network : state->joined.addresses)
        spec.hosts.push_back(network.address.text() + " " + state->gwid);
    state->node.exits.clear(state->gwid);
    CO_TRY(state->running, co_await resources.containers.ensure(std::move(spec)));
    CO_FP("engine.container.started");
    co_return Result<>{};
}

Task<Result<>> stop_container(State state)
{
    CO_FP("engine.container.stop");
    auto& containers = state->node.resources.containers;
    auto stopped = co_await containers.stop(state->gwid, stop_grace);
    if (!stopped && stopped.error().code != Errc::not_found)
        co_return tl::unexpected(std::move(stopped).error());
    CO_FP("engine.container.remove");
    auto removed = co_await containers.remove(state->gwid);
    state->node.exits.clear(state->gwid);
    co_return removed;
}

Ending ending_of(const container::ContainerExit& exit)
{
    Ending ending;
    using Kind = container::ContainerExit::Kind;
    ending.good = exit.kind == Kind::exited && exit.number == 0;
    ending.text = exit.text();
    ending.time = exit.ended_ns;
    if (exit.kind == Kind::exited) ending.code = exit.number;
    if (exit.kind == Kind::signaled) ending.signal = exit.number;
    ending.reason = exit.out_of_memory                ? "out of memory"
                    : exit.kind == Kind::exited       ? "exit"
                    : exit.kind == Kind::signaled     ? "signal"
                    : exit.kind == Kind::not_executed ? "not executed"
                                                      : "unknown";
    if (!ending.good && !exit.last_lines.empty()) {
        ending.text += "; last lines: ";
        for (const auto& line : exit.last_lines) ending.text += line + " | ";
        ending.text.resize(ending.text.size() - 3);
    }
    return ending;
}

Task<Result<Ending>> watch_container(State state)
{
    co_return ending_of(co_await state->node.exits.wait(state->gwid));
}

Task<std::optional<Ending>> missed_ending(State state)
{
    if (const auto exit = state->node.exits.take(state->gwid);
        exit && exit->kind != container::ContainerExit::Kind::unknown)
        co_return ending_of(*exit);
    co_return std::nullopt;
}

/// Without these there is no plan.
Result<> check_shape(const grid::Container& document)
{
    if (document.flist.empty())
        return fail(Errc::invalid, "member flist is missing; name the URL of a flist");
    if (!document.flist.starts_with("http://") && !document.flist.starts_with("https://"))
        return fail(Errc::invalid, "member flist must be a http:// or https:// URL");
    if (document.network_connection.empty() ||
        document.network_connection.front().network_id.empty())
        return fail(Errc::invalid, "member network_connection names no network");
    if (!document.network_connection.front().ipaddress.is_set())
        return fail(Errc::invalid, "member network_connection has no ipaddress");
    if (document.capacity.cpu < 1)
        return fail(Errc::invalid, "member capacity.cpu must be 1 or more");
    if (document.capacity.memory < least_memory_mib || document.capacity.memory > 0x7fffffff)
        return fail(
            Errc::invalid,
            "member capacity.memory must be " + std::to_string(least_memory_mib) + " MiB or more");
    return {};
}

/// What this node takes on. A container that was taken on stays, though the hub of the
/// configuration is another one by now.
Result<> check_rules(const grid::Container& document, const PlanConfig& config)
{
    const auto type = document.capacity.disk_type;
    if (document.capacity.disk_size > 0 && type != grid::DiskType::ssd &&
        type != grid::DiskType::hdd)
        return fail(Errc::invalid, "member capacity.disk_type must be 0 (HDD) or 1 (SSD)");
    if (!document.hub_url.empty()) {
        TRY_DO(check_hub_url(document.hub_url, config.hub_url));
    }
    const auto targets = std::ranges::count(document.logs, "redis", &grid::ContainerLogs::type);
    if (targets > most_log_targets)
        return fail(
            Errc::invalid,
            "member logs names " + std::to_string(targets) + " targets; at most " +
                std::to_string(most_log_targets) + " are served");
    if (document.interactive)
        return fail(Errc::unsupported, "interactive containers are not offered by this node yet");
    return {};
}

/// "-2" stands for the second workload of the container's own reservation; a volume that has gone
/// over into a pool is known by its new number, too.
std::string volume_gwid(
    const std::map<std::string, std::string>& own_names,
    const std::string& container,
    const std::string& volume_id)
{
    if (volume_id.starts_with('-')) return container.substr(0, container.find('-')) + volume_id;
    const auto older = own_names.find(volume_id);
    return older == own_names.end() ? volume_id : older->second;
}

}  // namespace

Result<std::unique_ptr<Plan>> NodePlanner::Impl::container_plan(
    const Order& order, const grid::Workload& workload, Standing standing)
{
    const auto& document = std::get<grid::Container>(workload.data);
    TRY_DO(check_shape(document));
    if (standing == Standing::fresh) {
        TRY_DO(check_rules(document, config));
    }

    auto state = std::make_shared<ContainerState>(
        *this, order.gwid, order.owner, workload.version, document);
    for (auto& mount : state->document.volumes)
        mount.volume_id = volume_gwid(own_names, order.gwid, mount.volume_id);
    const auto& capacity = document.capacity;
    const bool ssd = capacity.disk_size == 0 || capacity.disk_type == grid::DiskType::ssd;
    const auto root_mib = capacity.disk_size == 0 ? default_root_mib : capacity.disk_size;
    if (root_mib > (std::uint64_t{1} << 40U))
        return fail(Errc::invalid, "member capacity.disk_size is too large");
    state->root.name = order.gwid;
    state->root.gwid = order.gwid;
    state->root.purpose = storage::Purpose::rootfs;
    state->root.media = ssd ? storage::Media::ssd : storage::Media::hdd;
    state->root.bytes = root_mib * mib;
    state->root.owner = std::to_string(order.owner);

    auto plan = std::make_unique<Plan>();
    const auto& network = document.network_connection.front().network_id;
    plan->needs.push_back(
        {network_key(order.owner, network), "network " + printable(network), true});
    for (const auto& mount : state->document.volumes)
        plan->needs.push_back(
            {"volume:" + mount.volume_id, "volume " + printable(mount.volume_id), true});
    plan->amounts.cpus = static_cast<std::uint64_t>(capacity.cpu);
    plan->amounts.memory = static_cast<std::uint64_t>(capacity.memory) * mib;
    (ssd ? plan->amounts.ssd : plan->amounts.hdd) = state->root.bytes;

    add_step(*plan, "read the secrets", state, read_secrets, nothing<ContainerState>);
    add_step(*plan, "make the root's writable layer", state, make_root, remove_root);
    add_step(*plan, "mount the flist", state, mount_flist, release_flist);
    add_step(*plan, "join the network", state, join_network, leave_network);
    add_step(*plan, "send the logs", state, ship_logs, stop_logs);
    add_step(*plan, "start the program", state, start_container, stop_container);

    plan->data = [state, legacy = order.era == explorer::Era::reservations] {
        grid::ContainerResult result;
        result.id = state->gwid;
        result.ipv4 = state->joined.addresses.empty()
                          ? "<nil>"
                          : state->joined.addresses.front().address.text();
        result.ipv6 = state->joined.ipv6 ? state->joined.ipv6->text() : "<nil>";
        if (!legacy) result.yggdrasil = "";
        return grid::to_json(result);
    };
    plan->addresses = [state] {
        std::vector<std::string> addresses;
        for (const auto& network : state->joined.addresses)
            addresses.push_back(network.address.text());
        if (state->joined.ipv6) addresses.push_back(state->joined.ipv6->text());
        return addresses;
    };
    plan->pid = [state] { return std::int64_t{state->running.pid}; };
    plan->watch = [state] { return watch_container(state); };
    plan->missed_ending = [state] { return missed_ending(state); };
    return plan;
}

}  // namespace znode::engine
