#include "segments.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace znode::monitor {

using container::LogPosition;

std::uint64_t count_lines(const unsigned char* bytes, std::size_t size) noexcept
{
    constexpr std::uint64_t ones = 0x0101010101010101ULL;
    constexpr std::uint64_t low = ones * 0x7f;
    std::uint64_t lines = 0;
    std::uint64_t word = 0;
    for (; size >= sizeof word; size -= sizeof word, bytes += sizeof word) {
        std::memcpy(&word, bytes, sizeof word);
        word ^= ones * '\n';
        // The high bit of each byte that is zero now, and of no other.
        const std::uint64_t zeros = ~(((word & low) + low) | word | low);
        lines += static_cast<std::uint64_t>(__builtin_popcountll(zeros));
    }
    for (; size > 0; --size, ++bytes) lines += *bytes == '\n' ? 1U : 0U;
    return lines;
}

Segments::~Segments()
{
    if (file_ >= 0) ::close(file_);
}

bool Segments::lowest_and_highest(std::uint64_t& lowest, std::uint64_t& highest) const
{
    lowest = highest = 0;
    const int copy = ::openat(folder_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0) return false;
    DIR* folder = ::fdopendir(copy);
    if (folder == nullptr) {
        ::close(copy);
        return false;
    }
    while (const struct dirent* entry = ::readdir(folder)) {
        if (std::strlen(entry->d_name) < logs::segment_digits) continue;
        const auto number = logs::segment_number(entry->d_name);
        if (number == 0) continue;
        if (lowest == 0 || number < lowest) lowest = number;
        if (number > highest) highest = number;
    }
    ::closedir(folder);
    return highest != 0;
}

/// Goes over the records of the open file and leaves `position` behind the last whole one.
int Segments::walk(LogPosition& position) const
{
    struct stat info{};
    if (::fstat(file_, &info) < 0) return errno;
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (size < sizeof(logs::SegmentHeader)) return EBADMSG;
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file_, 0);
    if (mapped == MAP_FAILED) return errno;
    const auto* bytes = static_cast<const unsigned char*>(mapped);

    logs::SegmentHeader head;
    std::memcpy(&head, bytes, sizeof head);
    const bool good = logs::is_valid(head);
    if (good) {
        position.lines = head.lines_before;
        position.bytes = head.bytes_before;
        position.offset = head.header_bytes;
        for (;;) {
            logs::RecordHeader record;
            if (position.offset + sizeof record > size) break;
            std::memcpy(&record, bytes + position.offset, sizeof record);
            const auto payload = position.offset + sizeof record;
            if (!logs::is_valid(record) || payload + record.length > size ||
                record.payload_sum != logs::checksum(bytes + payload, record.length))
                break;
            if (record.kind == logs::Kind::out || record.kind == logs::Kind::err) {
                position.lines += count_lines(bytes + payload, record.length);
                position.bytes += record.length;
            }
            position.offset = payload + record.length;
        }
    }
    ::munmap(mapped, size);
    return good ? 0 : EBADMSG;
}

int Segments::find_end(LogPosition& position)
{
    position = {};
    std::uint64_t lowest = 0;
    std::uint64_t highest = 0;
    if (!lowest_and_highest(lowest, highest)) return 0;  // None yet: segment 0 does not exist.
    position.segment = highest;
    if (const int err = reopen(position); err != 0) return err;
    if (walk(position) != 0) {
        position.offset = 0;  // Not one of ours: go on in the next.
        return 0;
    }
    return ::ftruncate(file_, static_cast<off_t>(position.offset)) < 0 ? errno : 0;
}

int Segments::reopen(const LogPosition& position)
{
    char name[32];
    logs::segment_name(position.segment, name);
    const int file = ::openat(folder_, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return errno;
    if (file_ >= 0) ::close(file_);
    file_ = file;
    return 0;
}

int Segments::create(const LogPosition& position, std::int64_t now_ns)
{
    char name[32];
    logs::segment_name(position.segment, name);
    const int file =
        ::openat(folder_, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) return errno;
    const auto header =
        logs::make_segment_header(position.segment, now_ns, position.lines, position.bytes);
    const auto put = ::pwrite(file, &header, sizeof header, 0);
    if (put != static_cast<ssize_t>(sizeof header)) {
        const int err = put < 0 ? errno : ENOSPC;
        ::close(file);
        (void)::unlinkat(folder_, name, 0);  // Without its header it would only take a number.
        return err;
    }
    if (file_ >= 0) ::close(file_);
    file_ = file;
    return 0;
}

void Segments::trim(std::uint64_t current)
{
    std::uint64_t lowest = 0;
    std::uint64_t highest = 0;
    while (lowest_and_highest(lowest, highest) && lowest + count_ <= current)
        if (!drop_oldest(current)) return;
}

bool Segments::drop_oldest(std::uint64_t current)
{
    std::uint64_t lowest = 0;
    std::uint64_t highest = 0;
    if (!lowest_and_highest(lowest, highest) || lowest >= current) return false;
    char name[32];
    logs::segment_name(lowest, name);
    return ::unlinkat(folder_, name, 0) == 0;
}

int Segments::write_at(
    std::uint64_t offset, const logs::RecordHeader& header, const unsigned char* payload)
{
    logs::RecordHeader copy = header;
    const std::uint64_t total = sizeof copy + header.length;
    for (std::uint64_t done = 0; done < total;) {
        struct iovec parts[2];
        int count = 0;
        if (done < sizeof copy) {
            auto* bytes = reinterpret_cast<unsigned char*>(&copy);
            parts[count++] = {bytes + done, sizeof copy - done};
        }
        const std::uint64_t from = done < sizeof copy ? 0 : done - sizeof copy;
        if (header.length > from) {
            // writev takes what it only reads without const.
            parts[count++] = {const_cast<unsigned char*>(payload) + from, header.length - from};
        }
        const auto put = ::pwritev(file_, parts, count, static_cast<off_t>(offset + done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno;
        done += static_cast<std::uint64_t>(put);
    }
    return 0;
}

void Segments::cut(std::uint64_t offset) { (void)!::ftruncate(file_, static_cast<off_t>(offset)); }

}  // namespace znode::monitor
