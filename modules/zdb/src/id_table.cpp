#include "id_table.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/failpoint.hpp"
#include "kernel/files.hpp"

namespace znode::zdb {
namespace {

constexpr off_t place_of(std::uint64_t id)
{
    return static_cast<off_t>(sizeof(IdsHeader) + id * sizeof(IdEntry));
}

template <class T>
std::string_view bytes_of(const T& value)
{
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

Result<> write_header(int fd, std::uint64_t uid, std::uint32_t covered)
{
    IdsHeader header;
    header.covered = covered;
    header.uid = uid;
    header.check = header.expected_check();
    return kernel::pwrite_all(fd, bytes_of(header), 0);
}

}  // namespace

Result<std::uint32_t> IdTable::open()
{
    if (auto made = make(); !made) {
        if (made.error().code != Errc::exhausted) return tl::unexpected(std::move(made).error());
        header_owed_ = true;
        return 1;
    }
    IdsHeader header;
    TRY(const auto got,
        kernel::pread_full(fd_.get(), {reinterpret_cast<char*>(&header), sizeof header}, 0));
    const IdsHeader model;
    if (got == sizeof header && std::memcmp(header.magic, model.magic, sizeof model.magic) == 0 &&
        header.version == format_version && header.uid == uid_ &&
        header.check == header.expected_check())
        return header.covered;
    TRY_DO(restart());
    return 1;
}

Result<> IdTable::make()
{
    TRY_DO(kernel::make_folders(file_.parent_path(), 0700));
    TRY(fd_, kernel::open_file(file_.string(), O_RDWR | O_CREAT, 0600));
    return {};
}

Result<> IdTable::restart()
{
    changed_.clear();
    owed_.clear();
    header_owed_ = true;
    if (!fd_) return {};
    const int err = error_of(::ftruncate(fd_.get(), 0));
    if (err) return fail_errno(err, "empty " + file_.string());
    auto written = write_header(fd_.get(), uid_, 1);
    header_owed_ = !written;
    // Without a header the next start builds all anew, which is right.
    if (!written && written.error().code != Errc::exhausted) return written;
    return {};
}

/// None where the file ends, or is not.
Result<std::size_t> IdTable::read_entries(std::span<IdEntry> into, std::uint64_t first)
{
    if (!fd_) return std::size_t{0};
    TRY(const auto got,
        kernel::pread_full(
            fd_.get(), {reinterpret_cast<char*>(into.data()), into.size_bytes()}, place_of(first)));
    return got / sizeof(IdEntry);
}

Result<IdEntry> IdTable::get(std::uint64_t id)
{
    if (!changed_.empty()) {
        const auto found = changed_.find(id);
        if (found != changed_.end()) return found->second;
    }
    if (!owed_.empty()) {
        const auto found = owed_.find(id);
        if (found != owed_.end()) return found->second;
    }
    IdEntry entry;
    if (id > (std::uint64_t{1} << 56U)) return entry;
    TRY(const auto got, read_entries({&entry, 1}, id));
    if (got == 0 || entry.hole()) return IdEntry{};
    if (entry.check != entry.expected_check(id))
        return fail(Errc::corrupt, "the entry of this id is damaged");
    return entry;
}

void IdTable::put(std::uint64_t id, Place at, std::uint32_t length)
{
    IdEntry entry{.at = at, .length = length};
    entry.check = entry.expected_check(id);
    changed_.insert_or_assign(id, entry);
}

Result<> IdTable::commit()
{
    if (owed_.empty()) {
        owed_.swap(changed_);
    } else {
        for (const auto& [id, entry] : changed_) owed_.insert_or_assign(id, entry);
        changed_.clear();
    }
    if (!owes()) return {};
    FP("zdb.ids.write");
    if (!fd_) TRY_DO(make());
    if (header_owed_) {
        TRY_DO(write_header(fd_.get(), uid_, 1));
        header_owed_ = false;
    }
    std::vector<std::pair<std::uint64_t, IdEntry>> sorted{owed_.begin(), owed_.end()};
    std::ranges::sort(sorted, {}, &std::pair<std::uint64_t, IdEntry>::first);
    std::string run;
    for (std::size_t i = 0; i < sorted.size();) {
        const std::uint64_t first = sorted[i].first;
        run.clear();
        for (; i < sorted.size() && sorted[i].first == first + run.size() / sizeof(IdEntry); ++i)
            run.append(bytes_of(sorted[i].second));
        TRY_DO(kernel::pwrite_all(fd_.get(), run, place_of(first)));
    }
    owed_.clear();
    return {};
}

Result<bool> IdTable::walk(
    std::uint64_t end, const std::function<bool(std::uint64_t, const IdEntry&)>& visit)
{
    TRY(const bool sound, walk_file(end, visit));
    if (!sound) return false;
    for (const auto& [id, entry] : owed_)
        if (id < end && entry.at && !visit(id, entry)) return false;
    return true;
}

Result<bool> IdTable::walk_file(
    std::uint64_t end, const std::function<bool(std::uint64_t, const IdEntry&)>& visit)
{
    if (!fd_) return true;
    constexpr std::size_t at_once = 65536;
    std::vector<IdEntry> entries(std::min<std::uint64_t>(at_once, end));
    for (std::uint64_t first = 0; first < end; first += entries.size()) {
        // Holes are skipped by the file system's knowledge of them.
        const off_t data = ::lseek(fd_.get(), place_of(first), SEEK_DATA);
        if (data < 0) return true;
        const auto known = (static_cast<std::uint64_t>(data) - sizeof(IdsHeader)) / sizeof(IdEntry);
        if (static_cast<std::size_t>(data) > sizeof(IdsHeader) && known > first) first = known;
        if (first >= end) return true;
        const auto wanted = std::min<std::uint64_t>(entries.size(), end - first);
        TRY(const auto got,
            kernel::pread_full(
                fd_.get(),
                {reinterpret_cast<char*>(entries.data()), wanted * sizeof(IdEntry)},
                place_of(first)));
        for (std::size_t i = 0; i < got / sizeof(IdEntry); ++i) {
            const IdEntry& entry = entries[i];
            if (entry.hole() || (!owed_.empty() && owed_.contains(first + i))) continue;
            if (entry.check != entry.expected_check(first + i)) return false;
            if (entry.at && !visit(first + i, entry)) return false;
        }
        if (got < wanted * sizeof(IdEntry)) return true;
    }
    return true;
}

Result<std::vector<std::pair<std::uint64_t, IdEntry>>> IdTable::page(
    std::uint64_t from, std::uint64_t end)
{
    std::vector<std::pair<std::uint64_t, IdEntry>> living;
    std::array<IdEntry, 512> entries{};
    const auto wanted = std::min<std::uint64_t>(entries.size(), end > from ? end - from : 0);
    TRY(const auto got, read_entries(std::span{entries}.first(wanted), from));
    for (std::size_t i = 0; i < wanted; ++i) {
        IdEntry entry = i < got ? entries[i] : IdEntry{};
        if (!owed_.empty())
            if (const auto owed = owed_.find(from + i); owed != owed_.end()) entry = owed->second;
        if (entry.at && entry.check == entry.expected_check(from + i))
            living.emplace_back(from + i, entry);
    }
    return living;
}

Result<> IdTable::cut(std::uint64_t end)
{
    if (!fd_) return {};
    const off_t size = ::lseek(fd_.get(), 0, SEEK_END);
    if (size <= place_of(end)) return {};
    const int err = error_of(::ftruncate(fd_.get(), place_of(end)));
    if (err) return fail_errno(err, "cut " + file_.string());
    return {};
}

Result<> cover_ids(const std::filesystem::path& file, std::uint64_t uid, std::uint32_t segment)
{
    FP("zdb.ids.cover");
    TRY(const auto fd, kernel::open_file(file.string(), O_RDWR));
    int err = error_of(::fdatasync(fd.get()));
    if (err) return fail_errno(err, "fdatasync " + file.string());
    TRY_DO(write_header(fd.get(), uid, segment));
    err = error_of(::fdatasync(fd.get()));
    if (err) return fail_errno(err, "fdatasync " + file.string());
    return {};
}

}  // namespace znode::zdb
