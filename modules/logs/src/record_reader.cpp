#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "kernel/fd.hpp"
#include "kernel/files.hpp"
#include "logs/reader.hpp"

namespace znode::logs {
namespace {

std::filesystem::path path_of(const std::filesystem::path& folder, std::uint64_t number)
{
    char name[32];
    segment_name(number, name);
    return folder / name;
}

bool exists(const std::filesystem::path& folder, std::uint64_t number)
{
    struct stat info{};
    return ::stat(path_of(folder, number).c_str(), &info) == 0;
}

}  // namespace

Result<std::vector<std::uint64_t>> list_segments(const std::filesystem::path& folder)
{
    std::vector<std::uint64_t> numbers;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream{::opendir(folder.c_str()), &::closedir};
    if (!stream) {
        const int err = errno;
        if (err == ENOENT) return numbers;
        return fail_errno(err, "list " + folder.string());
    }
    for (;;) {
        errno = 0;
        const auto* entry = ::readdir(stream.get());
        const int err = errno;
        if (entry == nullptr && err) return fail_errno(err, "list " + folder.string());
        if (entry == nullptr) break;
        if (std::strlen(entry->d_name) < segment_digits) continue;
        if (const auto number = segment_number(entry->d_name)) numbers.push_back(number);
    }
    std::ranges::sort(numbers);
    return numbers;
}

struct RecordReader::State {
    kernel::Fd fd;
    bool complete = false;  // The next segment exists: nobody writes here any more.
};

RecordReader::RecordReader(std::filesystem::path folder, Cursor from)
    : folder_{std::move(folder)}, at_{from}
{
}
RecordReader::~RecordReader() = default;
RecordReader::RecordReader(RecordReader&&) noexcept = default;
RecordReader& RecordReader::operator=(RecordReader&&) noexcept = default;

void RecordReader::go_to(std::uint64_t segment)
{
    open_.reset();
    at_.segment = segment;
    at_.offset = 0;
    at_.inner = 0;
}

bool RecordReader::is_complete() const { return exists(folder_, at_.segment + 1); }

/// False: there is nothing to read yet.
Result<bool> RecordReader::open_segment()
{
    for (;;) {
        if (at_.segment == 0 || !exists(folder_, at_.segment)) {
            TRY(const auto numbers, list_segments(folder_));
            const auto after =
                std::ranges::lower_bound(numbers, std::max<std::uint64_t>(at_.segment, 1));
            if (after == numbers.end()) return false;
            go_to(*after);
        }
        auto fd = kernel::open_file(path_of(folder_, at_.segment).string(), O_RDONLY);
        if (!fd && fd.error().code == Errc::not_found) continue;  // Rotated away just now.
        if (!fd) return tl::unexpected(std::move(fd).error());

        SegmentHeader header{};
        TRY(const auto got,
            kernel::pread_full(fd->get(), {reinterpret_cast<char*>(&header), sizeof header}, 0));
        if (got < sizeof header || !is_valid(header)) {
            if (!is_complete()) return false;  // Being made at this moment.
            ++damaged_;
            go_to(at_.segment + 1);
            continue;
        }
        if (at_.offset == 0) {
            // The difference to what was read is what nobody can read any more.
            if (header.bytes_before > at_.bytes) lost_ += header.bytes_before - at_.bytes;
            at_.bytes = header.bytes_before;
            at_.offset = header.header_bytes;
        }
        open_ = std::make_unique<State>();
        open_->fd = *std::move(fd);
        return true;
    }
}

Result<Chunk> RecordReader::next(std::size_t most)
{
    most = std::max<std::size_t>(most, sizeof(RecordHeader) + max_payload);
    for (;;) {
        if (!open_) {
            TRY(const bool opened, open_segment());
            if (!opened) return Chunk{};
        }
        // Asked before reading: what is there afterwards is then all that there will be.
        if (!open_->complete) open_->complete = is_complete();

        Chunk chunk;
        chunk.bytes.resize(most);
        TRY(const auto got,
            kernel::pread_full(open_->fd.get(), chunk.bytes, static_cast<off_t>(at_.offset)));
        chunk.bytes.resize(got);

        std::size_t at = 0;
        bool damaged = false;
        const bool cut_by_us = got == most;
        while (got - at >= sizeof(RecordHeader)) {
            RecordHeader header{};
            std::memcpy(&header, chunk.bytes.data() + at, sizeof header);
            damaged = !is_valid(header);
            if (damaged || got - at - sizeof header < header.length) break;
            const std::string_view payload{chunk.bytes.data() + at + sizeof header, header.length};
            damaged = header.payload_sum != checksum(payload.data(), payload.size());
            if (damaged) break;

            RecordView record{
                .kind = header.kind,
                .flags = header.flags,
                .time_ns = header.time_ns,
                .payload = payload,
                .at = at_};
            record.at.inner = 0;
            at += sizeof header + header.length;
            at_.offset += sizeof header + header.length;
            at_.inner = 0;
            if (header.kind == Kind::out || header.kind == Kind::err) at_.bytes += header.length;
            record.next = at_;
            chunk.records.push_back(record);
        }
        if (!chunk.records.empty()) return chunk;
        if (!open_->complete) return Chunk{};  // More will come, or a torn end will be cut away.
        if (damaged || (at < got && !cut_by_us)) ++damaged_;
        go_to(at_.segment + 1);
    }
}

std::string_view to_string(Stream stream) noexcept
{
    return stream == Stream::out ? "stdout" : "stderr";
}

}  // namespace znode::logs
