#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace znode::flist {

/// Plain chunks on disk, named by their own hash, shared by every process that names the same
/// folder. Whatever is in there is hashed before it is given out, so a torn, stale or forged file
/// is at worst a miss. Any thread may call.
class BlockCache {
public:
    /// Makes the folder (0700). Above `limit` bytes the chunks used longest ago are removed.
    static Result<std::unique_ptr<BlockCache>> open(
        std::filesystem::path folder, std::uint64_t limit);

    /// The chunk of this key, if it is here, has this size and hashes to its key.
    std::optional<std::string> get(std::string_view key, std::size_t size);
    /// Keeps a chunk that was verified. A full or broken disk costs the cache, not the reader: the
    /// error is for the log.
    Result<> put(std::string_view key, std::string_view plain);
    /// Removes what was used longest ago until less than nine tenths of the limit are left.
    /// Nothing when another process does that now.
    Result<> trim();

private:
    BlockCache(std::filesystem::path folder, std::uint64_t limit)
        : folder_{std::move(folder)}, limit_{limit}
    {
    }
    std::filesystem::path path(std::string_view key) const;

    std::filesystem::path folder_;
    std::uint64_t limit_;
    std::atomic<std::uint64_t> written_{0};  // Since the last look at the whole folder.
    std::atomic<std::uint64_t> counter_{0};  // Makes names of temporary files.
};

}  // namespace znode::flist
