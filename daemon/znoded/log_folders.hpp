#pragma once

#include <filesystem>
#include <functional>

#include "async/blocking.hpp"

namespace znode::agent {

/// Removes the folders in `logs` whose names `is_known` denies; how many. It is asked after the
/// folder was seen: one that appears meanwhile stays.
Task<std::size_t> forget_log_folders(
    Blocking* disks,
    std::filesystem::path logs,
    std::function<bool(const std::string& gwid)> is_known);

}  // namespace znode::agent
