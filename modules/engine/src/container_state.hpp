#pragma once

#include "planner.hpp"

namespace znode::engine {

/// What the steps of a container's plan share.
struct ContainerState {
    NodePlanner::Impl& node;
    std::string gwid;
    std::int64_t owner = 0;
    std::int64_t version = 0;
    grid::Container document;
    storage::VolumeSpec root;

    // Found out on the way, in the order of the steps.
    std::uint32_t first_uid = 0;
    std::map<std::string, Secret> secrets;
    std::vector<logs::LogTarget> log_targets;
    std::filesystem::path writable;
    flist::MountedFlist flist;
    network::Joined joined;
    container::Running running;
};

// container_flist.cpp
Task<Result<>> mount_flist(std::shared_ptr<ContainerState> state);
Task<Result<>> release_flist(std::shared_ptr<ContainerState> state);

}  // namespace znode::engine
