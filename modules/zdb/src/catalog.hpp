#pragma once

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
    HashKey hash_key{};
    Settings settings;
};

/// The list of namespaces on disk: a log of small records.
class Catalog {
public:
    explicit Catalog(std::filesystem::path file) : file_{std::move(file)} {}

    /// Reads it and writes it anew. Errc::corrupt for a file that is none of ours.
    Result<> open();
    /// Appends the state of a name. Not durable before `sync`; on failure nothing changed.
    Result<> put(const std::string& name, const CatalogEntry& entry);
    Result<> sync();

    const std::map<std::string, CatalogEntry>& entries() const noexcept { return entries_; }
    const CatalogEntry* find(const std::string& name) const;
    /// Names in the order of their uids.
    std::uint64_t highest_uid() const noexcept { return highest_uid_; }

private:
    Result<> rewrite();

    std::filesystem::path file_;
    kernel::Fd fd_;
    std::uint64_t size_ = 0;
    std::uint64_t highest_uid_ = 0;
    std::map<std::string, CatalogEntry> entries_;
};

}  // namespace znode::zdb
