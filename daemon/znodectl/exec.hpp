#pragma once

#include <string>
#include <vector>

#include "call.hpp"

namespace znode::ctl {

/// Becomes `command` inside of a running container, with the confinement of its own program and on
/// our terminal if we have one. Needs root, and no agent. Returns only when it cannot be: the exit
/// code, once the reason is printed; else the command's own exit code is ours.
int exec_in_container(
    const std::string& socket, const std::string& gwid, const std::vector<std::string>& command);

}  // namespace znode::ctl
