#include "pool.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <set>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/btrfs.hpp"
#include "kernel/files.hpp"
#include "storage/kept_clock.hpp"

namespace znode::storage {

namespace btrfs = kernel::btrfs;

namespace {

// A subvolume under construction: without a mark it could not be told from somebody else's.
constexpr std::string_view making = ".znode-new-";
// A volume whose end nobody signed: its data waits for somebody to miss it.
constexpr std::string_view keeping = ".znode-kept-";
// On the pool's folder: ids of unlinked subvolumes whose quota groups are still there.
constexpr char dying_attribute[] = "trusted.znode.dying";
// Fits into what one attribute may hold.
constexpr std::size_t most_dying = 200;

Result<kernel::Fd> open_folder(int folder, const std::string& name)
{
    kernel::Fd fd{::openat(
        folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)};
    const int err = error_of(fd.get());
    if (err) return fail_errno(err, "open " + name);
    return fd;
}

Result<std::vector<std::string>> names_in(int folder)
{
    TRY(auto again, open_folder(folder, "."));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream{::fdopendir(again.get()), &::closedir};
    if (!stream) return fail_errno(errno, "list pool");
    (void)again.release();  // Closed with the stream.
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const auto* entry = ::readdir(stream.get());
        const int err = errno;
        if (entry == nullptr && err) return fail_errno(err, "list pool");
        if (entry == nullptr) return names;
        const std::string_view name{entry->d_name};
        if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
    }
}

/// The mark of a subvolume; nothing where there is none of ours, or no such subvolume.
Result<std::optional<Mark>> read_mark(int folder, const std::string& name)
{
    auto subvolume = open_folder(folder, name);
    if (!subvolume && subvolume.error().code == Errc::not_found) return std::nullopt;
    if (!subvolume) return tl::unexpected(std::move(subvolume).error());
    TRY(const bool right, btrfs::is_subvolume(subvolume->get()));
    if (!right) return std::nullopt;
    TRY(const auto text, kernel::read_xattr(subvolume->get(), mark_attribute));
    return decode_mark(text);
}

Result<bool> is_empty(int folder)
{
    TRY(auto again, open_folder(folder, "."));
    const std::unique_ptr<DIR, int (*)(DIR*)> stream{::fdopendir(again.get()), &::closedir};
    if (!stream) return fail_errno(errno, "look into volume");
    (void)again.release();  // Closed with the stream.
    for (;;) {
        errno = 0;
        const auto* entry = ::readdir(stream.get());
        const int err = errno;
        if (entry == nullptr && err) return fail_errno(err, "look into volume");
        if (entry == nullptr) return true;
        const std::string_view name{entry->d_name};
        if (name != "." && name != "..") return false;
    }
}

Result<> make_folder(int folder, const char* name, mode_t mode, uid_t uid, gid_t gid)
{
    int err = error_of(::mkdirat(folder, name, 0700));
    if (err && err != EEXIST) return fail_errno(err, std::string{"make folder "} + name);
    TRY(const auto made, open_folder(folder, name));
    err = error_of(::fchown(made.get(), uid, gid));
    if (!err) err = error_of(::fchmod(made.get(), mode));
    if (err) return fail_errno(err, std::string{"set owner of "} + name);
    return {};
}

Result<std::vector<std::uint64_t>> read_dying(int folder)
{
    TRY(const auto text, kernel::read_xattr(folder, dying_attribute));
    std::vector<std::uint64_t> ids;
    for (const auto word : split(text, ' '))
        if (const auto id = to_number<std::uint64_t>(word)) ids.push_back(*id);
    return ids;
}

Result<> write_dying(int folder, const std::vector<std::uint64_t>& ids)
{
    std::string text;
    for (const auto id : ids) text += (text.empty() ? "" : " ") + std::to_string(id);
    return kernel::set_xattr(folder, dying_attribute, text);
}

}  // namespace

std::optional<Kept> kept_of(const std::string& name)
{
    if (!name.starts_with(keeping)) return std::nullopt;
    const auto rest = std::string_view{name}.substr(keeping.size());
    const auto since = to_number<std::int64_t>(rest.substr(0, rest.find('-')));
    if (!since) return std::nullopt;
    return Kept{.name = name, .since = *since};
}

