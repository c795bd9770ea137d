#include "reserve.hpp"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include <sodium.h>

#include "kernel/files.hpp"

namespace znode::zdb {

void Reserve::open(std::filesystem::path file, std::uint64_t size)
{
    file_ = std::move(file);
    size_ = size;
    if (size_ == 0) return;
    std::error_code ec;
    missing_ = std::filesystem::file_size(file_, ec) != size_ && !make();
    if (missing_) look_for_room();
}

bool Reserve::spend(std::uint64_t bytes)
{
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
}

void Reserve::refund(std::uint64_t bytes, std::uint64_t round)
{
    if (!missing_ || round != round_ || bytes == 0) return;
    left_ += bytes;
    ++chances_;
}

void Reserve::gain(std::uint64_t bytes)
{
    if (!missing_) return;
    left_ += bytes;
    ++chances_;
}

bool Reserve::make()
{
    tried_ = std::chrono::steady_clock::now();
    auto fd = kernel::open_file(file_.string(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!fd) return false;
    // Nothing that a file system could make smaller.
    std::string piece(std::size_t{1} << 18U, '\0');
    for (std::uint64_t at = 0; at < size_; at += piece.size()) {
        piece.resize(std::min<std::uint64_t>(piece.size(), size_ - at));
        ::randombytes_buf(piece.data(), piece.size());
        if (kernel::pwrite_all(fd->get(), piece, static_cast<off_t>(at))) continue;
        fd->close();
        (void)kernel::remove_file(file_);  // Tried again later.
        return false;
    }
    return true;
}

bool Reserve::give_up()
{
    if (size_ == 0 || missing_) return false;
    missing_ = true;
    ++round_;
    left_ = 0;
    tried_ = std::chrono::steady_clock::now();
    if (!kernel::remove_file(file_)) return false;
    left_ = size_ - size_ / 4;
    ++chances_;
    // Some file systems count what is freed only with their next transaction.
    const auto folder = kernel::open_file(file_.parent_path().string(), O_RDONLY | O_DIRECTORY);
    if (folder) (void)::syncfs(folder->get());
    return true;
}

bool Reserve::still_missing()
{
    if (!missing_ || std::chrono::steady_clock::now() - tried_ <= std::chrono::seconds{1})
        return missing_;
    missing_ = !make();
    if (!missing_) ++chances_;
    return missing_;
}

/// Too little for the reserve is something to begin with. Once only: quotas may leave less than
/// this says, and what was spent would be counted again.
void Reserve::look_for_room()
{
    struct statvfs disk{};
    if (::statvfs(file_.parent_path().c_str(), &disk) != 0) return;
    const auto free = std::min(std::uint64_t{disk.f_bavail} * disk.f_frsize, size_);
    const auto room = free - std::min(free, size_ / 4);
    if (room <= left_) return;
    left_ = room;
    ++chances_;
}

}  // namespace znode::zdb
