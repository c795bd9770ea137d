#pragma once

#include <string_view>

namespace znode::agent {

/// Tells the service manager something ("READY=1", "STATUS=…", several lines at once). Does nothing
/// when nobody listens (NOTIFY_SOCKET is unset).
void notify_manager(std::string_view lines);

/// How often the service manager wants WATCHDOG=1, in microseconds; 0 for never.
unsigned long long watchdog_interval();

}  // namespace znode::agent
