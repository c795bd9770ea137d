#pragma once

#include <CLI/CLI.hpp>

#include "context.hpp"

namespace znode::zgrid {

// One file per command, `<name>.cpp`. Each adds its subcommand with a callback that sets
// `context.exit_code`; `context` outlives the callbacks.

}  // namespace znode::zgrid
