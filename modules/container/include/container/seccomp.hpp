#pragma once

#include <string>

#include "base/result.hpp"

namespace znode::container {

/// Compiles the filter of all containers to the kernel's own form (an array of `sock_filter`), so
/// that the runtime need not do so at each start. About 10 ms; the bytes depend on the machine's
/// architecture only.
[[nodiscard]] Result<std::string> compile_seccomp_filter();

}  // namespace znode::container
