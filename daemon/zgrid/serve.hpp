#pragma once

#include "context.hpp"

namespace znode::zgrid {

/// `zgrid serve`: the private explorer and hub, until SIGTERM or SIGINT.
void add_serve(CLI::App& app, Context& context);

}  // namespace znode::zgrid
