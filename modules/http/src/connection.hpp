#pragma once

#include <memory>
#include <string>

#include "http/server.hpp"
#include "shares.hpp"

namespace znode::http {

/// What a connection shares with its server. Outlives all connections.
struct ConnectionContext {
    Handler handler;
    HeadCheck check;  ///< May be empty.
    ServerLimits limits;
    ServerCounters counters;
    bool stopping = false;
    Shares shares;  ///< Of requests that are being received or answered, and of answers.
};

/// One connection's place in the server's list.
struct ConnectionState {
    std::unique_ptr<Stream> stream;
    bool idle = true;  ///< Waits for the first byte of a request: may be cut at any time.
};

/// Serves requests one after the other until the peer goes, breaks a rule, or the server stops.
Task<> serve_connection(ConnectionContext* context, ConnectionState* state);

}  // namespace znode::http
