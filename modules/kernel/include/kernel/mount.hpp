#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace znode::kernel {

/// What to mount, in the words of mount(2).
struct MountSpec {
    std::string source;            ///< Device, folder of a bind, or a name.
    std::filesystem::path target;  ///< An existing folder (a file, for a bind of a file).
    std::string type;              ///< Empty for binds and changes of propagation.
    unsigned long flags = 0;       ///< MS_*.
    std::string options;           ///< Of the file system.
};

/// A mount that lives as long as this object.
///
/// Only `attach` makes one, so to hold a Mount is to know that the kernel has it. `detach` is the
/// normal end and reports what went wrong. The destructor is the safety net: it must not block,
/// so it leaves the rest to the kernel. `keep` leaves the mount to the next run of the agent.
class Mount {
public:
    [[nodiscard]] static Result<Mount> attach(const MountSpec& spec);
    /// Takes charge of a mount that exists already.
    static Mount adopt(std::filesystem::path target) { return Mount{std::move(target)}; }

    Mount() = default;
    Mount(Mount&& other) noexcept : target_{std::exchange(other.target_, {})} {}
    Mount& operator=(Mount&& other) noexcept
    {
        target_.swap(other.target_);
        return *this;
    }
    ~Mount();

    [[nodiscard]] Result<> detach();
    std::filesystem::path keep() && noexcept { return std::exchange(target_, {}); }
    const std::filesystem::path& target() const noexcept { return target_; }

private:
    explicit Mount(std::filesystem::path target) : target_{std::move(target)} {}

    std::filesystem::path target_;  // Empty once detached, kept or moved from.
};

/// A line of mountinfo.
struct MountInfo {
    std::uint64_t id = 0;
    std::uint64_t parent = 0;
    std::string device;            ///< "major:minor".
    std::filesystem::path root;    ///< What of the file system is seen there.
    std::filesystem::path target;  ///< Octal escapes are undone.
    std::string options;           ///< Of the mount.
    std::string type;
    std::string source;
    std::string super_options;  ///< Of the file system.
};

/// Reads the text of a mountinfo file; lines that make no sense are left out.
std::vector<MountInfo> parse_mountinfo(std::string_view text);
/// A field of it as it was: mountinfo writes space, tab, newline and backslash as three octal
/// digits.
std::string unescape_mountinfo(std::string_view text);
/// The mounts that a process sees, oldest first; `who` is "self" or a pid.
[[nodiscard]] Result<std::vector<MountInfo>> read_mounts(const std::string& who = "self");
/// Whether something is mounted exactly there (by its mountinfo, so a hung server does not matter).
[[nodiscard]] Result<bool> is_mounted(const std::filesystem::path& target);
/// Unmounts all that is mounted exactly there, one over the other; succeeds when nothing is. `lazy`
/// detaches what is still in use.
[[nodiscard]] Result<> unmount_all(const std::filesystem::path& target, bool lazy = false);

}  // namespace znode::kernel
