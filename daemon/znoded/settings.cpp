#include "settings.hpp"

#include <pwd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace znode::agent {

storage::Config storage_config(const Config& config, const std::string& node_id, const Log& log)
{
    storage::Config storage;
    storage.node_id = node_id;
    storage.run_dir = config.node.run_dir;
    storage.state_dir = config.node.state_dir / "pools";
    storage.log = log;
    for (const auto& pool : config.storage.pools) {
        storage::PoolConfig known;
        known.kind = pool.kind == "directory" ? storage::PoolConfig::Kind::directory
                                              : storage::PoolConfig::Kind::image;
        known.path = pool.path;
        known.bytes = pool.size;
        known.media = pool.media == "hdd" ? storage::Media::hdd : storage::Media::ssd;
        known.sparse = pool.sparse;
        known.enable_quota = pool.enable_quota;
        storage.pools.push_back(std::move(known));
    }
    return storage;
}

network::HostNetworkSpec network_config(
    const Config& config, const std::string& node_id, const std::vector<std::string>& cgroup_procs)
{
    network::HostNetworkSpec spec;
    spec.node_id = node_id;
    spec.run_dir = config.node.run_dir;
    spec.uplink = config.network.uplink;
    if (config.network.wireguard == "kernel") spec.wireguard = network::WireGuardKind::kernel;
    if (config.network.wireguard == "userspace") spec.wireguard = network::WireGuardKind::userspace;
    spec.cgroup_procs = cgroup_procs;
    return spec;
}

flist::FlistsConfig flists_config(
    const Config& config, const std::vector<std::string>& cgroup_procs)
{
    flist::FlistsConfig flists;
    flists.program = program_of(config, "znode-flist").string();
    flists.cache_dir = config.node.cache_dir;
    flists.run_dir = config.node.run_dir;
    flists.cgroup_procs = cgroup_procs;
    flists.cache_limit = cache_limit_of(config);
    return flists;
}

engine::PlanConfig plan_config(
    const Config& config, const std::string& node_id, const std::vector<std::string>& cgroup_procs)
{
    engine::PlanConfig plans;
    plans.node_id = node_id;
    plans.hub_url = config.flist.hub_url;
    plans.pids = static_cast<std::uint32_t>(config.containers.pids);
    plans.logs = {config.logs.segment_size, static_cast<std::uint32_t>(config.logs.segments)};
    plans.log_dir = config.node.state_dir / "logs";
    plans.zdb_program = config.zdb.command.starts_with('/')
                            ? std::filesystem::path{config.zdb.command}
                            : program_of(config, config.zdb.command);
    plans.run_dir = config.node.run_dir;
    plans.zdb_port_base = static_cast<std::uint16_t>(config.network.zdb_port_base);
    plans.cgroup_procs = cgroup_procs;
    plans.keep_removed = config.storage.undelete > Duration{};
    if (config.zdb.user.empty()) return plans;
    if (const passwd* const user = ::getpwnam(config.zdb.user.c_str())) {
        plans.zdb_uid = user->pw_uid;
        plans.zdb_gid = user->pw_gid;
    }
    return plans;
}

std::filesystem::path program_of(const Config& config, const std::string& name)
{
    std::error_code failed;
    auto helper = config.node.helpers_dir / name;
    if (std::filesystem::exists(helper, failed)) return helper;
    auto beside = config.node.own_dir / name;
    return std::filesystem::exists(beside, failed) ? beside : helper;
}

container::ContainersConfig container_config(const Config& config, const std::string& node8)
{
    container::ContainersConfig containers;
    containers.run_dir = config.node.run_dir;
    containers.log_dir = config.node.state_dir / "logs";
    containers.monitor_program = config.node.helpers_dir / "znode-monitor";
    containers.init_program = config.node.helpers_dir / "znode-init";
    if (config.containers.runtime.starts_with('/')) containers.runtime = config.containers.runtime;
    containers.node8 = node8;
    return containers;
}

engine::Machine machine_of(const Config& config)
{
    engine::Machine machine;
    machine.cpus = std::max(1U, std::thread::hardware_concurrency());
    if (config.node.cru > 0)
        machine.cpus =
            std::min<std::uint64_t>(machine.cpus, static_cast<std::uint64_t>(config.node.cru));
    const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
    machine.memory = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (config.node.mru > 0) machine.memory = std::min(machine.memory, config.node.mru);
    machine.memory_reserve =
        config.node.memory_reserve.value_or(engine::default_memory_reserve(machine.memory));
    machine.cpu_overcommit = config.node.cpu_overcommit;
    return machine;
}

std::uint64_t cache_limit_of(const Config& config)
{
    struct statvfs disk{};
    if (::statvfs(config.node.cache_dir.c_str(), &disk) != 0) return config.flist.cache_size;
    const std::uint64_t size = disk.f_blocks * disk.f_frsize;
    return std::min(config.flist.cache_size, size / 4 * 3);
}

}  // namespace znode::agent