Pool::Pool(
    PoolConfig config, std::filesystem::path mount_point, std::string node_id, UseNotes notes)
    : config_{std::move(config)},
      mount_point_{std::move(mount_point)},
      node_id_{std::move(node_id)},
      notes_{std::move(notes)}
{
}

Result<> Pool::open()
{
    if (folder_) return {};
    remark_.clear();
    // Container runtimes in a user namespace walk down here, but shall not list.
    TRY_DO(kernel::make_folders(mount_point_.parent_path(), 0711));
    TRY_DO(config_.kind == PoolConfig::Kind::image ? open_image() : open_directory());

    TRY(auto folder, kernel::open_file(mount_point_.string(), O_RDONLY | O_DIRECTORY));
    TRY(const bool on, btrfs::quota_enabled(folder.get()));
    if (!on) {
        if (config_.kind == PoolConfig::Kind::directory && !config_.enable_quota) {
            const auto where = config_.path.string();
            return fail(
                Errc::invalid,
                "quotas are off on " + where + ": write quota = \"enable\" into the pool's entry " +
                    "in [storage], or run: btrfs quota enable " + where);
        }
        FP("storage.pool.quota");
        TRY_DO(btrfs::enable_quota(folder.get()));
    }
    TRY_DO(note_used(folder.get()));
    folder_ = std::move(folder);
    return {};
}

Mark Pool::mark_of(const VolumeSpec& spec) const
{
    return {
        .node = node_id_,
        .gwid = spec.gwid,
        .owner = spec.owner,
        .purpose = spec.purpose,
        .bytes = spec.bytes,
        .generation = spec.generation};
}

