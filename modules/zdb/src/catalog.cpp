#include "catalog.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/failpoint.hpp"
#include "kernel/files.hpp"

namespace znode::zdb {
namespace {

constexpr std::string_view magic{"ZNODECAT\1\0\0\0\0\0\0\0", 16};
constexpr std::size_t body_limit = 1024;

template <class T>
void append_value(std::string& to, const T& value)
{
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Takes values off the front; says so when there are too few bytes.
struct Reader {
    std::string_view rest;
    bool good = true;

    template <class T>
    T take()
    {
        T value{};
        if (rest.size() < sizeof value) {
            good = false;
            return value;
        }
        rest.copy(reinterpret_cast<char*>(&value), sizeof value);
        rest.remove_prefix(sizeof value);
        return value;
    }
    std::string take_text()
    {
        const std::size_t size = take<std::uint16_t>();
        if (rest.size() < size) {
            good = false;
            return {};
        }
        std::string text{rest.substr(0, size)};
        rest.remove_prefix(size);
        return text;
    }
};

std::string encode(const std::string& name, const CatalogEntry& entry)
{
    const Settings& settings = entry.settings;
    std::string body;
    body.reserve(256);
    append_value(body, static_cast<std::uint8_t>(entry.removed ? 2 : 1));
    append_value(body, static_cast<std::uint8_t>(settings.mode));
    append_value(
        body,
        static_cast<std::uint16_t>(
            (settings.public_access ? 1U : 0U) | (settings.worm ? 2U : 0U) |
            (settings.locked ? 4U : 0U) | (settings.frozen ? 8U : 0U) |
            (entry.owes_gap ? 16U : 0U)));
    append_value(body, entry.uid);
    append_value(body, settings.maxsize);
    append_value(body, entry.first_id);
    append_value(body, entry.hash_key);
    append_value(body, static_cast<std::uint16_t>(name.size()));
    body += name;
    append_value(body, static_cast<std::uint16_t>(settings.password.reveal().size()));
    body += settings.password.reveal();

    std::string record;
    record.reserve(body.size() + 8);
    append_value(record, static_cast<std::uint32_t>(body.size()));
    append_value(record, Check{}.add(body.data(), body.size()).value());
    record += body;
    wipe(body);
    return record;
}

std::optional<std::pair<std::string, CatalogEntry>> decode(std::string_view body)
{
    Reader from{body};
    CatalogEntry entry;
    const auto kind = from.take<std::uint8_t>();
    entry.settings.mode = from.take<std::uint8_t>() == 1 ? Mode::sequential : Mode::user;
    const auto flags = from.take<std::uint16_t>();
    entry.settings.public_access = (flags & 1U) != 0;
    entry.settings.worm = (flags & 2U) != 0;
    entry.settings.locked = (flags & 4U) != 0;
    entry.settings.frozen = (flags & 8U) != 0;
    entry.owes_gap = (flags & 16U) != 0;
    entry.uid = from.take<std::uint64_t>();
    entry.settings.maxsize = from.take<std::uint64_t>();
    entry.first_id = from.take<std::uint64_t>();
    entry.hash_key = from.take<HashKey>();
    auto name = from.take_text();
    entry.settings.password = Secret{from.take_text()};
    entry.removed = kind == 2;
    if (!from.good || (kind != 1 && kind != 2)) return std::nullopt;
    return std::pair{std::move(name), std::move(entry)};
}

}  // namespace

std::string folder_of(std::uint64_t uid)
{
    std::string text(16, '0');
    static constexpr std::string_view digits = "0123456789abcdef";
    for (std::size_t i = 16; i-- > 0; uid >>= 4U) text[i] = digits[uid & 15U];
    return text;
}

Result<> Catalog::open()
{
    auto content = kernel::read_file(file_, std::size_t{1} << 30U);
    if (!content && content.error().code != Errc::not_found)
        return tl::unexpected(std::move(content).error());
    // An empty one is no better than none: it was never written like that.
    complete_ = content && !content->empty();
    if (!complete_) return {};
    std::string_view rest{*content};
    if (!rest.starts_with(magic))
        return fail(
            Errc::corrupt, file_.string() + ": not a catalog of znode-zdb, or a damaged one");
    rest.remove_prefix(magic.size());
    read_records(rest);
    size_ = content->size() - rest.size();
    has_tail_ = !rest.empty();
    wipe(*content);
    TRY(fd_, kernel::open_file(file_.string(), O_RDWR));
    return {};
}

Result<> Catalog::settle()
{
    if (!fd_) return rewrite();
    if (complete_ && !bloated()) return {};
    if (!complete_) {
        TRY(auto content, kernel::read_file(file_, std::size_t{1} << 30U));
        const auto kept = kernel::write_file_atomically(damaged_copy(), content, 0600);
        wipe(content);
        // Without a copy what is damaged stays where it is as long as it can.
        if (!kept) return {};
    }
    (void)rewrite();  // A full disk: the old file goes on from the end of its last whole record.
    return {};
}

/// Leaves in `rest` what cannot be told apart any more.
void Catalog::read_records(std::string_view& rest)
{
    while (!rest.empty()) {
        Reader head{rest};
        const auto size = head.take<std::uint32_t>();
        const auto check = head.take<std::uint32_t>();
        if (!head.good || size > body_limit || head.rest.size() < size) {
            complete_ = false;
            return;
        }
        const auto body = head.rest.substr(0, size);
        rest = head.rest.substr(size);
        // A damaged record loses one change; what follows it is still good.
        auto entry =
            Check{}.add(body.data(), body.size()).value() == check ? decode(body) : std::nullopt;
        if (!entry) {
            complete_ = false;
            continue;
        }
        highest_uid_ = std::max(highest_uid_, entry->second.uid);
        entries_.insert_or_assign(std::move(entry->first), std::move(entry->second));
    }
}

std::filesystem::path Catalog::damaged_copy() const
{
    auto copy = file_;
    copy += ".damaged";
    return copy;
}

bool Catalog::bloated() const noexcept
{
    return size_ > std::max<std::uint64_t>(65536, rewrite_above_) &&
           size_ > entries_.size() * 4 * 320;
}

Result<> Catalog::rewrite()
{
    FP("zdb.catalog.rewrite");
    std::string content{magic};
    for (const auto& [name, entry] : entries_) content += encode(name, entry);
    auto written = kernel::write_file_atomically(file_, content, 0600);
    const std::size_t length = content.size();
    wipe(content);
    // A failure after the rename leaves the new file in place: the old one is nobody's then.
    if (!written && !moved_away()) {
        rewrite_above_ = size_ * 2;  // Not at each change of a disk that is full.
        return written;
    }
    rewrite_above_ = 0;
    has_tail_ = false;
    size_ = length;
    fd_.close();
    TRY(fd_, kernel::open_file(file_.string(), O_RDWR));
    return written;
}

/// Whether the path leads to another file than the open one.
bool Catalog::moved_away() const
{
    struct stat open{};
    struct stat there{};
    return fd_ && ::fstat(fd_.get(), &open) == 0 && ::stat(file_.c_str(), &there) == 0 &&
           (open.st_ino != there.st_ino || open.st_dev != there.st_dev);
}

Result<> Catalog::put(const std::string& name, const CatalogEntry& entry)
{
    FP("zdb.catalog.put");
    if (!fd_) {
        TRY(fd_, kernel::open_file(file_.string(), O_RDWR));
    }
    if (has_tail_) {
        // Records behind the damage are older than this one, and must never be read after it.
        const int err = error_of(::ftruncate(fd_.get(), static_cast<off_t>(size_)));
        if (err) return fail_errno(err, "cut " + file_.string());
        has_tail_ = false;
    }
    auto record = encode(name, entry);
    auto put = kernel::pwrite_all(fd_.get(), record, static_cast<off_t>(size_));
    const std::size_t length = record.size();
    wipe(record);
    if (!put) {
        // A half-written record would hide the ones after it.
        (void)::ftruncate(fd_.get(), static_cast<off_t>(size_));
        return put;
    }
    size_ += length;
    highest_uid_ = std::max(highest_uid_, entry.uid);
    entries_.insert_or_assign(name, entry);
    if (bloated()) (void)rewrite();  // The record is there already: a longer file is no failure.
    return {};
}

Result<> Catalog::sync()
{
    FP("zdb.catalog.sync");
    if (!fd_) {
        TRY(fd_, kernel::open_file(file_.string(), O_RDWR));
    }
    const int err = error_of(::fdatasync(fd_.get()));
    if (err) return fail_errno(err, "fdatasync " + file_.string());
    return {};
}

const CatalogEntry* Catalog::find(const std::string& name) const
{
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace znode::zdb
