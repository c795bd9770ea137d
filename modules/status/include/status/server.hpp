#pragma once

#include <memory>
#include <string>

#include "base/log.hpp"
#include "status/source.hpp"

namespace znode::status {

struct ServerOptions {
    std::string socket = "/run/znode/status.sock";
    /// Members may look at everything but logs; root may change things. Ignored where the group
    /// does not exist: then only root gets in.
    std::string group = "znode";
    /// "ADDRESS:PORT" for /metrics and /healthz and nothing else; "" is off.
    std::string metrics_listen = {};
};

/// The local server of the agent. Lives on one loop; must be stopped before it is destroyed.
class LocalServer {
public:
    virtual ~LocalServer() = default;

    /// Makes the socket (0660) and begins to answer. A socket left by a dead agent is replaced;
    /// Errc::exists when a living one answers on it.
    virtual Result<> start() = 0;

    /// Why `metrics_listen` is not served though the socket is; "" without a problem.
    virtual const std::string& metrics_problem() const = 0;

    /// Ends followers at once, lets short requests end, removes the socket if it made one.
    virtual Task<> stop() = 0;

    /// The port of `metrics_listen`, 0 without one.
    virtual unsigned short metrics_port() const = 0;
};

/// `loop` and `source` must outlive the server.
std::unique_ptr<LocalServer> make_local_server(
    asio::io_context& loop, Source& source, ServerOptions options, Log log);

}  // namespace znode::status
