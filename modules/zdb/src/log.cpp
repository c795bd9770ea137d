#include "log.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <vector>

#include <sodium.h>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::zdb {
namespace {

constexpr std::uint32_t header_size = sizeof(SegmentHeader);

}  // namespace

Result<SegmentHeader> read_segment_header(int fd, std::uint64_t uid, std::uint32_t number)
{
    SegmentHeader header;
    TRY(const auto got,
        kernel::pread_full(fd, {reinterpret_cast<char*>(&header), sizeof header}, 0));
    if (got < sizeof header) return fail(Errc::not_found, "no whole segment header");
    const SegmentHeader model;
    if (std::memcmp(header.magic, model.magic, sizeof model.magic) != 0 ||
        header.check != header.expected_check() || header.uid != uid || header.number != number)
        return fail(Errc::corrupt, "the segment header is damaged");
    if (header.version != format_version)
        return fail(
            Errc::unsupported,
            "format version " + std::to_string(header.version) + " is of a later znode-zdb");
    return header;
}

SegmentLog::~SegmentLog() { close_files(); }

void SegmentLog::close_files()
{
    for (auto& [number, segment] : segments_) {
        if (!segment.fd) continue;
        segment.fd.close();
        --shared_.open_files;
    }
}

std::filesystem::path SegmentLog::path_of(std::uint32_t number) const
{
    return folder_ / (std::to_string(number) + ".seg");
}

Result<> SegmentLog::open()
{
    std::error_code ec;
    std::filesystem::directory_iterator folder{folder_, ec};
    if (ec == std::errc::no_such_file_or_directory) return {};
    if (ec) return fail_errno(ec.value(), "list " + folder_.string());
    folder_made_ = true;
    for (; folder != std::filesystem::directory_iterator{}; folder.increment(ec)) {
        const auto& path = folder->path();
        if (path.extension() != ".seg") continue;
        const auto number = to_number<std::uint32_t>(path.stem().string());
        if (!number || *number == 0) continue;
        struct stat status{};
        const int err = error_of(::stat(path.c_str(), &status));
        if (err) return fail_errno(err, "look at " + path.string());
        if (status.st_size > 0xFFFFFFFFLL)
            return fail(Errc::corrupt, path.string() + ": longer than a segment can be");
        segments_[*number].size = static_cast<std::uint32_t>(status.st_size);
    }
    for (auto at = segments_.begin(); at != segments_.end();) {
        const std::uint32_t number = at->first;
        TRY(const int fd, fd_of(number));
        auto header = read_segment_header(fd, uid_, number);
        if (!header && header.error().code == Errc::not_found && number == active()) {
            // The server died between making the file and its first group.
            at->second.fd.close();
            --shared_.open_files;
            TRY_DO(kernel::remove_file(path_of(number)));
            segments_.erase(at);
            break;
        }
        if (!header && header.error().code == Errc::not_found) {
            shared_.log->error("segment lost: no whole header in {}", path_of(number).string());
            at->second.fd.close();
            --shared_.open_files;
            at = segments_.erase(at);
            ++lost_;
            continue;
        }
        if (!header) return tl::unexpected(header.error().during(path_of(number).string()));
        at->second.salt = header->salt;
        ++at;
    }
    return {};
}

Result<> SegmentLog::begin_segment(Mode mode, std::string_view name, std::uint64_t next_id)
{
    FP("zdb.segment.begin");
    if (!folder_made_) {
        TRY_DO(kernel::make_folders(folder_, 0700));
        if (shared_.config->sync) TRY_DO(kernel::sync_folder(folder_.parent_path()));
        folder_made_ = true;
    }
    const std::uint32_t number = active() + 1;
    SegmentHeader header;
    header.number = number;
    header.uid = uid_;
    randombytes_buf(&header.salt, sizeof header.salt);
    header.created = static_cast<std::uint64_t>(std::time(nullptr));
    header.mode = static_cast<std::uint8_t>(mode);
    header.name_length = static_cast<std::uint8_t>(name.size());
    header.next_id = next_id;
    std::memcpy(header.name, name.data(), std::min(name.size(), sizeof header.name));
    header.check = header.expected_check();

    TRY(kernel::Fd fd,
        kernel::open_file(path_of(number).string(), O_RDWR | O_CREAT | O_TRUNC, 0600));
    const std::string_view bytes{reinterpret_cast<const char*>(&header), sizeof header};
    if (auto put = kernel::pwrite_all(fd.get(), bytes, 0); !put) {
        (void)kernel::remove_file(path_of(number));  // What counts is why the write failed.
        return put;
    }
    if (shared_.config->sync) TRY_DO(kernel::sync_folder(folder_));
    ++shared_.open_files;
    segments_.emplace(
        number,
        Segment{
            .fd = std::move(fd),
            .salt = header.salt,
            .size = header_size,
            .used_at = ++shared_.tick});
    sealed_ = false;
    close_unused();
    return {};
}

