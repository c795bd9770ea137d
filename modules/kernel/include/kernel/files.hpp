#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "kernel/fd.hpp"

namespace znode::kernel {

/// The whole file. Errc::not_found if it does not exist, Errc::invalid if it is larger than
/// `limit`.
[[nodiscard]] Result<std::string> read_file(
    const std::filesystem::path& path, std::size_t limit = std::size_t{16} << 20U);

/// Replaces the file so that after a crash at any instant the old or the new content is there:
/// written beside, fsync, rename, fsync of the folder.
[[nodiscard]] Result<> write_file_atomically(
    const std::filesystem::path& path, std::string_view content, mode_t mode);

/// Writes to a file that exists already: /proc, /sys, cgroup files. One write call.
[[nodiscard]] Result<> write_existing(const std::filesystem::path& path, std::string_view content);

/// All of it, whatever write(2) takes at a time.
[[nodiscard]] Result<> write_all(int fd, std::string_view content);
[[nodiscard]] Result<> pwrite_all(int fd, std::string_view content, off_t offset);
/// Reads until `into` is full or the end; says how much was read.
[[nodiscard]] Result<std::size_t> pread_full(int fd, std::span<char> into, off_t offset);

/// Folder and its missing parents; an existing one gets no other mode.
[[nodiscard]] Result<> make_folders(const std::filesystem::path& path, mode_t mode = 0755);

/// fsync of a folder: makes renames and new names in it durable.
[[nodiscard]] Result<> sync_folder(const std::filesystem::path& path);

/// Removes a file; succeeds when it is not there.
[[nodiscard]] Result<> remove_file(const std::filesystem::path& path);

/// Field 22 of /proc/PID/stat: the moment the process started, in clock ticks since boot. With the
/// pid it names a process for one boot. Errc::not_found when there is none.
[[nodiscard]] Result<std::uint64_t> start_time_of(pid_t pid);

/// /proc/sys/kernel/random/boot_id.
[[nodiscard]] Result<std::string> boot_id();

}  // namespace znode::kernel
