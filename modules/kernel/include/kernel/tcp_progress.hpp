#pragma once

#include <cstdint>

#include "base/result.hpp"

namespace znode::kernel {

/// How far a TCP connection is, as the kernel knows it: true also when the process that used the
/// connection died between a system call and its own note of it.
struct TcpProgress {
    std::uint64_t socket = 0;   ///< Unique among all sockets since the machine started, never 0.
    std::uint64_t written = 0;  ///< Bytes that were written to it, wherever they are by now.
    std::uint64_t read = 0;     ///< Bytes that were read from it.

    bool operator==(const TcpProgress&) const = default;
};

/// Both counts begin at a number of the kernel's choice, 0 or 1, and are off by one once the peer
/// has ended its side: only differences mean something. Errc::unsupported for what is no connected
/// TCP socket.
[[nodiscard]] Result<TcpProgress> tcp_progress(int socket);

}  // namespace znode::kernel
