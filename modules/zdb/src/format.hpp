#pragma once
// The structures of FORMAT.md. They are written as they lie in memory, so the machine must be
// little-endian like the format.

#include <bit>
#include <cstdint>
#include <string_view>

#include "checksum.hpp"
#include "zdb/engine.hpp"

namespace znode::zdb {

static_assert(std::endian::native == std::endian::little);

inline constexpr std::uint32_t format_version = 1;
inline constexpr std::size_t record_alignment = 8;

enum class Kind : std::uint8_t { value = 1, tombstone = 2 };

namespace flag {
inline constexpr std::uint16_t commit = 1;
inline constexpr std::uint16_t moved = 2;
inline constexpr std::uint16_t known = commit | moved;
}  // namespace flag

struct SegmentHeader {
    char magic[8] = {'Z', 'N', 'O', 'D', 'E', 'Z', 'D', 'B'};
    std::uint32_t version = format_version;
    std::uint32_t number = 0;
    std::uint64_t uid = 0;
    std::uint64_t salt = 0;
    std::uint64_t created = 0;
    std::uint8_t mode = 0;
    std::uint8_t name_length = 0;
    std::uint8_t zero[6] = {};
    std::uint64_t next_id = 0;
    char name[128] = {};
    std::uint32_t zero_too = 0;
    std::uint32_t check = 0;

    std::uint32_t expected_check() const noexcept
    {
        return Check{}.add(this, sizeof *this - sizeof check).value();
    }
};
static_assert(sizeof(SegmentHeader) == 192);

struct RecordHeader {
    std::uint32_t check = 0;
    Kind kind = Kind::value;
    std::uint8_t key_length = 0;
    std::uint16_t flags = 0;
    std::uint32_t before = 0;
    std::uint32_t payload_length = 0;
    std::uint32_t payload_crc = 0;
    std::uint32_t time = 0;
    Place replaces = {};
    std::uint64_t next_id = 0;

    std::uint32_t expected_check(
        std::uint64_t salt, std::uint32_t offset, std::string_view key) const noexcept
    {
        const auto* body = reinterpret_cast<const char*>(this) + sizeof check;
        return Check{}
            .add(salt)
            .add(offset)
            .add(body, sizeof *this - sizeof check)
            .add(key.data(), key.size())
            .value();
    }
    /// Bytes of the record without padding.
    std::uint32_t size() const noexcept
    {
        return static_cast<std::uint32_t>(sizeof *this) + key_length + payload_length;
    }
    bool plausible() const noexcept
    {
        return (kind == Kind::value || (kind == Kind::tombstone && payload_length == 0)) &&
               key_length > 0 && (flags & ~flag::known) == 0 && payload_length <= payload_limit;
    }
};
static_assert(sizeof(RecordHeader) == 40);

constexpr std::uint32_t padded(std::uint32_t size) noexcept
{
    return (size + (record_alignment - 1)) & ~static_cast<std::uint32_t>(record_alignment - 1);
}

struct HintHeader {
    char magic[8] = {'Z', 'N', 'O', 'D', 'E', 'H', 'N', 'T'};
    std::uint32_t version = format_version;
    std::uint32_t number = 0;
    std::uint64_t uid = 0;
    std::uint64_t salt = 0;
    std::uint64_t next_id = 0;
    std::uint64_t segment_size = 0;
    std::uint32_t count = 0;
    std::uint32_t check = 0;
};
static_assert(sizeof(HintHeader) == 56);

struct HintEntry {
    std::uint32_t tag = 0;
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
    Kind kind = Kind::value;
    std::uint8_t key_length = 0;
    std::uint16_t flags = 0;
    Place replaces = {};
};
static_assert(sizeof(HintEntry) == 24);

struct IdsHeader {
    char magic[8] = {'Z', 'N', 'O', 'D', 'E', 'I', 'D', 'S'};
    std::uint32_t version = format_version;
    std::uint32_t covered = 0;
    std::uint64_t uid = 0;
    std::uint32_t zero = 0;
    std::uint32_t check = 0;

    std::uint32_t expected_check() const noexcept
    {
        return Check{}.add(this, sizeof *this - sizeof check).value();
    }
};
static_assert(sizeof(IdsHeader) == 32);

struct IdEntry {
    Place at = {};
    std::uint32_t length = 0;
    std::uint32_t check = 0;

    std::uint32_t expected_check(std::uint64_t id) const noexcept
    {
        return Check{}.add(id).add(this, sizeof *this - sizeof check).value();
    }
    bool hole() const noexcept
    {
        return at.segment == 0 && at.offset == 0 && length == 0 && check == 0;
    }
};
static_assert(sizeof(IdEntry) == 16);

}  // namespace znode::zdb
