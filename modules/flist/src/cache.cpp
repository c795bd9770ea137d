#include "flist/cache.hpp"

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "flist/block.hpp"
#include "flist/tree.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"

namespace znode::flist {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view temporary = "tmp.";
// Reading refreshes the time of use, but not more often: an inode written per read costs more
// than an LRU that is a few hours off.
constexpr time_t refresh_after = time_t{6} * 3600;

/// How much a process may write between two looks at the whole folder.
constexpr std::uint64_t share_of(std::uint64_t limit)
{
    return std::min(limit / 20, std::uint64_t{64} << 20U);
}

}  // namespace

Result<std::unique_ptr<BlockCache>> BlockCache::open(fs::path folder, std::uint64_t limit)
{
    TRY_DO(kernel::make_folders(folder, 0700));
    auto cache = std::unique_ptr<BlockCache>{new BlockCache{std::move(folder), limit}};
    // The first block kept is a look at the folder, for processes that end before they wrote their
    // share would fill it together. Not now: a mount waits for us.
    cache->written_ = share_of(limit);
    // Halves of blocks whose writer died; a living writer renames within the second.
    std::error_code ec;
    for (const auto& entry : fs::directory_iterator{cache->folder_, ec}) {
        if (!entry.path().filename().string().starts_with(temporary)) continue;
        const auto age = fs::file_time_type::clock::now() - entry.last_write_time(ec);
        if (age > std::chrono::hours{1}) fs::remove(entry.path(), ec);
    }
    return cache;
}

fs::path BlockCache::path(std::string_view key) const
{
    const auto name = to_hex(key);
    return folder_ / name.substr(0, 2) / name;
}

std::optional<std::string> BlockCache::get(std::string_view key, std::size_t size)
{
    const auto file = path(key);
    const kernel::Fd fd{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    if (!fd) return std::nullopt;

    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return std::nullopt;
    std::string plain;
    if (status.st_size >= 0 && static_cast<std::uint64_t>(status.st_size) <= chunk_size) {
        plain.resize(static_cast<std::size_t>(status.st_size));
        const auto got = kernel::pread_full(fd.get(), plain, 0);
        if (!got) return std::nullopt;
        plain.resize(*got);
    }
    // Whether the file is right is between it and its name: a flist that lies about the size must
    // not cost others a good block.
    if (blake2b(plain, key.size()) != key) {
        ::unlink(file.c_str());
        return std::nullopt;
    }
    if (plain.size() != size) return std::nullopt;
    if (::time(nullptr) - status.st_mtime > refresh_after) ::futimens(fd.get(), nullptr);
    return plain;
}

Result<> BlockCache::put(std::string_view key, std::string_view plain)
{
    const auto file = path(key);
    const auto aside = folder_ / (std::string{temporary} + std::to_string(::getpid()) + "." +
                                  std::to_string(counter_.fetch_add(1)));
    // Not synced: what a power failure tears does not hash to its name and is fetched again.
    TRY(const auto fd, kernel::open_file(aside.string(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    auto kept = kernel::write_all(fd.get(), plain);
    if (kept) {
        FP("flist.cache.rename");
        int err = error_of(::rename(aside.c_str(), file.c_str()));
        if (err == ENOENT) {
            ::mkdir(file.parent_path().c_str(), 0700);
            err = error_of(::rename(aside.c_str(), file.c_str()));
        }
        if (err) kept = fail_errno(err, "keep block in " + folder_.string());
    }
    if (!kept) {
        ::unlink(aside.c_str());
        return kept;
    }
    // The whole folder is looked at once per share: the overshoot stays small.
    if (limit_ != 0 && written_.fetch_add(plain.size()) + plain.size() > share_of(limit_)) {
        written_ = 0;
        return trim();
    }
    return {};
}

Result<> BlockCache::trim()
{
    TRY(const auto lock, kernel::open_file((folder_ / "lock").string(), O_RDWR | O_CREAT, 0600));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) < 0) return {};

    struct Entry {
        time_t used;
        std::uint64_t bytes;
        fs::path path;
    };
    std::vector<Entry> entries;
    std::uint64_t total = 0;
    std::error_code ec;
    for (fs::recursive_directory_iterator at{folder_, ec}, end; at != end; at.increment(ec)) {
        struct stat status{};
        if (ec || ::lstat(at->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
        if (at.depth() == 0) continue;  // The lock and what is being written.
        const auto bytes = static_cast<std::uint64_t>(status.st_blocks) * 512;
        total += bytes;
        entries.push_back({status.st_mtime, bytes, at->path()});
    }
    if (limit_ == 0 || total <= limit_) return {};

    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return a.used < b.used;
    });
    for (const auto& entry : entries) {
        if (total <= limit_ / 10 * 9) break;
        if (::unlink(entry.path.c_str()) == 0) total -= entry.bytes;
    }
    return {};
}

}  // namespace znode::flist
