#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "async/blocking.hpp"
#include "async/task.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

namespace znode::storage {

/// What a volume is for.
enum class Purpose {
    volume,  ///< A customer's data.
    rootfs,  ///< The writable layer of a container: holds `upper` and `work`.
    zdb,     ///< Data of a 0-db server.
};
std::string_view to_string(Purpose purpose) noexcept;

/// The class of a disk, as customers ask for it.
enum class Media { ssd, hdd };
std::string_view to_string(Media media) noexcept;

/// What a caller wants to exist.
struct VolumeSpec {
    std::string name;  ///< Name of the subvolume: the gwid, or `zdb<uuid>`.
    std::string gwid;  ///< The workload it belongs to; empty for what serves several.
    Purpose purpose = Purpose::volume;
    Media media = Media::ssd;
    std::uint64_t bytes = 0;  ///< Its quota.
    std::string owner;        ///< The customer.
    std::uint64_t generation = 0;
    uid_t uid = 0;  ///< Owner of the volume's root folder; of `upper` for a rootfs.
    gid_t gid = 0;
    std::string pool;  ///< Only this pool (as chosen and journaled before); empty: the best one.
};

/// A volume that exists.
struct Volume {
    std::string name;
    std::string gwid;
    Purpose purpose = Purpose::volume;
    std::uint64_t bytes = 0;
    std::string owner;
    std::uint64_t generation = 0;
    std::string pool;
    std::filesystem::path path;  ///< Of a rootfs: holds `upper` and `work`.
    std::uint64_t used = 0;      ///< As of the last commit of the file system (30 s at most).
};

enum class PoolState {
    ready,
    full,    ///< Works, but takes nothing new (see problem).
    failed,  ///< Cannot be used (see problem); its volumes are not listed.
};
std::string_view to_string(PoolState state) noexcept;

/// A pool as it is now.
struct PoolInfo {
    std::string name;
    std::string kind;  ///< "image" or "directory".
    Media media = Media::ssd;
    std::filesystem::path source;  ///< The image or folder of the config.
    std::filesystem::path path;    ///< Where its volumes lie.
    PoolState state = PoolState::failed;
    std::uint64_t total = 0;           ///< What can be written and sold: metadata subtracted.
    std::uint64_t used = 0;            ///< Written by our volumes.
    std::uint64_t promised = 0;        ///< Sum of the volumes' quotas.
    std::uint64_t free = 0;            ///< For new volumes.
    std::string problem;               ///< What is wrong and what to do; "" when nothing is.
    std::vector<std::string> foreign;  ///< Named like ours, without our mark: left alone.
    std::vector<std::string> kept;     ///< Volumes that were set aside, oldest first.
    std::int64_t kept_since = 0;       ///< Of the oldest of them, Unix seconds.
    bool may_hold = true;  ///< Failed: this node may have used it, so volumes may lie in it.
};

/// A pool as the operator configures it.
struct PoolConfig {
    enum class Kind { image, directory };
    Kind kind = Kind::image;
    std::string name;            ///< Empty: the file's or folder's name without extension.
    std::filesystem::path path;  ///< The image file or the folder.
    std::uint64_t bytes = 0;     ///< Size of the image; of a folder: at most so much, 0 = no cap.
    Media media = Media::ssd;
    bool sparse = false;        ///< Image: take the host's disk only as it fills.
    bool enable_quota = false;  ///< Directory: the agent may turn quotas on for the file system.
};

struct Config {
    std::string node_id;  ///< Goes into every mark; volumes of other nodes are foreign.
    std::filesystem::path run_dir = "/run/znode";  ///< Pools are mounted at `pool/<name>` in it.
    /// Where a note stays of each pool that was used (`UseNotes`): one that is missing is not made
    /// anew. Not on a pool's disk; empty: no notes.
    std::filesystem::path state_dir = {};
    std::vector<PoolConfig> pools;
    Log log;
};

/// Disk space that belongs to workloads, and the pools it comes from.
///
/// Every operation may be repeated: the agent can die between doing a thing and writing down that
/// it did. All calls are made from the event loop; blocking work runs on the lane. Callers do not
/// run two operations on one name at once.
class Volumes {
public:
    virtual ~Volumes() = default;

    /// Makes images, mounts what is not mounted yet, adopts what is. A pool that cannot be had is a
    /// problem in `pools()`, never a failure of the others. May be repeated to try failed ones
    /// again.
    virtual Task<> open() = 0;

    /// The pool that `ensure` would choose now: the one that holds the name, or the one with most
    /// free space that has room. Errc::exhausted with numbers; Errc::unavailable when the pools of
    /// this class have failed, or when one of them has and may hold the name. Without a name only
    /// the room counts.
    virtual Task<Result<std::string>> choose(VolumeSpec spec) = 0;

    /// Makes the volume exist with this quota and says where; a size that differs from what is
    /// there is applied if there is room. Errc::exhausted: no pool has room ("asked 40 GiB, 18 GiB
    /// free of 20 GiB"). Errc::exists: the name is taken by something that is not ours or serves
    /// another workload. Errc::unavailable: the pool it asks for, or one that may hold it, cannot
    /// be looked at; another pool never takes its place.
    virtual Task<Result<Volume>> ensure(VolumeSpec spec) = 0;

    /// Makes the volume not exist. Succeeds for a name never seen; what carries no mark of ours is
    /// left alone. Errc::unavailable: it is in no pool that could be looked at, and may be in
    /// another. `pool`: the one it was made in, if that is known; no other is waited for then.
    virtual Task<Result<>> remove(std::string name, std::string pool = {}) = 0;

    /// The volume is gone for everybody, and its data is kept for a while: hidden, in its pool,
    /// under a name with the moment. One that holds nothing is removed. Succeeds for a name never
    /// seen. What is kept counts as free: whatever else needs the room gets it, the oldest goes
    /// first. `pool` as above.
    virtual Task<Result<>> set_aside(std::string name, std::string pool = {}) = 0;

    /// Removes what was set aside at this moment or before (Unix seconds); how many that were. What
    /// was stamped by a clock that had lost the time counts as set aside now.
    virtual Task<Result<std::size_t>> forget(std::int64_t until) = 0;

    /// What is really on disk, by marks.
    virtual Task<Result<std::vector<Volume>>> list() = 0;

    /// One of them. Errc::not_found; Errc::unavailable when it may be in a pool that cannot be
    /// looked at. `pool` as above.
    virtual Task<Result<Volume>> find(std::string name, std::string pool = {}) = 0;

    virtual Task<std::vector<PoolInfo>> pools() = 0;

    /// Unmounts all pools: for taking a node down for good. The normal stop of the agent leaves
    /// them mounted. Errc::unavailable while something is still in use.
    virtual Task<Result<>> close() = 0;

    /// Ends background work (clean-up of quota groups). Call before the loop ends.
    virtual Task<> stop() = 0;
};

/// Keeps each volume as a btrfs subvolume with a quota. `loop` and `disks` must outlive it.
std::unique_ptr<Volumes> make_volumes(Config config, asio::io_context& loop, Blocking& disks);

}  // namespace znode::storage
