#pragma once
// What plans are made with, without a kernel: each part remembers what it was asked for.

#include <fstream>
#include <map>
#include <set>

#include "engine/planner.hpp"
#include "temp_folder.hpp"

namespace znode::test {

class FakeVolumes : public storage::Volumes {
public:
    struct Pool {
        std::uint64_t free = 0;
        bool open = true;
        bool used = true;
    };
    std::map<std::string, Pool> pool;
    std::map<std::string, storage::Volume> volumes;
    std::set<std::string> kept;
    std::function<void()> after_choice = [] {};
    std::filesystem::path root;

    Task<> open() override { co_return; }
    Task<Result<std::string>> choose(storage::VolumeSpec spec) override
    {
        auto chosen = best(spec);
        after_choice();
        co_return chosen;
    }
    Task<Result<storage::Volume>> ensure(storage::VolumeSpec spec) override
    {
        const auto there = volumes.find(spec.name);
        if (there != volumes.end() && is_open(there->second.pool)) {
            auto& volume = there->second;
            if (spec.bytes > volume.bytes + pool[volume.pool].free)
                co_return fail(Errc::exhausted, "cannot grow");
            volume.bytes = spec.bytes;
            co_return volume;
        }
        CO_TRY(const auto where, best(spec));
        storage::Volume volume;
        volume.name = spec.name;
        volume.gwid = spec.gwid;
        volume.purpose = spec.purpose;
        volume.bytes = spec.bytes;
        volume.pool = where;
        volume.path = root / spec.name;
        std::filesystem::create_directories(volume.path);
        volumes.insert_or_assign(spec.name, volume);
        co_return volume;
    }
    Task<Result<>> remove(std::string name, std::string home) override
    {
        const auto there = volumes.find(name);
        if (there != volumes.end() && is_open(there->second.pool)) {
            volumes.erase(there);
            co_return Result<>{};
        }
        for (const auto& [other, one] : pool)
            if (!one.open && (home.empty() ? one.used : home == other))
                co_return fail(Errc::unavailable, "pool " + other + " is away");
        co_return Result<>{};
    }
    Task<Result<>> set_aside(std::string name, std::string home) override
    {
        const bool there = volumes.contains(name);
        CO_TRY_DO(co_await remove(name, std::move(home)));
        if (there) kept.insert(name);
        co_return Result<>{};
    }
    Task<Result<std::size_t>> forget(std::int64_t) override { co_return 0; }
    Task<Result<std::vector<storage::Volume>>> list() override
    {
        std::vector<storage::Volume> all;
        for (const auto& [name, volume] : volumes)
            if (!pool.contains(volume.pool) || is_open(volume.pool)) all.push_back(volume);
        co_return all;
    }
    Task<Result<storage::Volume>> find(std::string name, std::string) override
    {
        const auto there = volumes.find(name);
        if (there != volumes.end() && is_open(there->second.pool)) co_return there->second;
        for (const auto& [other, one] : pool)
            if (!one.open && one.used)
                co_return fail(Errc::unavailable, "pool " + other + " is away");
        co_return fail(Errc::not_found, "there is no volume " + name);
    }
    Task<std::vector<storage::PoolInfo>> pools() override
    {
        std::vector<storage::PoolInfo> all;
        for (const auto& [name, one] : pool) {
            storage::PoolInfo info;
            info.name = name;
            info.state = one.open ? storage::PoolState::ready : storage::PoolState::failed;
            info.may_hold = one.used;
            all.push_back(std::move(info));
        }
        co_return all;
    }
    Task<Result<>> close() override { co_return Result<>{}; }
    Task<> stop() override { co_return; }

private:
    bool is_open(const std::string& name) const
    {
        const auto one = pool.find(name);
        return one != pool.end() && one->second.open;
    }
    Result<std::string> best(const storage::VolumeSpec& spec)
    {
        if (!spec.pool.empty() && !pool.contains(spec.pool))
            return fail(Errc::not_found, "this node has no ssd pool " + spec.pool);
        std::optional<std::string> best;
        bool any_open = false;
        for (const auto& [name, one] : pool) {
            if ((!spec.pool.empty() && spec.pool != name) || !one.open) continue;
            any_open = true;
            if (one.free >= spec.bytes && (!best || one.free > pool[*best].free)) best = name;
        }
        if (best) return *best;
        if (!any_open) return fail(Errc::unavailable, "pool " + spec.pool + " is not open");
        return fail(Errc::exhausted, "asked too much");
    }
};

class FakeFlists : public flist::Flists {
public:
    std::set<std::string> mounts;
    std::string published = "0123";      ///< What the hub has, for who wants no certain one.
    std::map<std::string, bool> remote;  ///< By block store: whether it must be elsewhere.
    int failures = 0;                    ///< Of removals to come.
    Duration unmount_takes{};

