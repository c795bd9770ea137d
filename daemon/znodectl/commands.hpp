#pragma once

#include <CLI/CLI.hpp>

#include "call.hpp"

namespace znode::ctl {

/// Adds all commands. The chosen one leaves its exit code in `exit_code`; both references outlive
/// the parsing.
void add_commands(CLI::App& app, Context& context, int& exit_code);

/// The full-screen view, until q, Ctrl-C or SIGTERM.
Task<int> console(Context context);

}  // namespace znode::ctl
