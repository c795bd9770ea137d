#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace znode::storage {

/// Which pools this node has used, as files in a folder: one that was used and is away may hold
/// what is looked for, one that was never used holds nothing.
///
/// "Has no note" means "was never used" only once the notes are complete, and they are begun with a
/// state folder that was lost, or by the first agent that keeps any, while a pool may be away. So
/// each pool without a note gets one of doubt then, and a file that says so comes last. Calls may
/// block.
class UseNotes {
public:
    /// Empty: no notes are kept, and nothing is known.
    explicit UseNotes(std::filesystem::path folder) : folder_{std::move(folder)} {}

    /// The note of a pool, by the pool's path; "" where none are kept. It holds what the pool's
    /// file system is known by.
    std::filesystem::path of(const std::filesystem::path& pool) const;

    /// Whether this node may have used the pool.
    bool may_hold(const std::filesystem::path& pool) const;

    /// Notes that the pool was used. Fails only together with the disk, and the notes are complete
    /// no more then.
    [[nodiscard]] Result<> note(
        const std::filesystem::path& pool, std::string_view file_system) const;

    /// Notes a doubt for those of all the node's pools that have no note yet. Once for all: a pool
    /// that comes later was never used.
    [[nodiscard]] Result<> complete(const std::vector<std::filesystem::path>& pools) const;

private:
    std::filesystem::path doubt_of(const std::filesystem::path& pool) const;
    std::filesystem::path last() const { return folder_ / ".complete"; }
    bool are_complete() const;

    std::filesystem::path folder_;
};

}  // namespace znode::storage