    Task<Result<>> recover() override { co_return Result<>{}; }
    Task<Result<flist::MountedFlist>> ensure(flist::FlistSpec spec) override
    {
        flist::MountedFlist mounted;
        const std::string store{spec.store_url.reveal()};
        mounted.md5 = spec.md5.value_or(published);
        mounted.key =
            std::to_string(std::hash<std::string>{}(spec.url + ' ' + store + ' ' + mounted.md5));
        mounts.insert(mounted.key);
        remote[store] = spec.remote_store;
        co_return mounted;
    }
    Task<Result<>> remove(std::string key) override
    {
        co_await sleep_for(unmount_takes);
        if (failures > 0) {
            --failures;
            co_return fail(Errc::unavailable, "in use");
        }
        mounts.erase(key);
        co_return Result<>{};
    }
    Task<Result<std::vector<flist::FlistStatus>>> list() override
    {
        std::vector<flist::FlistStatus> all;
        for (const auto& key : mounts) all.emplace_back().key = key;
        co_return all;
    }
    Task<std::uint64_t> cache_used() override { co_return 0; }
    Task<> stop() override { co_return; }
};

class FakeNetworks : public network::Networks {
public:
    Task<Result<network::HostNetwork>> start() override { co_return network::HostNetwork{}; }
    Task<> stop() override { co_return; }
    Task<Result<>> purge() override { co_return Result<>{}; }
    Task<Result<network::NetworkFacts>> ensure(network::NetworkResourceSpec) override
    {
        co_return network::NetworkFacts{};
    }
    Task<Result<>> remove(std::string) override { co_return Result<>{}; }
    Task<Result<network::Joined>> join(network::ContainerJoinSpec) override
    {
        co_return network::Joined{};
    }
    Task<Result<>> leave(std::string) override { co_return Result<>{}; }
    Task<Result<network::ZdbNamespace>> ensure_zdb_namespace(network::ZdbNamespaceSpec) override
    {
        co_return network::ZdbNamespace{};
    }
    Task<Result<>> remove_zdb_namespace(std::string) override { co_return Result<>{}; }
    Task<Result<network::Inventory>> list() override { co_return network::Inventory{}; }
    Task<Result<std::vector<network::Interface>>> interfaces() override
    {
        co_return std::vector<network::Interface>{};
    }
    Task<Result<std::vector<std::uint16_t>>> reserved_ports() override
    {
        co_return std::vector<std::uint16_t>{};
    }
};

class FakeZdb : public zdb::Namespaces {
public:
    std::map<std::string, std::map<std::string, zdb::NamespaceInfo>> held;  ///< Pool, name.
    std::set<std::string> frozen;
    std::function<void()> on_server = [] {};

    void add(const std::string& pool, const std::string& name) { held[pool][name].name = name; }

    Task<Result<zdb::RunningServer>> ensure_server(zdb::ServerSpec) override
    {
        on_server();
        co_return zdb::RunningServer{};
    }
    Task<Result<>> stop_server(std::string) override { co_return Result<>{}; }
    Task<Result<zdb::NamespaceAddress>> ensure(std::string pool, zdb::NamespaceSpec spec) override
    {
        add(pool, spec.name);
        co_return zdb::NamespaceAddress{};
    }
    Task<Result<>> remove(std::string pool, std::string name) override
    {
        held[pool].erase(name);
        co_return Result<>{};
    }
    Task<Result<>> freeze(std::string, std::string name) override
    {
        frozen.insert(name);
        co_return Result<>{};
    }
    Task<Result<std::vector<zdb::NamespaceInfo>>> list(std::string pool) override
    {
        std::vector<zdb::NamespaceInfo> all;
        for (const auto& [name, info] : held[pool]) all.push_back(info);
        co_return all;
    }
    Task<> stop() override { co_return; }
};

class FakeContainers : public container::Containers {
public:
    // Since before the agent was started.
    std::vector<std::string> running;
    std::vector<std::string> starting;
    std::vector<std::string> ended;

