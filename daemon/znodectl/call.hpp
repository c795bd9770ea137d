#pragma once

#include <string>

#include "http/client.hpp"
#include "status/json.hpp"
#include "status/view.hpp"

namespace znode::ctl {

/// Exit codes of znodectl.
enum Exit : int { good = 0, failed = 1, usage = 2, not_reachable = 3 };

/// What every command is given.
struct Context {
    asio::io_context* loop = nullptr;
    std::string socket = "/run/znode/status.sock";
    bool json = false;

    /// Of the terminal that stdout is; 80 columns and no colours in a pipe.
    status::Look look() const;
};

/// Why a call failed, and what to exit with.
struct Trouble {
    int exit_code = failed;
    std::string message;
};
template <class T = void>
using Outcome = tl::expected<T, Trouble>;

/// One request to the agent. Anything but 2xx becomes the sentence that the agent gave.
Task<Outcome<http::Reply>> call(Context context, http::Request request);

/// The same, its body piece by piece; without a deadline.
Task<Outcome<>> stream(Context context, http::Request request, http::ChunkSink sink);

/// Prints "znodectl: message" and gives the exit code.
int report(const Trouble& trouble);

/// Writes to stdout; false when nobody reads any more.
bool print(std::string_view text);

/// Now, for ages and the console's clock.
std::int64_t now_unix_ns();

}  // namespace znode::ctl