bool SegmentLog::full(std::uint32_t limit) const noexcept
{
    return !segments_.empty() && !sealed_ && segments_.rbegin()->second.size >= limit;
}

std::uint32_t SegmentLog::active_size() const noexcept
{
    if (segments_.empty()) return 0;
    return segments_.rbegin()->second.size + static_cast<std::uint32_t>(pending_.size());
}

std::uint64_t SegmentLog::disk_bytes() const noexcept
{
    std::uint64_t sum = pending_.size();
    for (const auto& [number, segment] : segments_) sum += segment.size;
    return sum;
}

Result<Place> SegmentLog::append(const Append& record, Mode mode, std::string_view name)
{
    // Never within a group: what is pending belongs to the segment that was active when it began.
    if (segments_.empty() || (sealed_ && pending_.empty()))
        TRY_DO(begin_segment(mode, name, record.next_id));
    const std::uint32_t number = active();
    Segment& segment = segments_.rbegin()->second;

    RecordHeader header{
        .kind = record.kind,
        .key_length = static_cast<std::uint8_t>(record.key.size()),
        .flags = record.flags,
        .before = segment.last,
        .payload_length = static_cast<std::uint32_t>(record.payload.size()),
        .payload_crc = record.payload_crc,
        .time = record.time,
        .replaces = record.replaces,
        .next_id = record.next_id};
    const std::uint32_t whole = padded(header.size());
    if (std::uint64_t{active_size()} + whole > 0xFFFFFFF0ULL)
        return fail(Errc::exhausted, "the segment is full");
    if (pending_.empty()) {
        last_before_ = segment.last;
        if (pending_.capacity() < shared_.spare.capacity()) pending_.swap(shared_.spare);
    }
    const std::uint32_t offset = active_size();
    header.check = header.expected_check(segment.salt, offset, record.key);

    pending_.append(reinterpret_cast<const char*>(&header), sizeof header);
    pending_.append(record.key);
    pending_.append(record.payload);
    pending_.append(whole - header.size(), '\0');
    segment.last = offset;
    pending_last_ = offset;
    return Place{number, offset};
}

Result<> SegmentLog::commit()
{
    if (pending_.empty()) return {};
    Segment& segment = segments_.rbegin()->second;
    const auto attempt = [&]() -> Result<> {
        // The last record of the group says that the group is whole.
        const std::size_t at = pending_last_ - segment.size;
        RecordHeader header;
        std::memcpy(&header, pending_.data() + at, sizeof header);
        header.flags |= flag::commit;
        const std::string_view key{pending_.data() + at + sizeof header, header.key_length};
        header.check = header.expected_check(segment.salt, pending_last_, key);
        std::memcpy(pending_.data() + at, &header, sizeof header);

        TRY(const int fd, fd_of(active()));
        FP("zdb.commit.write");
        TRY_DO(kernel::pwrite_all(fd, pending_, segment.size));
        FP("zdb.commit.sync");
        if (shared_.config->sync) {
            const int err = error_of(::fdatasync(fd));
            if (err) return fail_errno(err, "fdatasync");
        }
        return {};
    };
    auto done = attempt();
    if (done) {
        segment.size += static_cast<std::uint32_t>(pending_.size());
    } else {
        segment.last = last_before_;
        if (segment.fd) {
            const int err = error_of(::ftruncate(segment.fd.get(), segment.size));
            // What cannot be cut off has no acknowledged record; later groups go elsewhere.
            if (err) sealed_ = true;
        }
    }
    pending_.clear();
    if (pending_.capacity() > (1U << 16U)) {
        if (pending_.capacity() <= (16U << 20U) && pending_.capacity() > shared_.spare.capacity())
            pending_.swap(shared_.spare);
        std::string{}.swap(pending_);
    }
    return done;
}

