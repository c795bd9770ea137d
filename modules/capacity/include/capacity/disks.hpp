#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace znode::capacity {

/// A disk of the machine, as the kernel lists it.
struct Disk {
    std::string device;  ///< "/dev/nvme0n1"
    std::string model;   ///< "" where it has none (virtual disks).
    bool rotating = false;
    bool removable = false;
    std::uint64_t bytes = 0;
};

/// Whole disks, sorted by device; what only looks like one (loop, ram, zram, device mapper, md,
/// optical and network block devices) is left out, and so are drives without a medium. Reads sysfs:
/// some hundred microseconds, no disk is touched or spun up.
[[nodiscard]] Result<std::vector<Disk>> list_disks(const std::filesystem::path& sysfs = "/sys");

}  // namespace znode::capacity
