#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "async/stream.hpp"
#include "base/log.hpp"
#include "http/message.hpp"

namespace znode::http {

/// Who sent a request.
struct Peer {
    std::string address = {};                         ///< "" on a unix socket.
    std::optional<PeerCredentials> credentials = {};  ///< Unix sockets only.
};

/// Answers a request. Both references live until the answer has been sent. It is the handler that
/// decides how long it may take; it is cancelled when the server stops.
using Handler = std::function<Task<Reply>(const Request&, const Peer&)>;

/// Looks at a request whose body has not been read (its `body` is empty, or a piece): an answer
/// refuses it, and the body is never received. Asked only of requests whose body did not come along
/// with the head; the handler checks as if nobody had looked. The references live as for Handler.
using HeadCheck = std::function<Task<std::optional<Reply>>(const Request&, const Peer&)>;

struct ServerLimits {
    std::uint32_t header = 16U << 10U;  ///< Bytes of request line and fields: 431 beyond.
    std::uint64_t body = std::uint64_t{4} << 20U;  ///< Bytes: 413 beyond.
    /// A smaller limit for some requests, by their heads; empty: `body` for all.
    std::function<std::uint64_t(const Request&)> body_of = {};
    std::size_t connections = 4096;                   ///< Further ones are closed at once.
    std::size_t connections_per_address = 4096;       ///< Same, of one address.
    Duration idle = std::chrono::seconds{75};         ///< Between two requests of a connection.
    Duration header_time = std::chrono::seconds{10};  ///< First byte to empty line: 408 beyond.
    /// For each MiB of a body, or what is left of it: 408 beyond.
    Duration body_time = std::chrono::seconds{60};
    Duration write_time = std::chrono::seconds{60};  ///< For 256 KiB of an answer.
    /// A whole answer has `write_time`, and this for each 64 KiB of it (128 KiB/s): its memory is
    /// held meanwhile. Streamed ones have not.
    Duration write_more = std::chrono::milliseconds{500};
    /// How long a refused request is still read, so that its sender sees the refusal.
    Duration linger = std::chrono::seconds{1};
};

struct ServerCounters {
    std::uint64_t requests = 0;
    std::uint64_t refused_connections = 0;
    std::uint64_t bad_requests = 0;
    std::size_t connections = 0;
};

/// HTTP/1.1 over any number of listeners.
///
/// Lives on one loop. Must be stopped before it is destroyed.
class Server {
public:
    virtual ~Server() = default;

    /// Accepts from this listener until `stop`.
    virtual void serve(std::unique_ptr<Listener> listener) = 0;

    /// Closes listeners and idle connections, lets running requests end for `grace`, then cancels.
    virtual Task<> stop(Duration grace) = 0;

    virtual ServerCounters counters() const = 0;
};

/// Whose an address is where hosts are counted: hosts of IPv6 have 2^64 addresses each, so their
/// network's.
std::string network_of(const std::string& address);

/// `loop` must outlive the server.
std::unique_ptr<Server> make_server(
    asio::io_context& loop, Handler handler, ServerLimits limits, Log log, HeadCheck check = {});

}  // namespace znode::http
