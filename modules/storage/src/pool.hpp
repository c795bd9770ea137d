#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernel/fd.hpp"
#include "storage/mark.hpp"
#include "storage/placement.hpp"
#include "storage/use_notes.hpp"
#include "storage/volumes.hpp"

namespace znode::storage {

/// A marked subvolume as found in a pool.
struct Found {
    std::string name;
    Mark mark;
    std::uint64_t used = 0;
};

/// A volume that was set aside.
struct Kept {
    std::string name;        ///< As it lies there.
    std::int64_t since = 0;  ///< Unix seconds.
    std::uint64_t used = 0;
};
/// "12-1" out of ".znode-kept-1700000000-12-1", and the moment; nothing for another name.
std::optional<Kept> kept_of(const std::string& name);

/// All that one look at a pool tells.
struct Survey {
    Measured measured;  ///< What is kept is counted as available.
    std::vector<Found> volumes;
    std::vector<Kept> kept;  ///< Oldest first.
    std::vector<std::string> foreign;
};

/// One pool: a mounted btrfs (or a folder of one) and what lies in it. Every call may block and is
/// made from a lane; calls that change different volumes may run at once.
class Pool {
public:
    Pool(PoolConfig config, std::filesystem::path mount_point, std::string node_id, UseNotes notes);

    /// Makes the image, mounts or adopts, turns quotas on where allowed.
    [[nodiscard]] Result<> open();
    /// Unmounts; the loop device goes with it.
    [[nodiscard]] Result<> close();
    bool is_open() const noexcept { return static_cast<bool>(folder_); }
    /// Something the operator should know although the pool works.
    const std::string& remark() const noexcept { return remark_; }

    [[nodiscard]] Result<Survey> survey() const;
    /// Makes it or, where it exists with this workload's mark, brings quota and mark up to date.
    [[nodiscard]] Result<> ensure(const VolumeSpec& spec);
    /// Unlinks it and notes the quota groups that must follow; false: there was none of ours.
    [[nodiscard]] Result<bool> remove(const std::string& name);
    /// Hides it with its data; removes one that holds nothing; false: there was none of ours.
    [[nodiscard]] Result<bool> set_aside(const std::string& name, std::int64_t now);
    /// Removes what was set aside: until this moment (what was stamped by a clock that was lost is
    /// stamped anew instead), and then as much as it takes, oldest first,
    /// for so many bytes more to be written. How many.
    [[nodiscard]] Result<std::size_t> forget(std::int64_t until, std::uint64_t room);
    /// Removes quota groups of subvolumes that are really gone; says how many still wait.
    [[nodiscard]] Result<std::size_t> sweep();

    const PoolConfig& config() const noexcept { return config_; }
    const std::filesystem::path& path() const noexcept { return mount_point_; }

private:
    [[nodiscard]] Result<> open_image();
    [[nodiscard]] Result<> open_directory();
    [[nodiscard]] Result<std::filesystem::path> closed_folder(bool mounted);
    [[nodiscard]] Result<> make_image();
    [[nodiscard]] Result<> check_not_used() const;
    [[nodiscard]] Result<> note_used(int folder);
    [[nodiscard]] Result<> create(const VolumeSpec& spec);
    [[nodiscard]] Result<> arrange(int subvolume, const VolumeSpec& spec) const;
    [[nodiscard]] Result<> destroy(const std::string& name);
    [[nodiscard]] Mark mark_of(const VolumeSpec& spec) const;
    [[nodiscard]] Result<> stamp_anew(const Kept& kept, std::int64_t now);
    [[nodiscard]] Result<> note_dying(const std::vector<std::uint64_t>& ids);

    PoolConfig config_;
    std::filesystem::path mount_point_;
    std::string node_id_;
    UseNotes notes_;
    kernel::Fd folder_;       // Open only while the pool is usable.
    bool mounted_ = false;    // By us, in this run or an earlier one.
    std::mutex dying_mutex_;  // Held from reading the note of dying subvolumes until it is written.
    std::string remark_;
};

}  // namespace znode::storage