Result<> Pool::ensure(const VolumeSpec& spec)
{
    TRY(const auto there, read_mark(folder_.get(), spec.name));
    if (!there) {
        struct stat info{};
        if (::fstatat(folder_.get(), spec.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0)
            return fail(
                Errc::exists,
                (mount_point_ / spec.name).string() +
                    " exists and was not made by this agent: " + "move it away");
        return create(spec);
    }
    if (there->node != node_id_ || there->purpose != spec.purpose || there->gwid != spec.gwid)
        return fail(
            Errc::exists,
            "volume " + spec.name + " belongs to " +
                (there->node == node_id_ ? "workload " + there->gwid : "node " + there->node));

    TRY(const auto subvolume, open_folder(folder_.get(), spec.name));
    TRY(const auto id, btrfs::subvolume_id(subvolume.get()));
    TRY(const auto counted, btrfs::quotas(folder_.get()));
    const auto quota = counted.find(id);
    const auto used = quota == counted.end() ? 0 : quota->second.referenced;
    if (spec.bytes < there->bytes && used > spec.bytes)
        return fail(
            Errc::exhausted,
            "shrink volume " + spec.name + " to " + format_size(spec.bytes) + ": it holds " +
                format_size(used));
    if (quota == counted.end() || quota->second.limit != spec.bytes)
        TRY_DO(btrfs::limit_subvolume(subvolume.get(), spec.bytes));
    FP("storage.volume.resized");
    if (*there == mark_of(spec)) return {};
    return kernel::set_xattr(subvolume.get(), mark_attribute, encode(mark_of(spec)));
}

Result<> Pool::create(const VolumeSpec& spec)
{
    // Built beside and renamed when it is whole: a crash leaves no volume without quota or mark.
    const auto beside = std::string{making} + spec.name;
    TRY_DO(destroy(beside));
    FP("storage.volume.create");
    TRY_DO(btrfs::create_subvolume(folder_.get(), beside));
    TRY(const auto subvolume, open_folder(folder_.get(), beside));
    if (auto arranged = arrange(subvolume.get(), spec); !arranged) {
        (void)destroy(beside);  // What went wrong before is the thing to report.
        return arranged;
    }
    FP("storage.volume.rename");
    // A subvolume refuses to become another one by being replaced: the target does not exist.
    const int err = error_of(::renameat2(
        folder_.get(), beside.c_str(), folder_.get(), spec.name.c_str(), RENAME_NOREPLACE));
    if (err) {
        (void)destroy(beside);  // The rename is the thing to report.
        return fail_errno(err, "name volume " + spec.name);
    }
    return {};
}

Result<> Pool::arrange(int subvolume, const VolumeSpec& spec) const
{
    FP("storage.volume.quota");
    TRY_DO(btrfs::limit_subvolume(subvolume, spec.bytes));
    FP("storage.volume.mark");
    TRY_DO(kernel::set_xattr(subvolume, mark_attribute, encode(mark_of(spec))));

    int err = 0;
    if (spec.purpose == Purpose::rootfs) {
        TRY_DO(make_folder(subvolume, "upper", 0755, spec.uid, spec.gid));
        TRY_DO(make_folder(subvolume, "work", 0700, 0, 0));
        err = error_of(::fchmod(subvolume, 0700));
    } else {
        err = error_of(::fchown(subvolume, spec.uid, spec.gid));
        const bool shared = spec.purpose == Purpose::volume;
        if (!err) err = error_of(::fchmod(subvolume, shared ? 0755 : 0700));
    }
    if (err) return fail_errno(err, "set owner of volume " + spec.name);
    return {};
}

Result<> Pool::destroy(const std::string& name)
{
    auto subvolume = open_folder(folder_.get(), name);
    if (!subvolume && subvolume.error().code == Errc::not_found) return {};
    if (!subvolume) return tl::unexpected(std::move(subvolume).error());
    // Noted before: after a crash nobody could tell whose group it was.
    TRY(const auto id, btrfs::subvolume_id(subvolume->get()));
    TRY_DO(note_dying({id}));
    FP("storage.volume.unlink");
    TRY(const auto gone, btrfs::destroy_subvolume(folder_.get(), name));
    if (gone.size() > 1) TRY_DO(note_dying(gone));
    return {};
}

Result<bool> Pool::remove(const std::string& name)
{
    TRY(const auto mark, read_mark(folder_.get(), name));
    const bool ours = mark && mark->node == node_id_;
    TRY_DO(destroy(ours ? name : std::string{making} + name));
    return ours;
}

Result<bool> Pool::set_aside(const std::string& name, std::int64_t now)
{
    TRY(const auto mark, read_mark(folder_.get(), name));
    if (!mark || mark->node != node_id_) {
        TRY_DO(destroy(std::string{making} + name));
        return false;
    }
    TRY(const auto subvolume, open_folder(folder_.get(), name));
    TRY(const bool empty, is_empty(subvolume.get()));
    if (empty) {
        TRY_DO(destroy(name));
        return true;
    }
    FP("storage.volume.set_aside");
    const auto aside = std::string{keeping} + std::to_string(now) + "-" + name;
    const int err = error_of(
        ::renameat2(folder_.get(), name.c_str(), folder_.get(), aside.c_str(), RENAME_NOREPLACE));
    // Set aside a moment ago, made again, and set aside again: the earlier one holds the data.
    if (err == EEXIST) {
        TRY_DO(destroy(name));
        return true;
    }
    if (err) return fail_errno(err, "set volume " + name + " aside");
    return true;
}

/// Set aside by a clock that was lost: its time begins when the clock is right.
Result<> Pool::stamp_anew(const Kept& kept, std::int64_t now)
{
    if (now < first_plausible) return {};
    const auto rest = std::string_view{kept.name}.substr(keeping.size());
    const auto again =
        std::string{keeping} + std::to_string(now) + std::string{rest.substr(rest.find('-'))};
    const int err = error_of(::renameat2(
        folder_.get(), kept.name.c_str(), folder_.get(), again.c_str(), RENAME_NOREPLACE));
    if (err && err != ENOENT && err != EEXIST)
        return fail_errno(err, "stamp " + kept.name + " anew");
    return {};
}

Result<std::size_t> Pool::forget(std::int64_t until, std::uint64_t room)
{
    TRY(const auto seen, survey());
    const auto now = std::int64_t{std::time(nullptr)};
    std::uint64_t kept = 0;
    for (const auto& each : seen.kept) kept += each.used;
    const auto& measured = seen.measured;
    // What the living volumes may still write, and what was asked for, must be there without it.
    const auto wanted = room + measured.promised - std::min(measured.promised, measured.used);
    auto available = measured.available - std::min(measured.available, kept);
    std::size_t gone = 0;
    for (const auto& each : seen.kept) {
        const bool over = each.since <= until;
        if (!over && (room == 0 || available >= wanted)) continue;
        if (over && each.since < first_plausible) {
            TRY_DO(stamp_anew(each, now));
            continue;
        }
        TRY_DO(destroy(each.name));
        available += each.used;
        ++gone;
    }
    return gone;
}

Result<> Pool::note_dying(const std::vector<std::uint64_t>& ids)
{
    const std::lock_guard lock{dying_mutex_};
    TRY(auto dying, read_dying(folder_.get()));
    const auto before = dying.size();
    for (const auto id : ids)
        if (std::ranges::find(dying, id) == dying.end()) dying.push_back(id);
    // Rather an orphaned quota group, which harms nobody, than a deletion that cannot be done.
    if (dying.size() > most_dying)
        dying.erase(dying.begin(), dying.end() - static_cast<std::ptrdiff_t>(most_dying));
    if (dying.size() == before) return {};
    return write_dying(folder_.get(), dying);
}

Result<std::size_t> Pool::sweep()
{
    std::vector<std::uint64_t> dying;
    {
        const std::lock_guard lock{dying_mutex_};
        TRY(dying, read_dying(folder_.get()));
    }
    if (dying.empty()) return 0;
    TRY_DO(btrfs::commit(folder_.get()));
    std::set<std::uint64_t> gone;
    for (const auto id : dying) {
        TRY(const bool alive, btrfs::subvolume_exists(folder_.get(), id));
        if (alive) continue;
        FP("storage.sweep.group");
        auto removed = btrfs::remove_quota_group(folder_.get(), id);
        if (removed)
            gone.insert(id);
        else if (removed.error().code != Errc::unavailable)
            return tl::unexpected(std::move(removed).error());
    }
    // Other lanes have noted more meanwhile.
    const std::lock_guard lock{dying_mutex_};
    TRY(auto left, read_dying(folder_.get()));
    const auto done = std::erase_if(left, [&](std::uint64_t id) { return gone.contains(id); });
    if (done > 0) TRY_DO(write_dying(folder_.get(), left));
    return left.size();
}

Result<Survey> Pool::survey() const
{
    Survey survey;
    struct statvfs file_system{};
    int err = error_of(::fstatvfs(folder_.get(), &file_system));
    if (err) return fail_errno(err, "ask for free space of " + mount_point_.string());
    auto& measured = survey.measured;
    measured.available = file_system.f_bavail * file_system.f_frsize;
    measured.size = file_system.f_blocks * file_system.f_frsize;
    if (config_.kind == PoolConfig::Kind::directory && config_.bytes != 0)
        measured.size = std::min<std::uint64_t>(measured.size, config_.bytes);
    if (config_.sparse) {
        struct statvfs host{};
        err = error_of(::statvfs(config_.path.c_str(), &host));
        if (err) return fail_errno(err, "ask for free space below " + config_.path.string());
        measured.sparse = true;
        measured.host_size = host.f_blocks * host.f_frsize;
        measured.host_available = host.f_bavail * host.f_frsize;
    }

    TRY(const auto counted, btrfs::quotas(folder_.get()));
    TRY(const auto names, names_in(folder_.get()));
    for (const auto& name : names) {
        if (name.starts_with(making)) continue;
        auto kept = kept_of(name);
        TRY(const auto mark, read_mark(folder_.get(), name));
        auto subvolume = open_folder(folder_.get(), name);
        // Another lane has removed or renamed it since the folder was listed.
        if (!subvolume && subvolume.error().code == Errc::not_found) continue;
        if (!mark || mark->node != node_id_) {
            if (mark || kept || looks_like_ours(name)) survey.foreign.push_back(name);
            continue;
        }
        if (!subvolume) return tl::unexpected(std::move(subvolume).error());
        TRY(const auto id, btrfs::subvolume_id(subvolume->get()));
        const auto quota = counted.find(id);
        const auto used = quota == counted.end() ? 0 : quota->second.referenced;
        if (kept) {
            kept->used = used;
            measured.available += used;
            survey.kept.push_back(*std::move(kept));
            continue;
        }
        measured.used += used;
        measured.promised += mark->bytes;
        survey.volumes.push_back({name, *mark, used});
    }
    std::ranges::sort(survey.kept, {}, &Kept::since);
    return survey;
}

}  // namespace znode::storage
