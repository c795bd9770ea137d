#pragma once

#include <string>

#include "kernel/fd.hpp"

namespace znode::zdb {

/// A socket of mode 0600, for who reaches it may administrate. A stale file is replaced;
/// Errc::exists when a server answers there.
Result<kernel::Fd> listen_unix(const std::string& path);

/// "::" serves IPv4 as well, and IPv4 alone on a kernel without IPv6.
Result<kernel::Fd> listen_tcp(const std::string& address, unsigned short port);
unsigned short port_of(const kernel::Fd& listener) noexcept;

/// Replies leave at once, and who is gone is noticed.
void tune_tcp(const kernel::Fd& client) noexcept;
/// Says that there are too many.
void turn_away(const kernel::Fd& client) noexcept;
/// Without a free descriptor a client waits for ever; with that of `spare` it learns of it.
void refuse_one(const kernel::Fd& listener, kernel::Fd& spare);

}  // namespace znode::zdb
