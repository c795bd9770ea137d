#pragma once
// The page file `phase` of a container's monitor: what a monitor that was killed leaves to its
// successor, and what an agent may read at any time. Plain memory in a file of the run folder
// (tmpfs), shared by a static program and the agent.
//
// Every change of state is either one store of one word, or is noted first as absolute values
// ("…_after") and then carried out, so that a successor may carry it out again.

#include <atomic>
#include <cstdint>

#include "logs/segment_format.hpp"

namespace znode::container {

inline constexpr std::uint32_t monitor_page_magic = 0x4d505a4e;
/// A successor and the agent understand this version and the one before it.
inline constexpr std::uint32_t monitor_page_version = 1;
inline constexpr std::uint32_t relay_buffer_bytes = 64U * 1024U;
static_assert(relay_buffer_bytes <= logs::max_payload);

enum class MonitorPhase : std::uint32_t {
    starting,  ///< The runtime has not answered yet.
    running,   ///< PID 1 exists.
    ended,     ///< PID 1 is gone, its output is in the segments, `exit` says how it ended.
    failed,    ///< The runtime did not start it.
};

enum class ExitKind : std::uint32_t {
    unknown,     ///< Nobody saw it.
    exited,      ///< With the code in `number`.
    signaled,    ///< By the signal in `number`.
    exec_errno,  ///< The program could not be executed; errno in `number`.
};

enum class Putting : std::uint32_t { nothing, record, written, rotate };

/// Where the bytes of a stream lie that were taken but not put: one word, stored at once.
struct Span {
    std::uint32_t half;
    std::uint32_t begin;
    std::uint32_t end;

    static Span unpack(std::uint64_t word) noexcept
    {
        return {
            static_cast<std::uint32_t>(word >> 63U),
            static_cast<std::uint32_t>(word >> 32U) & 0x7fffffffU,
            static_cast<std::uint32_t>(word)};
    }
    std::uint64_t pack() const noexcept
    {
        return std::uint64_t{half} << 63U | std::uint64_t{begin} << 32U | end;
    }
};

struct StreamPage {
    std::atomic<std::uint64_t> span;
    std::atomic<std::uint32_t> taking;  ///< 1: a read of the FIFO was begun.
    std::uint32_t open_line;            ///< The last record put has flag_open.
    std::uint64_t span_after;           ///< Once that read has happened.
    std::int64_t taken_ns;              ///< When the youngest bytes were taken.
    std::uint64_t lost_bytes;           ///< Not yet told by a `lost` record.
    unsigned char absent;               ///< In the first place read into, as long as it was not.
    unsigned char reserved[7];
};

/// How far the segments are; a copy of the part that one put changes.
struct LogPosition {
    std::uint64_t segment;
    std::uint64_t offset;
    std::uint64_t lines;  ///< Line ends ever written for this container.
    std::uint64_t bytes;  ///< Payload bytes ever written.
};

struct PutPage {
    std::atomic<Putting> state;
    std::uint32_t stream;  ///< 0 out, 1 err; of marks without meaning.
    std::uint32_t half;
    std::uint32_t begin;
    logs::RecordHeader header;
    LogPosition after;
    std::uint64_t span_after;
    std::uint64_t lost_after;
    std::uint32_t open_after;
    char mark[60];  ///< Payload of a mark.
};

struct MonitorPage {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint32_t bytes;
    std::atomic<MonitorPhase> phase;
    char boot_id[40];
    std::int32_t monitor_pid;
    std::int32_t pid;  ///< PID 1 of the container as the host sees it, 0 until known.
    std::uint64_t monitor_start;
    std::uint64_t pid_start;  ///< Field 22 of its /proc/PID/stat.
    std::int64_t started_ns;  ///< CLOCK_REALTIME.
    std::int64_t ended_ns;
    ExitKind exit;
    std::int32_t exit_number;
    std::uint32_t start_marked;
    std::uint32_t exit_marked;
    LogPosition log;
    PutPage put;
    StreamPage streams[2];
    unsigned char reserved[1024];

    alignas(4096) unsigned char buffers[2][2][relay_buffer_bytes];
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace znode::container
