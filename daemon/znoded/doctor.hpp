#pragma once

#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>
#include <znode/v1/operations.pb.h>
#include <znode/v1/resources.pb.h>

#include "engine/explorer_link.hpp"
#include "network/networks.hpp"
#include "storage/volumes.hpp"

namespace znode::agent {

/// What the checks look at beside the machine itself.
struct DoctorFacts {
    std::string cgroup_layout;
    engine::LinkState link;
    std::string explorer_url;
    std::vector<storage::PoolInfo> pools;
    std::optional<network::HostNetwork> host;
    std::filesystem::path state_dir;
};

/// Checks the machine and the agent, each with what to do when it is not well. Takes milliseconds:
/// asks /proc, PATH and statfs, nobody else.
v1::Doctor examine(const DoctorFacts& facts);

/// Whether a clock that says this may be right: it is not before 2025.
bool is_plausible(std::time_t now);

/// Model of the processor, number of cores, board, hypervisor, as far as the kernel tells.
void describe_machine(v1::Capacity& view);

}  // namespace znode::agent
