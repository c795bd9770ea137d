#pragma once

#include <string>

#include "async/stream.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::redis {

/// Who to log on to, and as whom.
struct Server {
    Endpoint endpoint = {};
    std::string user = {};  ///< Empty: the default user.
    Secret password = {};   ///< Empty: none.
    int database = 0;

    bool operator==(const Server&) const = default;
};

/// A server and a channel on it, out of `redis://[[user]:password@]host[:port]/channel`, or
/// `rediss://` for TLS. The port is 6379 when absent; IPv6 addresses stand in brackets; what
/// follows `?` or `#` is ignored; user and password may be percent-encoded, the channel is taken as
/// it is.
struct Target {
    Server server = {};
    std::string channel = {};

    bool operator==(const Target&) const = default;
};

/// Errc::invalid with a sentence that never holds the URL itself.
[[nodiscard]] Result<Target> parse_target(const Secret& url);

}  // namespace znode::redis