Result<int> SegmentLog::fd_of(std::uint32_t number)
{
    const auto found = segments_.find(number);
    if (found == segments_.end()) return fail(Errc::not_found, "no such segment");
    Segment& segment = found->second;
    segment.used_at = ++shared_.tick;
    if (!segment.fd) {
        TRY(segment.fd, kernel::open_file(path_of(number).string(), O_RDWR));
        ++shared_.open_files;
        if (segments_.size() > 1) close_unused();
    }
    return segment.fd.get();
}

void SegmentLog::close_unused()
{
    if (shared_.open_files <= shared_.open_limit) return;
    // Half of those that were not used lately; each space closes its own.
    std::vector<std::uint64_t> uses;
    for (const auto& [number, segment] : segments_)
        if (segment.fd) uses.push_back(segment.used_at);
    if (uses.size() < 4) return;
    const auto middle = uses.begin() + static_cast<std::ptrdiff_t>(uses.size() / 2);
    std::nth_element(uses.begin(), middle, uses.end());
    for (auto& [number, segment] : segments_) {
        if (!segment.fd || segment.used_at >= *middle || number == active()) continue;
        segment.fd.close();
        --shared_.open_files;
    }
}

Result<Record> SegmentLog::read(Place at, std::size_t wanted)
{
    const auto found = segments_.find(at.segment);
    if (found == segments_.end() || at.offset < header_size || at.offset % record_alignment != 0)
        return fail(Errc::not_found, "no record there");
    Segment& segment = found->second;

    std::string_view bytes;
    if (at.offset >= segment.size) {
        if (at.segment != active() || at.offset - segment.size >= pending_.size())
            return fail(Errc::not_found, "no record there");
        bytes = std::string_view{pending_}.substr(at.offset - segment.size);
    } else {
        TRY(const int fd, fd_of(at.segment));
        wanted = std::min(wanted, small_record);
        if (shared_.scratch.size() < small_record) shared_.scratch.resize(small_record);
        TRY(const auto got, kernel::pread_full(fd, {shared_.scratch.data(), wanted}, at.offset));
        bytes = {shared_.scratch.data(), std::min<std::size_t>(got, segment.size - at.offset)};
    }
    Record record{.at = at};
    if (bytes.size() < sizeof record.header) return fail(Errc::not_found, "no record there");
    std::memcpy(&record.header, bytes.data(), sizeof record.header);
    const RecordHeader& header = record.header;
    if (!header.plausible() || bytes.size() < sizeof header + header.key_length)
        return fail(Errc::not_found, "no record there");
    record.key = bytes.substr(sizeof header, header.key_length);
    if (header.check != header.expected_check(segment.salt, at.offset, record.key))
        return fail(Errc::not_found, "no record there");
    if (bytes.size() >= header.size())
        record.payload = bytes.substr(sizeof header + header.key_length, header.payload_length);
    return record;
}

Result<> SegmentLog::read_payload(Place at, const RecordHeader& header, std::span<char> into)
{
    const auto found = segments_.find(at.segment);
    if (found == segments_.end()) return fail(Errc::not_found, "no record there");
    const std::uint32_t start =
        at.offset + static_cast<std::uint32_t>(sizeof header) + header.key_length;
    if (at.offset >= found->second.size) {
        std::memcpy(into.data(), pending_.data() + (start - found->second.size), into.size());
        return {};
    }
    TRY(const int fd, fd_of(at.segment));
    TRY(const auto got, kernel::pread_full(fd, into, start));
    if (got < into.size()) return fail(Errc::corrupt, "the segment ends within a record");
    return {};
}

Result<> SegmentLog::cut(std::uint32_t size)
{
    TRY(const int fd, fd_of(active()));
    const int err = error_of(::ftruncate(fd, size));
    if (err) return fail_errno(err, "cut the torn tail of " + path_of(active()).string());
    segments_.rbegin()->second.size = size;
    return {};
}

Result<> SegmentLog::drop_oldest()
{
    FP("zdb.segment.drop");
    const auto oldest = segments_.begin();
    TRY_DO(kernel::remove_file(path_of(oldest->first)));
    if (oldest->second.fd) --shared_.open_files;
    segments_.erase(oldest);
    return {};
}

Result<> SegmentLog::sync()
{
    if (segments_.empty()) return {};
    TRY(const int fd, fd_of(active()));
    const int err = error_of(::fdatasync(fd));
    if (err) return fail_errno(err, "fdatasync");
    return {};
}

}  // namespace znode::zdb
