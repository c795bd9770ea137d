#pragma once

#include <memory>

#include "context.hpp"
#include "explorer/customer_api.hpp"
#include "state.hpp"

namespace znode::zgrid {

/// One command's conversation with the explorer.
struct Session {
    identity::Identity self;
    std::unique_ptr<http::Client> client;
    std::unique_ptr<explorer::CustomerApi> api;

    /// The user's number. Only in sessions opened with `Who::user`.
    std::int64_t user() const { return self.user_id().value_or(0); }
};

/// Who asks: anybody (lists), somebody with a key, or a user that the explorer knows.
enum class Who { anybody, key, user };

/// Loads the identity and gets ready; asks the explorer for its era unless that was given. The
/// session outlives what its API gives out. Errc::not_found says how to make an identity.
Task<Result<std::unique_ptr<Session>>> open_session(const Context* context, Who who);

/// The state to be changed. Waits for another zgrid that is at it, but not for ever.
Task<Result<State>> open_state(const Context* context, const Session* session);

/// Seconds since 1970.
std::int64_t unix_now();
/// Whether the node gave a sign of life within the last ten minutes.
bool is_up(const grid::Node& node, std::int64_t now);

/// Prints to stdout.
void print(std::string_view text);
/// Columns of the terminal, 80 in a pipe.
std::size_t terminal_width();
bool terminal_has_colors();

}  // namespace znode::zgrid
