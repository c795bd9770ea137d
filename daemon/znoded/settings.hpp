#pragma once
// What the config means to each module.

#include <filesystem>
#include <string>
#include <vector>

#include "config.hpp"
#include "container/containers.hpp"
#include "engine/engine.hpp"
#include "engine/planner.hpp"
#include "flist/flists.hpp"
#include "network/networks.hpp"
#include "storage/volumes.hpp"

namespace znode::agent {

storage::Config storage_config(const Config& config, const std::string& node_id, const Log& log);

network::HostNetworkSpec network_config(
    const Config& config, const std::string& node_id, const std::vector<std::string>& cgroup_procs);

container::ContainersConfig container_config(const Config& config, const std::string& node8);

flist::FlistsConfig flists_config(
    const Config& config, const std::vector<std::string>& cgroup_procs);

engine::PlanConfig plan_config(
    const Config& config, const std::string& node_id, const std::vector<std::string>& cgroup_procs);

/// A program of ours: beside the helpers, as in a build folder, or beside znoded, as installed.
std::filesystem::path program_of(const Config& config, const std::string& name);

/// What this machine sells: the config's caps, else what the kernel says.
engine::Machine machine_of(const Config& config);

/// What the cache may take: as configured, and never so much that it fills its disk by itself.
std::uint64_t cache_limit_of(const Config& config);

}  // namespace znode::agent
