#include "kernel/btrfs.hpp"

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include <btrfsutil.h>

#include "kernel/fd.hpp"
#include "kernel/files.hpp"

namespace znode::kernel::btrfs {
namespace {

constexpr long btrfs_statfs_type = 0x9123683E;
constexpr std::uint64_t first_inode = 256;

Result<> put_name(char* into, std::size_t size, const std::string& name)
{
    if (name.empty() || name.size() >= size || name == "." || name == ".." ||
        name.find('/') != std::string::npos)
        return fail(Errc::invalid, "'" + name + "' is no name of a subvolume");
    std::memcpy(into, name.c_str(), name.size() + 1);
    return {};
}

/// Calls `each(header, payload)` for all items of a tree between two keys of one object.
template <class Each>
Result<> search(
    int fd,
    std::uint64_t tree,
    std::uint64_t object,
    std::uint32_t first_type,
    std::uint32_t last_type,
    std::uint64_t first_offset,
    Each each)
{
    struct btrfs_ioctl_search_args args{};
    auto& key = args.key;
    key.tree_id = tree;
    key.min_objectid = key.max_objectid = object;
    key.min_type = first_type;
    key.max_type = last_type;
    key.min_offset = first_offset;
    key.max_offset = std::numeric_limits<std::uint64_t>::max();
    key.max_transid = std::numeric_limits<std::uint64_t>::max();
    for (;;) {
        key.nr_items = 4096;
        const int err = error_of(::ioctl(fd, BTRFS_IOC_TREE_SEARCH, &args));
        if (err) return fail_errno(err, "search in btrfs tree");
        if (key.nr_items == 0) return {};
        const char* at = args.buf;
        struct btrfs_ioctl_search_header header{};
        for (std::uint32_t i = 0; i < key.nr_items; ++i) {
            std::memcpy(&header, at, sizeof header);
            at += sizeof header;
            each(header, at);
            at += header.len;
        }
        // On from the item after the last one.
        if (header.offset == std::numeric_limits<std::uint64_t>::max()) {
            if (header.type >= last_type) return {};
            key.min_type = header.type + 1;
            key.min_offset = 0;
        } else {
            key.min_type = header.type;
            key.min_offset = header.offset + 1;
        }
    }
}

Result<Fd> open_folder_at(int folder, const std::string& name)
{
    Fd fd{::openat(
        folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)};
    const int err = error_of(fd.get());
    if (err) return fail_errno(err, "open subvolume " + name);
    return fd;
}

int destroy_one(int folder, const std::string& name)
{
    struct btrfs_ioctl_vol_args args{};
    if (!put_name(args.name, sizeof args.name, name)) return EINVAL;
    return error_of(::ioctl(folder, BTRFS_IOC_SNAP_DESTROY, &args));
}

/// Subvolumes below this one, the deepest first, as paths relative to it.
Result<std::vector<std::pair<std::string, std::uint64_t>>> inner_subvolumes(int subvolume)
{
    std::vector<std::pair<std::string, std::uint64_t>> inner;
    struct btrfs_util_subvolume_iterator* all = nullptr;
    auto code = ::btrfs_util_create_subvolume_iterator_fd(
        subvolume, 0, BTRFS_UTIL_SUBVOLUME_ITERATOR_POST_ORDER, &all);
    if (code != BTRFS_UTIL_OK)
        return fail(
            Errc::unavailable,
            "list inner subvolumes: " + std::string{::btrfs_util_strerror(code)});
    for (;;) {
        char* path = nullptr;
        std::uint64_t id = 0;
        code = ::btrfs_util_subvolume_iterator_next(all, &path, &id);
        if (code != BTRFS_UTIL_OK) break;
        inner.emplace_back(path, id);
        ::free(path);  // NOLINT: allocated by a C library.
    }
    ::btrfs_util_destroy_subvolume_iterator(all);
    if (code != BTRFS_UTIL_ERROR_STOP_ITERATION)
        return fail(
            Errc::unavailable,
            "list inner subvolumes: " + std::string{::btrfs_util_strerror(code)});
    return inner;
}

}  // namespace

Result<bool> is_btrfs(int fd)
{
    struct statfs info{};
    const int err = error_of(::fstatfs(fd, &info));
    if (err) return fail_errno(err, "ask for file system type");
    return info.f_type == btrfs_statfs_type;
}

Result<bool> is_subvolume(int fd)
{
    struct stat info{};
    const int err = error_of(::fstat(fd, &info));
    if (err) return fail_errno(err, "look at folder");
    if (!S_ISDIR(info.st_mode) || info.st_ino != first_inode) return false;
    return is_btrfs(fd);
}

Result<> create_subvolume(int folder, const std::string& name)
{
    struct btrfs_ioctl_vol_args_v2 args{};
    TRY_DO(put_name(args.name, sizeof args.name, name));
    const int err = error_of(::ioctl(folder, BTRFS_IOC_SUBVOL_CREATE_V2, &args));
    if (err) return fail_errno(err, "create subvolume " + name);
    return {};
}

Result<std::vector<std::uint64_t>> destroy_subvolume(int folder, const std::string& name)
{
    std::vector<std::uint64_t> gone;
    auto subvolume = open_folder_at(folder, name);
    if (!subvolume) {
        if (subvolume.error().code == Errc::not_found) return gone;
        return tl::unexpected(std::move(subvolume).error());
    }
    TRY(const bool right, is_subvolume(subvolume->get()));
    if (!right) return fail(Errc::invalid, "destroy subvolume " + name + ": is a plain folder");
    TRY(const auto id, subvolume_id(subvolume->get()));

    int err = destroy_one(folder, name);
    if (err == ENOTEMPTY) {
        TRY(const auto inner, inner_subvolumes(subvolume->get()));
        for (const auto& [path, inner_id] : inner) {
            const auto code = ::btrfs_util_delete_subvolume_by_id_fd(subvolume->get(), inner_id);
            if (code != BTRFS_UTIL_OK && code != BTRFS_UTIL_ERROR_SUBVOLUME_NOT_FOUND)
                return fail(
                    Errc::unavailable,
                    "destroy subvolume " + name + ": inner one: " + ::btrfs_util_strerror(code));
            gone.push_back(inner_id);
        }
        err = destroy_one(folder, name);
    }
    if (err && err != ENOENT) return fail_errno(err, "destroy subvolume " + name);
    gone.push_back(id);
    return gone;
}

Result<std::uint64_t> subvolume_id(int fd)
{
    struct btrfs_ioctl_ino_lookup_args args{};
    args.objectid = first_inode;
    const int err = error_of(::ioctl(fd, BTRFS_IOC_INO_LOOKUP, &args));
    if (err) return fail_errno(err, "ask for subvolume id");
    return args.treeid;
}

Result<bool> subvolume_exists(int fd, std::uint64_t id)
{
    bool found = false;
    TRY_DO(search(
        fd,
        BTRFS_ROOT_TREE_OBJECTID,
        id,
        BTRFS_ROOT_ITEM_KEY,
        BTRFS_ROOT_ITEM_KEY,
        0,
        [&](const auto&, const char*) { found = true; }));
    return found;
}

Result<bool> quota_enabled(int fd)
{
    bool on = false;
    const auto found = search(
        fd,
        BTRFS_QUOTA_TREE_OBJECTID,
        0,
        BTRFS_QGROUP_STATUS_KEY,
        BTRFS_QGROUP_STATUS_KEY,
        0,
        [&](const auto& header, const char* payload) {
            struct btrfs_qgroup_status_item item{};
            std::memcpy(&item, payload, std::min<std::size_t>(header.len, sizeof item));
            on = on || (item.flags & BTRFS_QGROUP_STATUS_FLAG_ON) != 0;
        });
    // There is no such tree while quotas are off.
    if (!found && found.error().code != Errc::not_found)
        return tl::unexpected(found.error().during("ask for quota state"));
    return on;
}

Result<> enable_quota(int fd)
{
    struct btrfs_ioctl_quota_ctl_args args{};
    args.cmd = BTRFS_QUOTA_CTL_ENABLE;
    int err = error_of(::ioctl(fd, BTRFS_IOC_QUOTA_CTL, &args));
    if (err && err != EEXIST) return fail_errno(err, "enable quotas");
    err = error_of(retry_eintr([&] { return ::ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_WAIT); }));
    if (err) return fail_errno(err, "wait for the first quota count");
    return {};
}

