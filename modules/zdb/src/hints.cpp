#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include <sodium.h>

#include "base/failpoint.hpp"
#include "kernel/files.hpp"
#include "scan.hpp"

namespace znode::zdb {
namespace {

/// A part of a file in memory that moves forward.
class Window {
public:
    Window(int fd, std::uint32_t size, std::size_t step) : fd_{fd}, size_{size}, step_{step} {}

    /// Bytes from `offset`, fewer than asked for at the end of the file.
    Result<std::string_view> view(std::uint32_t offset, std::size_t length)
    {
        length = std::min<std::size_t>(length, size_ > offset ? size_ - offset : 0);
        if (offset < base_ || offset + length > base_ + filled_) {
            const std::size_t wanted =
                std::min<std::size_t>(std::max(length, step_), size_ - std::min(size_, offset));
            if (buffer_.size() < wanted) buffer_.resize(wanted);
            TRY(filled_, kernel::pread_full(fd_, {buffer_.data(), wanted}, offset));
            base_ = offset;
        }
        const std::size_t start = offset - base_;
        if (start >= filled_) return std::string_view{};
        return std::string_view{buffer_.data() + start, std::min(length, filled_ - start)};
    }

private:
    int fd_;
    std::uint32_t size_;
    std::size_t step_;
    std::string buffer_;
    std::uint32_t base_ = 0;
    std::size_t filled_ = 0;
};

struct Seen {
    RecordHeader header;
    std::uint32_t offset;
    std::string key;
};

/// A record that checks at this place, or nothing.
Result<std::optional<Seen>> record_at(Window& window, std::uint64_t salt, std::uint32_t offset)
{
    TRY(const auto bytes, window.view(offset, head_of_record));
    Seen seen{.header = {}, .offset = offset, .key = {}};
    if (bytes.size() < sizeof seen.header) return std::nullopt;
    std::memcpy(&seen.header, bytes.data(), sizeof seen.header);
    const RecordHeader& header = seen.header;
    if (!header.plausible() || header.before >= offset ||
        bytes.size() < sizeof header + header.key_length)
        return std::nullopt;
    const auto key = bytes.substr(sizeof header, header.key_length);
    if (header.check != header.expected_check(salt, offset, key)) return std::nullopt;
    seen.key = key;
    return seen;
}

}  // namespace

Result<Scanned> scan_segment(
    int fd,
    std::uint64_t salt,
    std::uint32_t size,
    bool verify,
    const std::function<void(const RecordHeader&, std::uint32_t, std::string_view)>& visit)
{
    Scanned result;
    Window window{fd, size, std::size_t{1} << 20U};
    std::vector<Seen> held;  // Not yet known to be whole.
    bool held_is_good = true;
    bool in_damage = false;
    std::uint32_t offset = sizeof(SegmentHeader);
    while (offset < size) {
        TRY(const auto seen, record_at(window, salt, offset));
        const std::uint64_t next = seen ? std::uint64_t{offset} + padded(seen->header.size()) : 0;
        if (!seen || next > std::uint64_t{size} + record_alignment) {
            if (!in_damage) ++result.faults;
            in_damage = true;
            offset += record_alignment;
            continue;
        }
        in_damage = false;
        result.next_id = std::max(result.next_id, seen->header.next_id);
        if (verify) {
            const auto& header = seen->header;
            TRY(const auto bytes, window.view(offset, header.size()));
            held_is_good = held_is_good && bytes.size() == header.size() &&
                           payload_checksum(bytes.substr(sizeof header + header.key_length)) ==
                               header.payload_crc;
        }
        held.push_back(*seen);
        offset = static_cast<std::uint32_t>(std::min<std::uint64_t>(next, size));
        if ((seen->header.flags & flag::commit) == 0) continue;
        if (held_is_good && next <= size) {
            for (const Seen& record : held) visit(record.header, record.offset, record.key);
            held.clear();
            result.end = offset;
            result.last = seen->offset;
        }
        held_is_good = true;
    }
    // Damage at the very end is a torn tail.
    if (in_damage) --result.faults;
    return result;
}

std::uint32_t tag_of(std::string_view key, const HashKey& hash_key) noexcept
{
    std::uint64_t hash = 0;
    crypto_shorthash(
        reinterpret_cast<unsigned char*>(&hash),
        reinterpret_cast<const unsigned char*>(key.data()),
        key.size(),
        hash_key.data());
    return static_cast<std::uint32_t>(hash >> 32U);
}

Result<Hints> read_hints(
    const std::filesystem::path& path,
    std::uint64_t uid,
    std::uint32_t number,
    const Segment& segment)
{
    TRY(const auto fd, kernel::open_file(path.string(), O_RDONLY));
    Hints hints;
    TRY(const auto got,
        kernel::pread_full(
            fd.get(), {reinterpret_cast<char*>(&hints.header), sizeof hints.header}, 0));
    const HintHeader model;
    const HintHeader& header = hints.header;
    if (got < sizeof header || std::memcmp(header.magic, model.magic, sizeof model.magic) != 0 ||
        header.version != format_version || header.number != number || header.uid != uid ||
        header.salt != segment.salt || header.segment_size != segment.size ||
        header.count > segment.size / sizeof(RecordHeader))
        return fail(Errc::corrupt, "the hint is of something else");
    hints.entries.resize(header.count);
    const std::size_t size = hints.entries.size() * sizeof(HintEntry);
    TRY(const auto body,
        kernel::pread_full(
            fd.get(), {reinterpret_cast<char*>(hints.entries.data()), size}, sizeof header));
    const auto check = Check{}
                           .add(&header, sizeof header - sizeof header.check)
                           .add(hints.entries.data(), size)
                           .value();
    if (body != size || check != header.check) return fail(Errc::corrupt, "the hint is damaged");
    return hints;
}

Result<> write_hints(
    const std::filesystem::path& segment,
    const std::filesystem::path& hint,
    std::uint64_t uid,
    std::uint32_t number,
    HashKey hash_key)
{
    FP("zdb.hint.write");
    TRY(const auto fd, kernel::open_file(segment.string(), O_RDONLY));
    TRY(const auto start, read_segment_header(fd.get(), uid, number));
    struct stat status{};
    const int err = error_of(::fstat(fd.get(), &status));
    if (err) return fail_errno(err, "look at " + segment.string());

    Hints hints;
    HintHeader& header = hints.header;
    header.number = number;
    header.uid = uid;
    header.salt = start.salt;
    header.segment_size = static_cast<std::uint64_t>(status.st_size);
    TRY(const auto scanned,
        scan_segment(
            fd.get(),
            start.salt,
            static_cast<std::uint32_t>(status.st_size),
            false,
            [&](const RecordHeader& record, std::uint32_t offset, std::string_view key) {
                hints.entries.push_back(
                    {.tag = tag_of(key, hash_key),
                     .offset = offset,
                     .size = record.size(),
                     .kind = record.kind,
                     .key_length = record.key_length,
                     .flags = record.flags,
                     .replaces = record.replaces});
            }));
    header.next_id = scanned.next_id;
    header.count = static_cast<std::uint32_t>(hints.entries.size());
    const std::size_t size = hints.entries.size() * sizeof(HintEntry);
    header.check = Check{}
                       .add(&header, sizeof header - sizeof header.check)
                       .add(hints.entries.data(), size)
                       .value();

    TRY_DO(kernel::make_folders(hint.parent_path(), 0700));
    auto beside = hint;
    beside += ".new";
    TRY(const auto out, kernel::open_file(beside.string(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    TRY_DO(kernel::write_all(out.get(), {reinterpret_cast<const char*>(&header), sizeof header}));
    TRY_DO(
        kernel::write_all(out.get(), {reinterpret_cast<const char*>(hints.entries.data()), size}));
    // Derived and checked: no fsync. A torn one is made again.
    const int renamed = error_of(::rename(beside.c_str(), hint.c_str()));
    if (renamed) return fail_errno(renamed, "rename to " + hint.string());
    return {};
}

}  // namespace znode::zdb
