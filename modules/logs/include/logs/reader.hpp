#pragma once
// Reading log segments: record by record, line by line (see FORMAT.md).

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/blocking.hpp"
#include "async/task.hpp"
#include "base/log.hpp"
#include "base/result.hpp"
#include "logs/segment_format.hpp"

namespace znode::logs {

/// How far a reader has come.
struct Cursor {
    std::uint64_t segment = 0;  ///< 0: at the beginning of what is left.
    std::uint64_t offset = 0;   ///< Of a record in the segment; 0: of the first one.
    std::uint64_t inner = 0;    ///< Bytes of that record's payload that are done with.
    std::uint64_t bytes = 0;    ///< Payload bytes (both streams) before that record, ever.

    bool operator==(const Cursor&) const = default;
};

/// Where a connection to a log target stood when the cursor did: the next run of the agent goes on
/// in the middle of it. Counts as in kernel::TcpProgress.
struct Wire {
    std::uint64_t socket = 0;   ///< 0: there is no connection to go on with.
    std::uint64_t written = 0;  ///< Where the command of the line after the cursor begins.
    std::uint64_t read = 0;     ///< Where the answer to it begins.

    bool operator==(const Wire&) const = default;
};

/// A cursor as it is noted for the next run.
struct Noted {
    Cursor cursor = {};
    Wire wire = {};

    bool operator==(const Noted&) const = default;
};

/// One record in a chunk.
struct RecordView {
    Kind kind = Kind::out;
    std::uint8_t flags = 0;
    std::int64_t time_ns = 0;
    std::string_view payload;
    Cursor at;    ///< Of this record, `inner` 0.
    Cursor next;  ///< Of the record after it.
};

/// Some records, with the bytes that their views show.
struct Chunk {
    std::string bytes;
    std::vector<RecordView> records;
};

/// Reads records forward over segments, from files that may be growing. Blocks on the disk.
class RecordReader {
public:
    RecordReader(std::filesystem::path folder, Cursor from);
    ~RecordReader();
    RecordReader(RecordReader&&) noexcept;
    RecordReader& operator=(RecordReader&&) noexcept;

    /// The next records, about `most` bytes of them. None: that is all for now; try again when the
    /// folder changes.
    [[nodiscard]] Result<Chunk> next(std::size_t most = std::size_t{512} << 10U);

    const Cursor& position() const noexcept { return at_; }
    /// Payload bytes that were rotated away before they could be read.
    std::uint64_t lost_bytes() const noexcept { return lost_; }
    /// Segments whose rest could not be read because its bytes are damaged.
    std::uint64_t damaged_segments() const noexcept { return damaged_; }

private:
    [[nodiscard]] Result<bool> open_segment();
    [[nodiscard]] bool is_complete() const;
    void go_to(std::uint64_t segment);

    struct State;
    std::filesystem::path folder_;
    Cursor at_;
    std::unique_ptr<State> open_;
    std::uint64_t lost_ = 0;
    std::uint64_t damaged_ = 0;
};

/// Numbers of the segments in a folder, ascending; empty for a folder that is not there.
[[nodiscard]] Result<std::vector<std::uint64_t>> list_segments(const std::filesystem::path& folder);

enum class Stream { out, err };
/// "stdout", "stderr".
std::string_view to_string(Stream stream) noexcept;

/// A line as the program wrote it.
struct Line {
    Stream stream = Stream::out;
    std::int64_t time_ns = 0;
    std::string text;  ///< Without its line end.
};

/// Which lines.
struct Query {
    std::optional<Stream> stream;          ///< Absent: both.
    std::optional<std::uint64_t> tail;     ///< Only the last so many of those that are there.
    std::optional<std::int64_t> since_ns;  ///< Only those of this moment or later.
    bool follow = false;                   ///< And all that come later.
};

class FolderWatch;

/// Reads the lines of one workload in the order in which they lie on disk.
class LineReader {
public:
    virtual ~LineReader() = default;
    /// The next lines; nothing at the end. A following reader waits, and may be cancelled.
    virtual Task<Result<std::optional<std::vector<Line>>>> next() = 0;
};

/// `watch` and `disks` must outlive it. A folder that does not exist has no lines (yet).
std::unique_ptr<LineReader> make_line_reader(
    std::filesystem::path folder, Query query, FolderWatch& watch, Blocking& disks);

}  // namespace znode::logs
