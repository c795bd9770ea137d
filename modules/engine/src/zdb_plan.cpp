#include <algorithm>

#include <sodium.h>

#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"
#include "grid/document.hpp"
#include "kernel/files.hpp"
#include "zdb_state.hpp"

namespace znode::engine {
namespace {

/// Room on a server's volume beyond what its namespaces may take: catalog, reserve, index.
constexpr std::uint64_t server_overhead = 128 * mib;

/// What a namespace of that size may take: segments up to size * 17/16 + 64 MiB
/// (modules/zdb/README), and a segment of 64 MiB that compaction writes before it frees another.
constexpr std::uint64_t room_of(std::uint64_t size) { return size + size / 16 + 128 * mib; }

using State = std::shared_ptr<ZdbState>;

Task<Result<>> read_password(State state)
{
    auto password =
        co_await state->node.decrypt(state->document.password, state->version, state->owner);
    if (!password)
        co_return tl::unexpected(std::move(password).error().during("read the namespace password"));
    state->password = *std::move(password);
    co_return Result<>{};
}

storage::VolumeSpec volume_of(const ZdbState& state, std::uint64_t bytes)
{
    storage::VolumeSpec spec;
    spec.purpose = storage::Purpose::zdb;
    spec.media =
        state.document.disk_type == grid::DiskType::ssd ? storage::Media::ssd : storage::Media::hdd;
    spec.bytes = bytes;
    spec.pool = state.pool;
    return spec;
}

Task<Result<>> forget_pool(State state)
{
    state->pool.clear();
    co_return co_await state->node.resources.set_fact("zdb.pool." + state->gwid, "");
}

/// A name of its own for the server of a pool, given once.
Task<Result<std::string>> server_name(State state)
{
    auto& resources = state->node.resources;
    const auto key = "zdb.server." + state->pool;
    CO_TRY(const auto known, co_await resources.fact(key));
    if (known && !known->empty()) co_return *known;
    std::string random(16, '\0');
    ::randombytes_buf(random.data(), random.size());
    const auto name = "zdb" + to_hex(random);
    CO_TRY_DO(co_await resources.set_fact(key, name));
    co_return name;
}

/// Servers of a node get ports in the order of their birth.
Task<Result<std::uint16_t>> server_port(State state)
{
    auto& resources = state->node.resources;
    const auto key = "zdb.port." + state->pool;
    CO_TRY(const auto known, co_await resources.fact(key));
    if (known && !known->empty()) co_return static_cast<std::uint16_t>(std::stoul(*known));
    CO_TRY(const auto next, co_await resources.fact("zdb.port.next"));
    const auto port = next && !next->empty() ? std::stoul(*next) : state->node.config.zdb_port_base;
    CO_TRY_DO(co_await resources.set_fact("zdb.port.next", std::to_string(port + 1)));
    CO_TRY_DO(co_await resources.set_fact(key, std::to_string(port)));
    co_return static_cast<std::uint16_t>(port);
}

zdb::ServerSpec server_of(
    const ZdbState& state, const std::string& name, const std::filesystem::path& volume)
{
    const auto& config = state.node.config;
    zdb::ServerSpec server;
    server.pool = state.pool;
    server.data = volume / "data";
    server.index = volume / "index";
    server.socket = config.run_dir / "zdb" / name / "admin.sock";
    server.log_file = config.run_dir / "zdb" / name / "log";
    server.network_namespace = state.space.space;
    server.port = state.space.port;
    server.program = config.zdb_program;
    server.cgroup_procs = config.cgroup_procs;
    server.uid = config.zdb_uid;
    server.gid = config.zdb_gid;
    return server;
}

/// The port of the volume's server, for an agent whose database is lost: customers know it.
constexpr auto port_file = "port";

Task<Result<>> note_port(State state, std::filesystem::path volume, std::uint16_t port)
{
    const auto path = volume / port_file;
    const auto text = std::to_string(port);
    auto& disks = state->node.resources.disks;
    const auto noted = co_await disks.run([&] { return kernel::read_file(path, 16); });
    if (noted.value_or("") == text) co_return Result<>{};
    CO_FP("engine.zdb.port");
    co_return co_await disks.run([&] { return kernel::write_file_atomically(path, text, 0600); });
}

/// Servers that have a volume and no note: the database had to be begun anew. What they hold is
/// noted again.
Task<Result<>> find_servers(NodePlanner::Impl* impl)
{
    auto& node = *impl;
    const auto guard = co_await node.zdb_turn.lock();
    CO_TRY(const auto volumes, co_await node.resources.volumes.list());
    for (const auto& volume : volumes) {
        if (volume.purpose != storage::Purpose::zdb) continue;
        const auto note = "zdb.server." + volume.pool;
        CO_TRY(const auto known, co_await node.resources.fact(note));
        if (known && !known->empty()) continue;
        auto found = std::make_shared<ZdbState>(node, std::string{});
        found->pool = volume.pool;
        const auto text = co_await node.resources.disks.run(
            [&] { return kernel::read_file(volume.path / port_file, 16); });
        if (const auto port = text ? to_number<std::uint16_t>(*text) : std::nullopt) {
            CO_TRY_DO(
                co_await node.resources.set_fact("zdb.port." + volume.pool, std::to_string(*port)));
            CO_TRY(const auto next, co_await node.resources.fact("zdb.port.next"));
            const auto free = std::max<std::uint32_t>(
                to_number<std::uint16_t>(next.value_or("")).value_or(0), *port + 1U);
            CO_TRY_DO(co_await node.resources.set_fact("zdb.port.next", std::to_string(free)));
        }
        CO_TRY(const auto port, co_await server_port(found));
        CO_TRY(
            found->space,
            co_await node.resources.networks.ensure_zdb_namespace(
                network::ZdbNamespaceSpec{volume.pool, port}));
        CO_TRY_DO(
            co_await node.resources.zdb.ensure_server(server_of(*found, volume.name, volume.path)));
        CO_TRY(const auto held, co_await node.resources.zdb.list(volume.pool));
        for (const auto& each : held) {
            // Where one is in two pools, the other one is what its customer has been using.
            const auto pool_note = "zdb.pool." + each.name;
            CO_TRY(const auto pool, co_await node.resources.fact(pool_note));
            if (!pool || pool->empty())
                CO_TRY_DO(co_await node.resources.set_fact(pool_note, volume.pool));
        }
        CO_FP("engine.zdb.found");
        CO_TRY_DO(co_await node.resources.set_fact(note, volume.name));
        node.resources.log->warn(
            "0-db server found again pool={} port={} namespaces={}",
            volume.pool,
            port,
            held.size());
    }
    co_return Result<>{};
}

/// Set when each server of this node has a note: what has none is new.
constexpr auto all_servers_are_noted = "zdb.servers.noted";

/// A pool in which nobody could look for servers may hold the namespace. Made in another one it
/// would come back empty.
Result<> check_absent(const ZdbState& state, const std::vector<storage::PoolInfo>& unseen)
{
    const auto media = volume_of(state, 0).media;
    for (const auto& pool : unseen)
        if (pool.may_hold && pool.media == media)
            return fail(
                Errc::unavailable,
                "namespace " + state.gwid + " may lie in pool " + pool.name +
                    ", which cannot be looked at: " + pool.problem);
    return {};
}

/// The pool is chosen once and kept: the data lies there.
Task<Result<>> choose_pool(State state)
{
    auto& resources = state->node.resources;
    const auto key = "zdb.pool." + state->gwid;
    CO_TRY(const auto known, co_await resources.fact(key));
    if (known && !known->empty()) {
        state->pool = *known;
        co_return Result<>{};
    }
    CO_TRY(const auto unseen, co_await state->node.find_zdb_servers());
    CO_TRY(const auto found, co_await resources.fact(key));
    if (found && !found->empty()) {
        state->pool = *found;
        co_return Result<>{};
    }
    CO_TRY_DO(check_absent(*state, unseen));
    CO_TRY(state->pool, co_await resources.volumes.choose(volume_of(*state, state->bytes())));
    co_return co_await resources.set_fact(key, state->pool);
}

Task<Result<>> serve(State state)
{
    auto& node = state->node;
    const auto guard = co_await node.zdb_turn.lock();
    CO_FP("engine.zdb.server");
    CO_TRY(const auto name, co_await server_name(state));
    CO_TRY(const auto port, co_await server_port(state));

    // The volume holds what all its namespaces were sold. It only grows here: after a restart the
    // others have not all said yet what they need.
    auto& sold = node.zdb_sold[state->pool];
    sold[state->gwid] = state->bytes();
    std::uint64_t bytes = server_overhead;
    std::uint64_t least = server_overhead;  // As agents before this one had it.
    const auto add = [&](std::uint64_t size) {
        bytes += room_of(size);
        least += size + size / 32;
    };
    for (const auto& [gwid, size] : sold) add(size);
    CO_TRY(const auto kept, co_await read_kept(&node));
    for (const auto& each : kept)
        if (each.pool == state->pool) add(each.bytes);
    const auto there = co_await node.resources.volumes.find(name, state->pool);
    if (there) bytes = std::max(bytes, there->bytes);
    auto spec = volume_of(*state, bytes);
    spec.name = name;
    auto volume = co_await node.resources.volumes.ensure(spec);
    Result<> grown;
    if (!volume && volume.error().code == Errc::exhausted && there && there->bytes >= least) {
        // Made when less was set aside for compaction: what it holds must be served all the same.
        grown = tl::unexpected(volume.error());
        node.resources.log->warn(
            "0-db volume stays small pool={} error=\"{}\"", state->pool, volume.error().message);
        spec.bytes = there->bytes;
        volume = co_await node.resources.volumes.ensure(spec);
    }
    if (!volume) {
        node.zdb_sold[state->pool].erase(state->gwid);
        co_return tl::unexpected(std::move(volume).error());
    }
    CO_TRY(
        state->space,
        co_await node.resources.networks.ensure_zdb_namespace(
            network::ZdbNamespaceSpec{state->pool, port}));

    CO_TRY_DO(co_await note_port(state, volume->path, port));
    CO_TRY_DO(co_await node.resources.zdb.ensure_server(server_of(*state, name, volume->path)));
    if (!grown) {
        CO_TRY(const auto held, co_await node.resources.zdb.list(state->pool));
        if (std::ranges::find(held, state->gwid, &zdb::NamespaceInfo::name) == held.end()) {
            node.zdb_sold[state->pool].erase(state->gwid);
            co_return grown;
        }
    }
    CO_FP("engine.zdb.served");
    co_return Result<>{};
}

}  // namespace

Task<Result<bool>> find_server(std::shared_ptr<ZdbState> state)
{
    auto& node = state->node;
    if (state->pool.empty()) {
        CO_TRY(const auto known, co_await node.resources.fact("zdb.pool." + state->gwid));
        if (!known || known->empty()) co_return false;
        state->pool = *known;
    }
    CO_TRY(const auto name, co_await server_name(state));
    const auto volume = co_await node.resources.volumes.find(name, state->pool);
    if (!volume && volume.error().code == Errc::not_found) co_return false;
    if (!volume) co_return tl::unexpected(volume.error());
    CO_TRY(const auto port, co_await server_port(state));
    CO_TRY(
        state->space,
        co_await node.resources.networks.ensure_zdb_namespace(
            network::ZdbNamespaceSpec{state->pool, port}));
    CO_TRY_DO(co_await node.resources.zdb.ensure_server(server_of(*state, name, volume->path)));
    co_return true;
}

Task<Result<>> end_unused_server(std::shared_ptr<ZdbState> state)
{
    auto& node = state->node;
    CO_TRY(const bool serves, co_await find_server(state));
    if (!serves) co_return Result<>{};
    auto& sold = node.zdb_sold[state->pool];
    sold.erase(state->gwid);
    if (!sold.empty()) co_return Result<>{};
    // What we remember may be incomplete after a restart; the server knows whose data it holds.
    CO_TRY(const auto left, co_await node.resources.zdb.list(state->pool));
    if (!left.empty()) co_return Result<>{};
    CO_TRY(const auto name, co_await server_name(state));
    CO_TRY_DO(co_await node.resources.zdb.stop_server(state->pool));
    CO_TRY_DO(co_await node.resources.networks.remove_zdb_namespace(state->pool));
    co_return co_await node.resources.volumes.remove(name, state->pool);
}

namespace {

Task<Result<>> stop_serving(State state)
{
    const auto guard = co_await state->node.zdb_turn.lock();
    CO_FP("engine.zdb.unserve");
    co_return co_await end_unused_server(state);
}

Task<Result<>> make_namespace(State state)
{
    CO_FP("engine.zdb.namespace");
    CO_TRY(const auto kept, co_await read_kept(&state->node));
    if (std::ranges::find(kept, state->gwid, &KeptNamespace::gwid) != kept.end())
        co_return fail(
            Errc::exists,
            "the number " + state->gwid +
                " belongs to a namespace whose data is kept for its customer; reserve again");
    zdb::NamespaceSpec spec;
    spec.name = state->gwid;
    spec.password = state->password;
    spec.mode =
        state->document.mode == grid::ZdbMode::seq ? zdb::Mode::sequential : zdb::Mode::user;
    spec.size = state->bytes();
    spec.public_access = state->document.is_public;
    CO_TRY_DO(co_await state->node.resources.zdb.ensure(state->pool, std::move(spec)));
    CO_FP("engine.zdb.made");
    co_return Result<>{};
}

Task<Result<>> remove_namespace(State state)
{
    CO_FP("engine.zdb.remove");
    auto& node = state->node;
    const auto guard = co_await node.zdb_turn.lock();
    CO_TRY(const bool serves, co_await find_server(state));
    if (!serves) co_return Result<>{};
    if (node.keeps(state->gwid)) {
        CO_TRY(const bool kept, co_await set_aside(state));
        if (kept) co_return Result<>{};
    }
    CO_TRY_DO(co_await node.resources.zdb.remove(state->pool, state->gwid));
    node.may_destroy.erase(state->gwid);
    co_return Result<>{};
}

}  // namespace

Task<Result<std::vector<storage::PoolInfo>>> NodePlanner::Impl::find_zdb_servers()
{
    CO_TRY(const auto noted, co_await resources.fact(all_servers_are_noted));
    const bool all_noted = noted && !noted->empty();
    // As they were before the look: into one that opens meanwhile nobody has looked.
    std::vector<storage::PoolInfo> pools;
    if (!all_noted) pools = co_await resources.volumes.pools();
    CO_TRY_DO(co_await find_servers(this));
    std::vector<storage::PoolInfo> unseen;
    for (auto& pool : pools) {
        if (pool.state != storage::PoolState::failed) continue;
        CO_TRY(const auto server, co_await resources.fact("zdb.server." + pool.name));
        if (!server || server->empty()) unseen.push_back(std::move(pool));
    }
    if (!all_noted && unseen.empty())
        CO_TRY_DO(co_await resources.set_fact(all_servers_are_noted, "1"));
    co_return unseen;
}

Result<std::unique_ptr<Plan>> NodePlanner::Impl::zdb_plan(
    const Order& order, const grid::Workload& workload)
{
    const auto& document = std::get<grid::Zdb>(workload.data);
    if (document.size < 1 || document.size > (1LL << 30U))
        return fail(Errc::invalid, "member size must be 1 GiB or more");
    auto state =
        std::make_shared<ZdbState>(*this, order.gwid, order.owner, workload.version, document);

    auto plan = std::make_unique<Plan>();
    const bool ssd = document.disk_type == grid::DiskType::ssd;
    (ssd ? plan->amounts.ssd : plan->amounts.hdd) = state->bytes();
    add_step(*plan, "read the password", state, read_password, nothing<ZdbState>);
    add_step(*plan, "choose the pool", state, choose_pool, forget_pool);
    add_step(*plan, "start the server", state, serve, stop_serving);
    add_step(*plan, "make the namespace", state, make_namespace, remove_namespace);

    // The first era knows one address; for its clients' sake it is there in the later one, too.
    plan->data = [state, legacy = order.era == explorer::Era::reservations] {
        grid::ZdbResult result;
        result.name = state->gwid;
        auto& addresses = state->space.addresses;
        if (!legacy) {
            result.ips = grid::List<std::string>::none();
            for (const auto& address : addresses) result.ips.push_back(address.text());
        }
        if (!addresses.empty()) result.ip = addresses.front().text();
        if (legacy && !result.ip) result.ip = "";
        result.port = state->space.port;
        return grid::to_json(result);
    };
    plan->addresses = [state] {
        std::vector<std::string> addresses;
        for (const auto& address : state->space.addresses)
            addresses.push_back(IpEndpoint{address, state->space.port}.text());
        return addresses;
    };
    return plan;
}

}  // namespace znode::engine
