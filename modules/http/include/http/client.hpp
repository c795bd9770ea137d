#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "async/stream.hpp"
#include "http/message.hpp"
#include "http/url.hpp"

namespace znode::http {

struct ClientOptions {
    Duration timeout = std::chrono::seconds{30};  ///< Of a whole request, connecting included.
    std::uint64_t body_limit = std::uint64_t{64} << 20U;  ///< Bytes of an answer kept in memory.
    std::string ca_file = {};  ///< PEM of the only authority to trust; empty: the system's.
    unsigned redirects = 0;    ///< How many redirects of a GET are followed; none by custom.
};

/// Gets an answer's body as it arrives. A failure ends the request with that failure.
using ChunkSink = std::function<Result<>(std::string_view)>;

/// Speaks HTTP/1.1 to one server and keeps idle connections for the next request.
///
/// Used from one loop; several requests may run at once. Errors: unavailable (cannot connect, cut
/// off, no HTTP), timeout, invalid (the request cannot be sent), exhausted (the answer is larger
/// than allowed). A status of 400 and more is no error here: the caller knows what it means.
class Client {
public:
    virtual ~Client() = default;

    /// Sends and waits for the whole answer. An idle connection that turns out to be dead is
    /// replaced once, for methods that may be repeated (all but POST and PATCH).
    virtual Task<Result<Reply>> send(Request request) = 0;

    /// The same, but the body of a 2xx answer goes to `sink` and is not limited here; other
    /// answers come back whole.
    virtual Task<Result<Reply>> fetch(Request request, ChunkSink sink) = 0;

    /// Drops idle connections.
    virtual void close() noexcept = 0;
};

/// Client of the server of `base`; `base.path` (without a last '/') is put in front of each target,
/// `base.user` and `base.password` are sent as basic authentication. `loop` must outlive it.
std::unique_ptr<Client> make_client(asio::io_context& loop, Url base, ClientOptions options = {});
/// The same for an endpoint, such as a unix socket. `host` is the Host header.
std::unique_ptr<Client> make_client(
    asio::io_context& loop, Endpoint where, ClientOptions options = {}, std::string host = {});

struct DownloadSpec {
    std::filesystem::path path;  ///< Created, or emptied first; removed again on failure.
    std::uint64_t limit = std::uint64_t{1} << 30U;
    /// Sees each piece as it is written: a running checksum.
    std::function<void(std::string_view)> observe = {};
};

/// GETs into a file (0600, synced). Errc::not_found for 404, exhausted beyond the limit,
/// unavailable for other statuses. Gives the number of bytes.
Task<Result<std::uint64_t>> download(Client* client, Request request, DownloadSpec spec);

}  // namespace znode::http
