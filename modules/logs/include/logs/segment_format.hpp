#pragma once
// The bytes of a log segment (see FORMAT.md). Shared by the writer, a static program without
// exceptions or libraries, and by every reader: plain structs, little-endian, nothing allocated.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace znode::logs {

inline constexpr char segment_magic[8] = {'z', 'n', 'o', 'd', 'e', 'l', 'o', 'g'};
inline constexpr std::uint32_t segment_version = 1;
inline constexpr std::uint16_t record_magic = 0x4c5a;  // "ZL"
/// No record carries more. A longer line is cut into records, see flag_open.
inline constexpr std::uint32_t max_payload = 64U * 1024U;
/// Segment files are named by their number: ten digits and this.
inline constexpr char segment_suffix[] = ".seg";
inline constexpr int segment_digits = 10;

/// What a record is. Readers skip kinds they do not know.
enum class Kind : std::uint8_t {
    out = 1,      ///< Bytes of the program's stdout.
    err = 2,      ///< Bytes of its stderr.
    started = 3,  ///< The program was started; text "pid=N".
    exited = 4,   ///< It ended; text "code=N", "signal=N" or "unknown".
    lost = 5,     ///< Bytes could not be kept here; text "stream=out|err bytes=N".
};

/// The payload begins within a line that the stream's record before left open.
inline constexpr std::uint8_t flag_continues = 1;
/// The payload's last line has no end yet (it was longer than a record, or the program ended).
inline constexpr std::uint8_t flag_open = 2;

/// First bytes of a segment.
struct SegmentHeader {
    char magic[8];
    std::uint32_t version;
    std::uint32_t header_bytes;  ///< Where the first record begins: sizeof(SegmentHeader).
    std::uint64_t number;        ///< The one in the file's name.
    std::int64_t created_ns;     ///< CLOCK_REALTIME.
    std::uint64_t lines_before;  ///< Line ends in all earlier segments, those deleted included.
    std::uint64_t bytes_before;  ///< The same for payload bytes of out and err.
    std::uint8_t reserved[16];   ///< 0.
};
static_assert(sizeof(SegmentHeader) == 64 && std::is_trivially_copyable_v<SegmentHeader>);

/// First bytes of a record; `length` bytes of payload follow, then the next record, no padding.
struct RecordHeader {
    std::uint16_t magic;
    Kind kind;
    std::uint8_t flags;
    std::uint32_t length;       ///< Bytes of payload.
    std::int64_t time_ns;       ///< CLOCK_REALTIME when the bytes were taken from the program.
    std::uint32_t payload_sum;  ///< checksum() of the payload.
    std::uint32_t header_sum;   ///< checksum() of the 20 bytes before.
};
static_assert(sizeof(RecordHeader) == 24 && std::is_trivially_copyable_v<RecordHeader>);

/// Finds torn and zeroed bytes, not attackers: eight bytes a step, the rest as one zero-filled
/// word.
inline std::uint32_t checksum(const void* bytes, std::size_t size) noexcept
{
    constexpr std::uint64_t prime = 0x9e3779b185ebca87ULL;
    const auto* at = static_cast<const unsigned char*>(bytes);
    std::uint64_t sum = 0x27d4eb2f165667c5ULL ^ size;
    std::uint64_t word = 0;
    for (; size >= sizeof word; size -= sizeof word, at += sizeof word) {
        std::memcpy(&word, at, sizeof word);
        sum = (sum ^ word) * prime;
        sum ^= sum >> 29U;
    }
    word = 0;
    std::memcpy(&word, at, size);
    sum = (sum ^ word) * prime;
    return static_cast<std::uint32_t>(sum ^ (sum >> 32U));
}

inline SegmentHeader make_segment_header(
    std::uint64_t number,
    std::int64_t created_ns,
    std::uint64_t lines_before,
    std::uint64_t bytes_before) noexcept
{
    SegmentHeader header{};
    std::memcpy(header.magic, segment_magic, sizeof segment_magic);
    header.version = segment_version;
    header.header_bytes = sizeof header;
    header.number = number;
    header.created_ns = created_ns;
    header.lines_before = lines_before;
    header.bytes_before = bytes_before;
    return header;
}

inline bool is_valid(const SegmentHeader& header) noexcept
{
    return std::memcmp(header.magic, segment_magic, sizeof segment_magic) == 0 &&
           header.version == segment_version && header.header_bytes >= sizeof header;
}

inline RecordHeader make_record_header(
    Kind kind,
    std::uint8_t flags,
    std::int64_t time_ns,
    const void* payload,
    std::uint32_t length) noexcept
{
    RecordHeader header{record_magic, kind, flags, length, time_ns, checksum(payload, length), 0};
    header.header_sum = checksum(&header, offsetof(RecordHeader, header_sum));
    return header;
}

/// Whether these bytes were written as a record's header. Says nothing of the payload.
inline bool is_valid(const RecordHeader& header) noexcept
{
    return header.magic == record_magic && header.length <= max_payload &&
           header.header_sum == checksum(&header, offsetof(RecordHeader, header_sum));
}

/// "0000000001.seg"; `into` holds at least 15 bytes and is terminated.
inline void segment_name(std::uint64_t number, char* into) noexcept
{
    for (int digit = segment_digits - 1; digit >= 0; --digit, number /= 10)
        into[digit] = static_cast<char>('0' + number % 10);
    std::memcpy(into + segment_digits, segment_suffix, sizeof segment_suffix);
}

/// The number of a segment file's name, 0 for any other name.
inline std::uint64_t segment_number(const char* name) noexcept
{
    std::uint64_t number = 0;
    for (int digit = 0; digit < segment_digits; ++digit) {
        if (name[digit] < '0' || name[digit] > '9') return 0;
        number = number * 10 + static_cast<std::uint64_t>(name[digit] - '0');
    }
    return std::strcmp(name + segment_digits, segment_suffix) == 0 ? number : 0;
}

}  // namespace znode::logs