Result<> limit_subvolume(int subvolume, std::uint64_t bytes)
{
    struct btrfs_ioctl_qgroup_limit_args args{};
    args.qgroupid = 0;  // The subvolume of the descriptor.
    args.lim.flags = BTRFS_QGROUP_LIMIT_MAX_RFER;
    args.lim.max_rfer = bytes;
    const int err = error_of(::ioctl(subvolume, BTRFS_IOC_QGROUP_LIMIT, &args));
    if (err) return fail_errno(err, "set quota of subvolume");
    return {};
}

Result<std::map<std::uint64_t, Quota>> quotas(int fd)
{
    std::map<std::uint64_t, Quota> all;
    const auto found = search(
        fd,
        BTRFS_QUOTA_TREE_OBJECTID,
        0,
        BTRFS_QGROUP_INFO_KEY,
        BTRFS_QGROUP_LIMIT_KEY,
        0,
        [&](const auto& header, const char* payload) {
            // The level sits in the upper 16 bits of the id.
            if ((header.offset >> 48U) != 0) return;
            if (header.type == BTRFS_QGROUP_INFO_KEY) {
                struct btrfs_qgroup_info_item item{};
                std::memcpy(&item, payload, std::min<std::size_t>(header.len, sizeof item));
                all[header.offset].referenced = item.rfer;
            } else if (header.type == BTRFS_QGROUP_LIMIT_KEY) {
                struct btrfs_qgroup_limit_item item{};
                std::memcpy(&item, payload, std::min<std::size_t>(header.len, sizeof item));
                if ((item.flags & BTRFS_QGROUP_LIMIT_MAX_RFER) != 0)
                    all[header.offset].limit = item.max_rfer;
            }
        });
    if (!found && found.error().code != Errc::not_found)
        return tl::unexpected(found.error().during("read quotas"));
    return all;
}

