#pragma once
// btrfs by ioctl: subvolumes, quotas and their groups. Folders are given by open descriptors.

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace znode::kernel::btrfs {

/// Whether this path lies on a btrfs.
[[nodiscard]] Result<bool> is_btrfs(int fd);

/// Whether the descriptor is the root folder of a subvolume (inode 256).
[[nodiscard]] Result<bool> is_subvolume(int fd);

/// Makes an empty subvolume in `folder`. Errc::exists when the name is taken.
[[nodiscard]] Result<> create_subvolume(int folder, const std::string& name);

/// Unlinks a subvolume with everything in it, subvolumes inside of it included; the kernel frees
/// the space later, in the background. Returns the ids of all that were unlinked (none when the
/// name does not exist). A folder that is no subvolume is Errc::invalid.
[[nodiscard]] Result<std::vector<std::uint64_t>> destroy_subvolume(
    int folder, const std::string& name);

/// Id of the subvolume that this file or folder lies in.
[[nodiscard]] Result<std::uint64_t> subvolume_id(int fd);

/// Whether the subvolume is still there or still being cleaned away.
[[nodiscard]] Result<bool> subvolume_exists(int fd, std::uint64_t id);

[[nodiscard]] Result<bool> quota_enabled(int fd);
/// Turns quotas on for the whole file system and waits for the first count.
[[nodiscard]] Result<> enable_quota(int fd);

/// Limits what the subvolume of this descriptor may refer to; its users get EDQUOT beyond.
[[nodiscard]] Result<> limit_subvolume(int subvolume, std::uint64_t bytes);

/// What the file system counts for one subvolume.
struct Quota {
    std::uint64_t referenced = 0;  ///< Bytes, as of the last commit (30 s at most).
    std::uint64_t limit = 0;       ///< 0: none.
};
/// All quota groups of subvolumes (level 0), by subvolume id. Empty when quotas are off.
[[nodiscard]] Result<std::map<std::uint64_t, Quota>> quotas(int fd);

/// Forgets the group of a subvolume that is gone. Succeeds when there is none; Errc::unavailable
/// while the subvolume is still being cleaned away.
[[nodiscard]] Result<> remove_quota_group(int fd, std::uint64_t id);

/// Commits, and wakes the thread that cleans away what was unlinked.
[[nodiscard]] Result<> commit(int fd);

/// What the superblock at 64 KiB of a device or image says, without mounting it.
struct Superblock {
    bool blank = false;  ///< The first 128 KiB hold nothing but zeros.
    bool btrfs = false;
    std::string label = {};
    std::uint64_t bytes = 0;
};
[[nodiscard]] Result<Superblock> read_superblock(int fd);

}  // namespace znode::kernel::btrfs

namespace znode::kernel {

/// Sets an extended attribute; replaces the value it had.
[[nodiscard]] Result<> set_xattr(int fd, const char* name, const std::string& value);
/// "" when it is absent.
[[nodiscard]] Result<std::string> read_xattr(int fd, const char* name);

}  // namespace znode::kernel
