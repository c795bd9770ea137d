#include "kernel/fd.hpp"

#include <unistd.h>

namespace znode::kernel {

void Fd::close() noexcept
{
    // Forgotten first: on Linux the number is free again even when close reports EINTR or EIO.
    if (const int fd = std::exchange(fd_, -1); fd >= 0) ::close(fd);
}

Result<Fd> Fd::duplicate() const
{
    Fd copy{::fcntl(fd_, F_DUPFD_CLOEXEC, 0)};
    const int err = error_of(copy.get());
    if (err) return fail_errno(err, "duplicate descriptor");
    return copy;
}

Result<Fd> open_file(const char* path, int flags, mode_t mode)
{
    Fd fd{static_cast<int>(retry_eintr([&] { return ::open(path, flags | O_CLOEXEC, mode); }))};
    const int err = error_of(fd.get());
    if (err) return fail_errno(err, std::string{"open "} + path);
    return fd;
}

}  // namespace znode::kernel
