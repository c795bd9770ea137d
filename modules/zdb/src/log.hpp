#pragma once
// The segments of one namespace: append, group commit, read, walk. Knows records, not keys'
// meaning.

#include <functional>
#include <map>
#include <string>

#include "format.hpp"
#include "kernel/fd.hpp"
#include "reserve.hpp"
#include "zdb/engine.hpp"

namespace znode::zdb {

/// Records up to this size are read with one call.
inline constexpr std::size_t small_record = 4096;
inline constexpr std::size_t head_of_record = sizeof(RecordHeader) + key_limit;

class SpaceImpl;

/// What one run of the server shares between all namespaces.
struct Shared {
    const EngineConfig* config = nullptr;
    Log log;
    std::size_t open_files = 0;    ///< Descriptors of segments held open.
    std::size_t open_limit = 256;  ///< Beyond it the longest unused are closed.
    std::uint64_t tick = 0;        ///< Counts uses.
    std::string scratch;           ///< For reads; valid until the next one.
    std::string spare;             ///< An emptied buffer of pending records, kept for its memory.
    std::vector<SpaceImpl*> touched;  ///< Spaces with writes since the last commit.
    std::size_t uncommitted = 0;      ///< Bytes of those writes.
    Reserve reserve;
    /// Writes the mark of a running server: ids given out without it would be given out again after
    /// a power loss.
    std::function<bool()> write_mark;
    bool mark_owed = false;
};

struct Segment {
    kernel::Fd fd;
    std::uint64_t salt = 0;
    std::uint32_t size = 0;  ///< Of the file: what was handed to the kernel.
    std::uint32_t last = 0;  ///< Offset of its last record, 0 for none.
    std::uint64_t live = 0;  ///< Bytes of records that count.
    std::uint64_t used_at = 0;
};

/// A record as appended.
struct Append {
    Kind kind = Kind::value;
    std::string_view key = {};
    std::string_view payload = {};
    std::uint32_t payload_crc = 0;
    std::uint32_t time = 0;
    Place replaces = {};
    std::uint64_t next_id = 0;
    std::uint16_t flags = 0;
};

/// A record as read: header, key, and the payload when it came along.
struct Record {
    Place at = {};
    RecordHeader header = {};
    std::string_view key = {};
    std::optional<std::string_view> payload = {};
};

class SegmentLog {
public:
    SegmentLog(Shared& shared, std::filesystem::path folder, std::uint64_t uid)
        : shared_{shared}, folder_{std::move(folder)}, uid_{uid}
    {
    }
    ~SegmentLog();
    SegmentLog(const SegmentLog&) = delete;
    SegmentLog& operator=(const SegmentLog&) = delete;

    /// Lists the segments on disk and checks their headers. A last one without a whole header is
    /// removed, since nothing in it was acknowledged; another one is lost data, and left alone.
    Result<> open();

    /// Segments that `open` had to leave out.
    std::size_t lost() const noexcept { return lost_; }

    /// Takes a record into the pending group. Errc::exhausted and the like when a new segment was
    /// needed and cannot be made.
    Result<Place> append(const Append& record, Mode mode, std::string_view name);
    /// Writes the pending group; afterwards nothing is pending, whether it succeeded or not.
    Result<> commit();
    std::size_t pending() const noexcept { return pending_.size(); }
    /// Whether the active segment has reached this size.
    bool full(std::uint32_t limit) const noexcept;
    /// Ends the active segment; the next append begins another.
    void seal() noexcept { sealed_ = true; }

    /// The record at a place, with its payload when the whole record lies within `wanted` bytes.
    /// Errc::not_found when there is no record; Errc::unavailable when the disk refuses.
    Result<Record> read(Place at, std::size_t wanted = small_record);
    Result<> read_payload(Place at, const RecordHeader& header, std::span<char> into);

    std::map<std::uint32_t, Segment>& segments() noexcept { return segments_; }
    const std::map<std::uint32_t, Segment>& segments() const noexcept { return segments_; }
    std::uint32_t active() const noexcept
    {
        return segments_.empty() ? 0 : segments_.rbegin()->first;
    }
    /// Size of the active segment with what is pending.
    std::uint32_t active_size() const noexcept;
    std::uint64_t disk_bytes() const noexcept;
    std::filesystem::path path_of(std::uint32_t number) const;
    const std::filesystem::path& folder() const noexcept { return folder_; }
    std::uint64_t uid() const noexcept { return uid_; }
    Result<int> fd_of(std::uint32_t number);
    /// Cuts the active segment; for torn tails.
    Result<> cut(std::uint32_t size);
    /// Removes the oldest segment.
    Result<> drop_oldest();
    Result<> sync();
    void close_files();

    /// Makes a new active segment. Nothing may be pending.
    Result<> begin_segment(Mode mode, std::string_view name, std::uint64_t next_id);

private:
    void close_unused();

    Shared& shared_;
    std::filesystem::path folder_;
    std::uint64_t uid_;
    std::map<std::uint32_t, Segment> segments_;
    std::string pending_;
    std::uint32_t pending_last_ = 0;  ///< Offset in the segment of the last pending record.
    std::uint32_t last_before_ = 0;   ///< `Segment::last` as it was before the pending group.
    std::size_t lost_ = 0;
    bool sealed_ = false;
    bool folder_made_ = false;
};

/// Writes the file of a segment header for `open`.
Result<SegmentHeader> read_segment_header(int fd, std::uint64_t uid, std::uint32_t number);

}  // namespace znode::zdb
