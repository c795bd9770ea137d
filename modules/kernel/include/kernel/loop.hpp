#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "kernel/fd.hpp"

namespace znode::kernel {

/// A loop device that shows a file as a disk. It clears itself when nobody has it open or mounted
/// any more: hold the object until the mount exists, then drop it.
struct LoopDevice {
    std::string path;  ///< "/dev/loop7"
    Fd fd;
};

/// The device that shows this file already, or a new one; autoclear, direct I/O where the file's
/// disk can do it (else each page would be cached twice). Never a second device for one file: two
/// mounts of one file system behind different devices destroy it.
[[nodiscard]] Result<LoopDevice> attach_loop(const std::filesystem::path& file);

/// The device that shows this file, if there is one.
[[nodiscard]] Result<std::optional<std::string>> find_loop(const std::filesystem::path& file);

}  // namespace znode::kernel
