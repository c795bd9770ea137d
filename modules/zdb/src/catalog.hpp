#pragma once

#include <algorithm>
#include <array>
#include <map>

#include "kernel/fd.hpp"
#include "scan.hpp"
#include "zdb/engine.hpp"

namespace znode::zdb {

/// What the catalog says of one name.
struct CatalogEntry {
    std::uint64_t uid = 0;
    bool removed = false;
    std::uint64_t first_id = 0;
    /// It could not be loaded after a power loss: whoever loads it one day skips ids.
    bool owes_gap = false;
    HashKey hash_key{};
    Settings settings;
};

/// Name of a namespace's folders.
std::string folder_of(std::uint64_t uid);

/// The list of namespaces on disk: a log of small records.
class Catalog {
public:
    explicit Catalog(std::filesystem::path file) : file_{std::move(file)} {}

    /// Reads it. Errc::corrupt for a file that is none of ours.
    Result<> open();
    /// Before the first `put`, once nobody needs the damage any more: makes the file, or writes it
    /// anew when that is due and the disk lets it.
    Result<> settle();
    /// Whether `open` could read all that was ever written: only then a folder that it does not
    /// know is nobody's.
    bool complete() const noexcept { return complete_; }
    /// Where `open` leaves a copy of one that was not complete.
    std::filesystem::path damaged_copy() const;
    /// Uids up to this one are taken by folders whose names are lost.
    void skip_uids(std::uint64_t uid) noexcept { highest_uid_ = std::max(highest_uid_, uid); }
    /// Appends the state of a name. Not durable before `sync`; on failure nothing changed.
    Result<> put(const std::string& name, const CatalogEntry& entry);
    Result<> sync();

    const std::map<std::string, CatalogEntry>& entries() const noexcept { return entries_; }
    const CatalogEntry* find(const std::string& name) const;
    /// Names in the order of their uids.
    std::uint64_t highest_uid() const noexcept { return highest_uid_; }

private:
    void read_records(std::string_view& rest);
    /// On failure the old file goes on as it is.
    Result<> rewrite();
    bool bloated() const noexcept;
    bool moved_away() const;

    std::filesystem::path file_;
    kernel::Fd fd_;
    std::uint64_t size_ = 0;
    bool has_tail_ = false;            ///< Behind `size_` lies what cannot be told apart.
    std::uint64_t rewrite_above_ = 0;  ///< Not tried again before it is this long.
    std::uint64_t highest_uid_ = 0;
    bool complete_ = false;
    std::map<std::string, CatalogEntry> entries_;
};

}  // namespace znode::zdb
