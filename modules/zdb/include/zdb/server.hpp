#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "base/secret.hpp"
#include "zdb/engine.hpp"

namespace znode::zdb {

struct ServerConfig {
    std::string address = "::";
    unsigned short port = 9900;  ///< 0: any free one.
    bool tcp = true;
    std::string socket;  ///< Path of the unix socket, empty for none.
    /// Empty: administration only through the unix socket.
    Secret admin_password;
    bool protect = false;  ///< `default` is read-only without the admin password.
    std::uint64_t default_maxsize = 0;
    bool delete_again_ok = false;  ///< DEL of a deleted id answers OK.
    /// TCP clients at a time. A further one takes the place of the one that has been silent for
    /// longest, or is told so. The unix socket is always open.
    std::size_t client_limit = 4096;
    /// Who was silent for less keeps its place.
    std::chrono::milliseconds silence_limit = std::chrono::seconds{10};
    /// Memory for requests and replies of all TCP clients; beyond it those are closed who
    /// have held some for longest without ending a request.
    std::size_t buffer_limit = std::size_t{256} << 20U;
    /// How long a TCP client may leave its replies untaken, or a request unfinished.
    std::chrono::milliseconds stall_limit = std::chrono::seconds{60};
};

/// Speaks the 0-db protocol for one engine, on the calling thread, with its own event loop: the
/// replies of one turn leave after the one commit of all its writes.
///
/// Clients cost bounded memory, each and together, and one that does not read is closed. `engine`
/// must outlive the server.
class Server {
public:
    virtual ~Server() = default;
    /// The TCP port it listens on, 0 without TCP.
    virtual unsigned short port() const noexcept = 0;
    /// Serves until `stop`. What was acknowledged is committed when it returns.
    virtual Result<> run() = 0;
    /// Asks `run` to end. Callable from any thread and from signal handlers.
    virtual void stop() noexcept = 0;
};

/// Binds and listens. Errc::exists when somebody serves that socket or port already.
Result<std::unique_ptr<Server>> make_server(Engine& engine, ServerConfig config, Log log);

}  // namespace znode::zdb
