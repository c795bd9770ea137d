#pragma once

#include <fcntl.h>

#include <utility>

#include "base/result.hpp"

namespace znode::kernel {

/// The only owner of a file descriptor: closed when the object dies, empty after a move.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) noexcept : fd_{fd} {}
    Fd(Fd&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    Fd& operator=(Fd&& other) noexcept
    {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd() { close(); }

    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Hands the descriptor to somebody else.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void close() noexcept;
    /// A second descriptor (CLOEXEC) for the same open file.
    [[nodiscard]] Result<Fd> duplicate() const;

private:
    int fd_ = -1;
};

/// open(2) with O_CLOEXEC; the message names the path.
[[nodiscard]] Result<Fd> open_file(const char* path, int flags, mode_t mode = 0);
inline Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0)
{
    return open_file(path.c_str(), flags, mode);
}

/// Calls again while the call is interrupted by a signal.
template <class Call>
auto retry_eintr(Call call)
{
    for (;;) {
        const auto returned = call();
        if (returned >= 0 || errno != EINTR) return returned;
    }
}

}  // namespace znode::kernel
