#pragma once

#include <memory>
#include <string>

#include "http/server.hpp"

namespace znode::http {

/// What a connection shares with its server. Outlives all connections.
struct ConnectionContext {
    Handler handler;
    HeadCheck check;  ///< May be empty.
    ServerLimits limits;
    ServerCounters counters;
    bool stopping = false;
    std::uint64_t body_bytes = 0;        ///< Of all requests that are being received or answered.
    std::uint64_t small_body_bytes = 0;  ///< The same of those with small bodies.
};

/// So much is held of bodies, all connections together: who sends the first large one beyond it is
/// asked to come again. Small ones have a share of their own, which large ones can't use up.
inline constexpr std::uint64_t most_body_bytes = std::uint64_t{256} << 20U;
inline constexpr std::uint64_t most_small_body_bytes = std::uint64_t{128} << 20U;
inline constexpr std::uint64_t small_body = std::uint64_t{256} << 10U;

/// One connection's place in the server's list.
struct ConnectionState {
    std::unique_ptr<Stream> stream;
    bool idle = true;  ///< Waits for the first byte of a request: may be cut at any time.
};

/// Serves requests one after the other until the peer goes, breaks a rule, or the server stops.
Task<> serve_connection(ConnectionContext* context, ConnectionState* state);

}  // namespace znode::http
