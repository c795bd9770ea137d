// How a pool comes to its mount: the image file, the loop device, the folder.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/btrfs.hpp"
#include "kernel/child.hpp"
#include "kernel/files.hpp"
#include "kernel/loop.hpp"
#include "kernel/mount.hpp"
#include "pool.hpp"

namespace znode::storage {

namespace btrfs = kernel::btrfs;

namespace {

// Says in the superblock that the file system is a pool of ours.
constexpr std::string_view label_prefix = "znode-";
constexpr std::uint64_t smallest_image = std::uint64_t{256} << 20U;
constexpr auto mkfs_patience = std::chrono::seconds{60};
// Discards would give back what fallocate took; flags are those of the mount, not of the device.
constexpr auto image_options = "nodiscard";
constexpr unsigned long mount_flags = MS_NODEV | MS_NOSUID | MS_NOATIME;

Result<> make_file_system(const std::filesystem::path& file, const std::string& pool)
{
    FP("storage.image.mkfs");
    // The label field holds 255 bytes; --nodiscard for the same reason as in the mount options.
    const auto label = (std::string{label_prefix} + pool).substr(0, 255);
    TRY_DO(kernel::run_checked(
        {"mkfs.btrfs", "--quiet", "--nodiscard", "--label", label, file.string()},
        {},
        mkfs_patience));
    return {};
}

Result<> check_room(const std::filesystem::path& image, std::uint64_t bytes)
{
    const auto folder = image.parent_path();
    struct statvfs host{};
    const int err = error_of(::statvfs(folder.c_str(), &host));
    if (err) return fail_errno(err, "ask for free space of " + folder.string());
    const std::uint64_t available = host.f_bavail * host.f_frsize;
    if (available >= bytes) return {};
    return fail(
        Errc::exhausted,
        "image " + image.string() + " asks for " + format_size(bytes) + ", the disk below has " +
            format_size(available) + " free: make room, or give the pool a smaller size");
}

/// The topmost mount exactly there, if any.
Result<std::optional<kernel::MountInfo>> mounted_at(const std::filesystem::path& folder)
{
    TRY(const auto all, kernel::read_mounts());
    std::optional<kernel::MountInfo> top;
    for (const auto& mount : all)
        if (mount.target == folder) top = mount;
    return top;
}

/// Gives the empty file its size; in full unless `sparse`.
Result<> allocate(int fd, const PoolConfig& config)
{
    const auto bytes = static_cast<off_t>(config.bytes);
    if (config.sparse) {
        const int err = error_of(::ftruncate(fd, bytes));
        if (err) return fail_errno(err, "set size of image " + config.path.string());
        return {};
    }
    // On a host that copies on write, blocks taken now would not be the blocks written later. Other
    // file systems have no such flag.
    int flags = 0;
    if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        (void)::ioctl(fd, FS_IOC_SETFLAGS, &flags);  // Only an optimisation elsewhere.
    }
    const int err = error_of(kernel::retry_eintr([&] { return ::fallocate(fd, 0, 0, bytes); }));
    if (err == EOPNOTSUPP)
        return fail(
            Errc::unsupported,
            "the file system below " + config.path.string() +
                " cannot reserve space: use another disk, or sparse = true if you accept that a " +
                "full host stops every workload");
    if (err) return fail_errno(err, "reserve " + format_size(config.bytes) + " for the image");
    return {};
}

Result<> mount_loop(const std::filesystem::path& image, const std::filesystem::path& target)
{
    TRY(const auto device, kernel::attach_loop(image));
    FP("storage.image.mount");
    const int err =
        error_of(::mount(device.path.c_str(), target.c_str(), "btrfs", mount_flags, image_options));
    if (err) return fail_errno(err, "mount " + image.string() + " at " + target.string());
    return {};
}

/// The same as long as the file system and the subvolume are.
std::string file_system_id(int fd)
{
    struct statfs info{};
    std::uint64_t id = 0;
    static_assert(sizeof info.f_fsid == sizeof id);
    if (::fstatfs(fd, &info) == 0) std::memcpy(&id, &info.f_fsid, sizeof id);
    return std::to_string(id);
}

/// Whether a volume of any node lies right there, whole or in the making.
Result<bool> holds_volumes(const std::filesystem::path& folder)
{
    std::error_code failed;
    std::filesystem::directory_iterator entry{folder, failed};
    for (; !failed && entry != std::filesystem::directory_iterator{}; entry.increment(failed)) {
        if (::lgetxattr(entry->path().c_str(), mark_attribute, nullptr, 0) >= 0) return true;
        if (entry->path().filename().string().starts_with(".znode-")) return true;
    }
    if (failed) return fail_errno(failed.value(), "look into " + folder.string());
    return false;
}

/// A folder of ours with this mode, whoever made it.
Result<> own_folder(const std::filesystem::path& folder, mode_t mode)
{
    TRY_DO(kernel::make_folders(folder, 0700));
    TRY(const auto fd, kernel::open_file(folder.string(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    int err = error_of(::fchown(fd.get(), 0, 0));
    if (!err) err = error_of(::fchmod(fd.get(), mode));
    if (err) return fail_errno(err, "make " + folder.string() + " ours");
    return {};
}

Result<bool> are_same(const std::filesystem::path& one, const std::filesystem::path& other)
{
    struct stat first{};
    struct stat second{};
    int err = error_of(::stat(one.c_str(), &first));
    if (err) return fail_errno(err, "look at " + one.string());
    err = error_of(::stat(other.c_str(), &second));
    if (err) return fail_errno(err, "look at " + other.string());
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

Error in_the_way(const std::filesystem::path& target, const kernel::MountInfo& mounted)
{
    return {
        Errc::exists,
        target.string() + " has something else mounted on it (" + mounted.type + " from " +
            mounted.source + "): unmount it"};
}

}  // namespace

/// A disk that was not mounted looks like one on which nothing was made yet: what would be made in
/// its place is empty, and the customers' data is not.
Result<> Pool::check_not_used() const
{
    const auto note = notes_.of(config_.path);
    std::error_code failed;
    const bool used = !note.empty() && std::filesystem::exists(note, failed);
    if (failed) return fail_errno(failed.value(), "look for " + note.string());
    if (!used) return {};
    const bool image = config_.kind == PoolConfig::Kind::image;
    return fail(
        Errc::unavailable,
        std::string{image ? "the image " : "the folder "} + config_.path.string() +
            " that this node has used is missing: mount its disk, or remove " + note.string() +
            " to begin anew");
}

Result<> Pool::note_used(int folder)
{
    auto noted = notes_.note(config_.path, file_system_id(folder));
    if (noted) return {};
    // A next start, with the pool away, would take it for one that was never used.
    if (!notes_.may_hold(config_.path))
        return tl::unexpected(std::move(noted).error().during("note the use of the pool"));
    // The volumes can be had all the same: the next start notes it.
    if (remark_.empty()) remark_ = "the use of the pool is not noted: " + noted.error().message;
    return {};
}

Result<> Pool::make_image()
{
    TRY_DO(check_not_used());
    if (config_.bytes < smallest_image)
        return fail(
            Errc::invalid,
            "image " + config_.path.string() + ": size must be " + format_size(smallest_image) +
                " or more");
    TRY_DO(kernel::make_folders(config_.path.parent_path(), 0711));
    // Made beside and renamed when it is whole: a half-made one is never taken for a pool.
    auto beside = config_.path;
    beside += ".znode-new";
    TRY_DO(kernel::remove_file(beside));
    TRY_DO(check_room(config_.path, config_.sparse ? 0 : config_.bytes));
    const auto made = [&]() -> Result<> {
        FP("storage.image.create");
        TRY(const auto fd, kernel::open_file(beside.string(), O_RDWR | O_CREAT | O_EXCL, 0600));
        TRY_DO(allocate(fd.get(), config_));
        TRY_DO(make_file_system(beside, config_.name));
        int err = error_of(::fsync(fd.get()));
        if (err) return fail_errno(err, "sync " + beside.string());
        FP("storage.image.rename");
        err = error_of(::rename(beside.c_str(), config_.path.c_str()));
        if (err) return fail_errno(err, "rename " + beside.string());
        return kernel::sync_folder(config_.path.parent_path());
    }();
    if (!made) (void)kernel::remove_file(beside);  // The cause is the thing to report.
    return made;
}

Result<> Pool::open_image()
{
    TRY(const auto mounted, mounted_at(mount_point_));
    if (mounted) {
        TRY(const auto device, kernel::find_loop(config_.path));
        mounted_ = mounted->type == "btrfs" && device && *device == mounted->source;
        if (mounted_) return {};
        return tl::unexpected(in_the_way(mount_point_, *mounted));
    }

    struct stat info{};
    if (::stat(config_.path.c_str(), &info) != 0) {
        const int err = errno;
        if (err != ENOENT) return fail_errno(err, "look at image " + config_.path.string());
        TRY_DO(make_image());
        if (::stat(config_.path.c_str(), &info) != 0)
            return fail_errno(errno, "look at image " + config_.path.string());
    }
    if (!S_ISREG(info.st_mode))
        return fail(
            Errc::invalid, config_.path.string() + " is not a file: give the pool another path");

    TRY(const auto fd, kernel::open_file(config_.path.string(), O_RDONLY));
    TRY(const auto super, btrfs::read_superblock(fd.get()));
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (!super.btrfs && super.blank && size >= smallest_image) {
        TRY_DO(make_file_system(config_.path, config_.name));  // Refuses what holds something.
    } else if (!super.btrfs || !super.label.starts_with(label_prefix)) {
        return fail(
            Errc::exists,
            config_.path.string() +
                " holds something that this agent did not make: move it away, or give the pool "
                "another path");
    }
    if (size != config_.bytes && config_.bytes != 0)
        remark_ = "image is " + format_size(size) + ", the config says " +
                  format_size(config_.bytes) + ": it keeps its size";

    TRY_DO(kernel::make_folders(mount_point_, 0711));
    TRY_DO(mount_loop(config_.path, mount_point_));
    mounted_ = true;
    const int err = error_of(::chmod(mount_point_.c_str(), 0711));
    if (err) return fail_errno(err, "set mode of " + mount_point_.string());
    return {};
}

/// The folder that holds the volumes. Customers can make programs setuid root; the bind that they
/// are reached by ignores that, the folder itself does not: nobody but root enters there.
Result<std::filesystem::path> Pool::closed_folder(bool mounted)
{
    const auto closed = config_.path / ".znode";
    auto volumes = closed / "volumes";
    std::error_code failed;
    if (!std::filesystem::exists(volumes, failed)) {
        TRY(bool open, holds_volumes(config_.path));
        if (!open && mounted) {
            TRY(open, are_same(config_.path, mount_point_));
        }
        if (open) {
            remark_ =
                "its volumes were made where every user of this host may run what customers "
                "made setuid: close a folder above " +
                config_.path.string() + " to all but root (chmod 0700)";
            return config_.path;
        }
    }
    TRY_DO(own_folder(closed, 0700));
    TRY_DO(own_folder(volumes, 0711));
    return volumes;
}

Result<> Pool::open_directory()
{
    std::error_code failed;
    const auto status = std::filesystem::symlink_status(config_.path, failed);
    if (status.type() == std::filesystem::file_type::not_found) TRY_DO(check_not_used());
    TRY_DO(kernel::make_folders(config_.path, 0711));
    TRY(const auto fd, kernel::open_file(config_.path.string(), O_RDONLY | O_DIRECTORY));
    TRY(const bool right, btrfs::is_btrfs(fd.get()));
    if (!right)
        return fail(
            Errc::invalid,
            config_.path.string() +
                " is not on btrfs: name a folder on one, or use a pool of kind \"image\"");
    // The mount point of a disk that is missing is a folder too.
    const auto noted = kernel::read_file(notes_.of(config_.path));
    if (noted && *noted != file_system_id(fd.get())) TRY_DO(check_not_used());

    TRY_DO(kernel::make_folders(mount_point_, 0711));
    TRY(const auto mounted, mounted_at(mount_point_));
    TRY(const auto source, closed_folder(mounted.has_value()));
    if (mounted) {
        TRY(const bool same, are_same(source, mount_point_));
        if (!same) return tl::unexpected(in_the_way(mount_point_, *mounted));
    } else {
        FP("storage.directory.mount");
        const int err =
            error_of(::mount(source.c_str(), mount_point_.c_str(), nullptr, MS_BIND, nullptr));
        if (err) return fail_errno(err, "bind " + config_.path.string());
    }
    mounted_ = true;
    // A bind takes its flags in a second step only; repeated for one that a crash left without.
    FP("storage.directory.remount");
    const int err = error_of(::mount(
        nullptr, mount_point_.c_str(), nullptr, MS_BIND | MS_REMOUNT | mount_flags, nullptr));
    if (err)
        return fail_errno(err, "bind " + config_.path.string() + " without devices and setuid");
    return {};
}

Result<> Pool::close()
{
    folder_.close();
    if (!mounted_) return {};  // Whatever is there is not ours.
    int err = error_of(::umount2(mount_point_.c_str(), UMOUNT_NOFOLLOW));
    if (err && err != EINVAL) return fail_errno(err, "unmount " + mount_point_.string());
    mounted_ = false;
    err = error_of(::rmdir(mount_point_.c_str()));
    if (err && err != ENOENT) return fail_errno(err, "remove folder " + mount_point_.string());
    return {};
}

}  // namespace znode::storage
