#pragma once
// Walking a segment from its first record, and the hints made of such a walk.

#include <functional>

#include "log.hpp"

namespace znode::zdb {

struct Scanned {
    std::uint32_t end = sizeof(SegmentHeader);  ///< Behind the last whole group.
    std::uint32_t last = 0;                     ///< Offset of the last record before `end`.
    std::uint64_t next_id = 0;  ///< Highest counter in any record, even behind `end`.
    std::uint64_t faults = 0;   ///< Damaged places that were skipped.
};

/// Calls `visit(header, offset, key)` for each record of each whole group, in order. With
/// `verify` payloads are checked too, and a last group with a wrong one is not whole: for the
/// segment that may have a torn tail.
Result<Scanned> scan_segment(
    int fd,
    std::uint64_t salt,
    std::uint32_t size,
    bool verify,
    const std::function<void(const RecordHeader&, std::uint32_t, std::string_view)>& visit);

/// The key of the hash that spreads keys over the table.
using HashKey = std::array<unsigned char, 16>;
std::uint32_t tag_of(std::string_view key, const HashKey& hash_key) noexcept;

/// What a hint says.
struct Hints {
    HintHeader header;
    std::vector<HintEntry> entries;
};
/// Errc::corrupt when it does not fit the segment.
Result<Hints> read_hints(
    const std::filesystem::path& path,
    std::uint64_t uid,
    std::uint32_t number,
    const Segment& segment);
/// Reads a sealed segment and writes its hint. Touches nothing of a space: runs on any thread.
Result<> write_hints(
    const std::filesystem::path& segment,
    const std::filesystem::path& hint,
    std::uint64_t uid,
    std::uint32_t number,
    HashKey hash_key);

}  // namespace znode::zdb
