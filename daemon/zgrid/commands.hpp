#pragma once

#include <CLI/CLI.hpp>

#include "context.hpp"

namespace znode::zgrid {

// One file per command, `<name>.cpp`. Each adds its subcommand with a callback that sets
// `context.exit_code`; `context` outlives the callbacks.

void add_user(CLI::App& app, Context& context);
void add_farm(CLI::App& app, Context& context);
void add_node(CLI::App& app, Context& context);
void add_gateway(CLI::App& app, Context& context);
void add_pool(CLI::App& app, Context& context);
void add_network(CLI::App& app, Context& context);
void add_deploy(CLI::App& app, Context& context);
void add_workload(CLI::App& app, Context& context);
void add_reservation(CLI::App& app, Context& context);
void add_hub(CLI::App& app, Context& context);

}  // namespace znode::zgrid
