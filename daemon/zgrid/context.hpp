#pragma once

#include <filesystem>
#include <string>

#include "async/task.hpp"

namespace CLI {
class App;
}

namespace znode::zgrid {

/// Exit codes of zgrid.
enum Exit : int { good = 0, failed = 1, usage = 2 };

/// What every command is given. Filled by the flags and ZGRID_EXPLORER, ZGRID_IDENTITY before a
/// command's callback runs; outlives all callbacks.
struct Context {
    asio::io_context* loop = nullptr;
    std::string explorer = "http://127.0.0.1:8080";
    std::filesystem::path identity;  ///< User seed file, format 1.1.0.
    std::string era = "auto";        ///< Of the explorer, or "pools", "reservations".
    bool json = false;
    int exit_code = good;  ///< Set by the command's callback.
};

/// `$XDG_CONFIG_HOME/zgrid/identity.json`, or below ~/.config.
std::filesystem::path default_identity();

/// Prints "zgrid: message" to stderr and sets the exit code.
void report(Context& context, const Error& error, int exit_code = failed);

/// Runs a command's task on the loop; a failure is reported.
void execute(Context& context, Task<Result<>> task);

// Each command adds itself; one file per command, of its name.
void add_commands(CLI::App& app, Context& context);

}  // namespace znode::zgrid
