#pragma once

#include <sys/uio.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "kernel/fd.hpp"

namespace znode::flist {

/// What one FUSE server leaves to the next: the INIT request, and every request that was read from
/// the kernel and not yet answered. Kept in a mapped file, so that it is right at any instant at
/// which the server dies: a request is read straight into a slot, and the slot is in use exactly
/// while the `len` of the request in it is not zero. It is cleared after the answer; a server
/// killed between both makes the next one answer again, which the kernel refuses without harm.
///
/// A slot per thread is enough, for each thread answers what it read before it reads again.
class Takeover {
public:
    /// Empty path: memory of this process only. The file is ours for as long as we live:
    /// Errc::exists, with the pid, when another process serves with it.
    static Result<Takeover> open(const std::filesystem::path& file);
    Takeover(Takeover&& other) noexcept;
    Takeover& operator=(Takeover&&) = delete;
    ~Takeover();

    /// The INIT of the first server, or empty.
    std::string init() const;
    void keep_init(std::string_view request);

    /// Reads the next request: first those left behind, then from the kernel. As read(2).
    ssize_t read(int fuse, void* into, std::size_t size);
    /// Answers. As writev(2).
    ssize_t write(int fuse, const iovec* parts, int count);
    /// How many requests an earlier server left behind.
    std::size_t left_behind() const noexcept { return left_behind_; }
    /// Between these two, answers go nowhere: the kernel has that of INIT since long.
    void mute() noexcept { muted_ = true; }
    void unmute() noexcept { muted_ = false; }

private:
    struct Page;
    struct Slot;

    Takeover() = default;
    Slot* take_slot(bool& redo);
    void give_back(Slot* slot);
    void give_back_current();

    Page* page_ = nullptr;
    kernel::Fd file_;  // Its record lock says who serves.
    std::mutex mutex_;
    std::vector<Slot*> redo_;  // Guarded by mutex_.
    std::vector<Slot*> free_;  // Guarded by mutex_.
    std::size_t left_behind_ = 0;
    std::atomic<bool> muted_{false};
};

}  // namespace znode::flist