Result<> remove_quota_group(int fd, std::uint64_t id)
{
    struct btrfs_ioctl_qgroup_create_args args{};
    args.create = 0;
    args.qgroupid = id;
    const int err = error_of(::ioctl(fd, BTRFS_IOC_QGROUP_CREATE, &args));
    if (err == EBUSY)
        return fail(Errc::unavailable, "remove quota group: its subvolume is still there");
    if (err && err != ENOENT && err != ENOTCONN)
        return fail_errno(err, "remove quota group of subvolume " + std::to_string(id));
    return {};
}

Result<> commit(int fd)
{
    const int err = error_of(::ioctl(fd, BTRFS_IOC_SYNC));
    if (err) return fail_errno(err, "commit file system");
    return {};
}

Result<Superblock> read_superblock(int fd)
{
    // On-disk format: the first copy lies at 64 KiB; magic at 0x40, total_bytes at 0x70, label at
    // 0x12b (256 bytes).
    constexpr std::size_t super_at = 64 * 1024;
    std::vector<char> head(2 * super_at);
    TRY(const auto got, pread_full(fd, head, 0));
    head.resize(got);
    Superblock found;
    found.blank = std::ranges::all_of(head, [](char c) { return c == 0; });
    if (got < super_at + 4096) return found;
    const char* super = head.data() + super_at;
    found.btrfs = std::memcmp(super + 0x40, "_BHRfS_M", 8) == 0;
    if (!found.btrfs) return found;
    std::memcpy(&found.bytes, super + 0x70, sizeof found.bytes);
    found.label.assign(super + 0x12b, ::strnlen(super + 0x12b, 256));
    return found;
}

}  // namespace znode::kernel::btrfs

namespace znode::kernel {

Result<> set_xattr(int fd, const char* name, const std::string& value)
{
    const int err = error_of(::fsetxattr(fd, name, value.data(), value.size(), 0));
    if (err) return fail_errno(err, std::string{"set attribute "} + name);
    return {};
}

Result<std::string> read_xattr(int fd, const char* name)
{
    std::string value(4096, '\0');
    for (;;) {
        const auto got = ::fgetxattr(fd, name, value.data(), value.size());
        const int err = error_of(got);
        if (err == ENODATA || err == EOPNOTSUPP) return std::string{};
        if (err == ERANGE && value.size() < 65536) {
            value.resize(65536);
            continue;
        }
        if (err) return fail_errno(err, std::string{"read attribute "} + name);
        value.resize(static_cast<std::size_t>(got));
        return value;
    }
}

}  // namespace znode::kernel
