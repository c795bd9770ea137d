#pragma once

#include <span>
#include <unordered_map>

#include "log.hpp"

namespace znode::zdb {

/// The id -> place array of a sequential namespace, on disk. Changes gather until `commit`.
class IdTable {
public:
    IdTable(std::filesystem::path file, std::uint64_t uid) : file_{std::move(file)}, uid_{uid} {}

    /// First segment whose records may be missing in the array; 1 when there is no usable array,
    /// which is then begun anew. A full disk is no failure: what has no room is owed.
    Result<std::uint32_t> open();
    Result<> restart();

    /// An entry with segment 0 when there is none. Errc::corrupt when the entry fails its check.
    Result<IdEntry> get(std::uint64_t id);
    void put(std::uint64_t id, Place at, std::uint32_t length);
    /// Writes the changes. What the disk refuses stays owed, is served from memory and tried again
    /// by the next commit: the log has it all.
    Result<> commit();
    /// Forgets the changes since the last commit.
    void undo() { changed_.clear(); }
    bool owes() const noexcept { return header_owed_ || !owed_.empty(); }

    /// Calls `visit(id, entry)` for each living entry below `end`; false when an entry fails its
    /// check.
    Result<bool> walk(
        std::uint64_t end, const std::function<bool(std::uint64_t, const IdEntry&)>& visit);
    /// Forgets everything from `end` on.
    Result<> cut(std::uint64_t end);
    /// Living entries from `from` on (below `end`), at most 512 places looked at.
    Result<std::vector<std::pair<std::uint64_t, IdEntry>>> page(
        std::uint64_t from, std::uint64_t end);

    const std::filesystem::path& file() const noexcept { return file_; }
    int fd() const noexcept { return fd_.get(); }
    std::uint64_t uid() const noexcept { return uid_; }

private:
    Result<> make();
    Result<std::size_t> read_entries(std::span<IdEntry> into, std::uint64_t first);
    Result<bool> walk_file(
        std::uint64_t end, const std::function<bool(std::uint64_t, const IdEntry&)>& visit);

    std::filesystem::path file_;
    std::uint64_t uid_;
    kernel::Fd fd_;
    std::unordered_map<std::uint64_t, IdEntry> changed_;
    std::unordered_map<std::uint64_t, IdEntry> owed_;
    bool header_owed_ = false;  ///< The disk had no room for the file: all is in `owed_`.
};

/// Says durably that all records below `segment` are in the array, once they are. Runs on any
/// thread.
Result<> cover_ids(const std::filesystem::path& file, std::uint64_t uid, std::uint32_t segment);

}  // namespace znode::zdb