    Task<Result<container::Namespaces>> prepare_namespaces(std::string, container::IdRange) override
    {
        co_return container::Namespaces{};
    }
    Task<Result<container::Running>> ensure(container::ContainerSpec) override
    {
        co_return container::Running{};
    }
    Task<Result<container::ContainerExit>> stop(std::string, Duration) override
    {
        co_return container::ContainerExit{};
    }
    Task<Result<>> remove(std::string, bool) override { co_return Result<>{}; }
    Task<Result<std::vector<container::Found>>> list() override
    {
        std::vector<container::Found> all;
        for (const auto& gwid : running) {
            all.emplace_back().gwid = gwid;
            all.back().running.emplace();
        }
        for (const auto& gwid : starting) all.emplace_back().gwid = gwid;
        for (const auto& gwid : ended) {
            all.emplace_back().gwid = gwid;
            all.back().exit.emplace().gwid = gwid;
        }
        co_return all;
    }
    Task<container::ContainerExit> next_exit() override
    {
        co_await sleep_for(std::chrono::hours{1});
        co_return container::ContainerExit{};
    }
    Task<> drain() override { co_return; }
};

class FakeShippers : public logs::Shippers {
public:
    std::function<void(const std::string& gwid)> on_remove = [](const auto&) {};

    Task<Result<>> ensure(std::string, std::vector<logs::LogTarget>, std::filesystem::path) override
    {
        co_return Result<>{};
    }
    Task<Result<>> remove(std::string gwid, Duration) override
    {
        on_remove(gwid);
        co_return Result<>{};
    }
    Task<std::vector<logs::ShipperStatus>> status() override
    {
        co_return std::vector<logs::ShipperStatus>{};
    }
    Task<> stop() override { co_return; }
};

/// A planner with all its parts; facts are a map.
struct FakeNode {
    TempFolder folder;
    asio::io_context loop;
    Blocking disks{1};
    identity::Identity identity = identity::Identity::generate();
    FakeVolumes volumes;
    FakeNetworks networks;
    FakeZdb zdb;
    FakeFlists flists;
    FakeContainers containers;
    FakeShippers shippers;
    std::map<std::string, std::string> facts;
    std::string hub_url = "zdb://hub.example:9900";
    std::unique_ptr<engine::NodePlanner> planner = make_planner();

    Task<Result<std::optional<std::string>>> fact(std::string key)
    {
        const auto known = facts.find(key);
        if (known == facts.end()) co_return std::nullopt;
        co_return known->second;
    }
    Task<Result<>> set_fact(std::string key, std::string value)
    {
        facts.insert_or_assign(std::move(key), std::move(value));
        co_return Result<>{};
    }
    std::unique_ptr<engine::NodePlanner> make_planner()
    {
        volumes.root = folder.path() / "pools";
        engine::PlanConfig config;
        config.node_id = "node";
        config.hub_url = hub_url;
        config.log_dir = folder.path() / "logs";
        config.mountinfo = folder.path() / "mountinfo";
        if (!std::filesystem::exists(config.mountinfo)) std::ofstream{config.mountinfo};
        return std::make_unique<engine::NodePlanner>(
            engine::Resources{
                loop,
                disks,
                identity,
                volumes,
                networks,
                zdb,
                flists,
                containers,
                shippers,
                [](std::int64_t) -> Task<Result<identity::PublicKey>> {
                    co_return fail(Errc::not_found, "no customer");
                },
                [](std::int64_t) -> Task<Result<std::uint32_t>> { co_return 1'000'000; },
                [this](std::string key) { return fact(std::move(key)); },
                [this](std::string key, std::string value) {
                    return set_fact(std::move(key), std::move(value));
                },
                silent_log()},
            config);
    }
};

}  // namespace znode::test
