#pragma once

#include <memory>
#include <string>
#include <vector>

#include <boost/asio/buffer.hpp>

#include "async/stream.hpp"
#include "base/result.hpp"

namespace znode::zdb {

/// One reply of a 0-db.
struct Reply {
    enum class Kind { status, error, integer, bulk, nil, array };
    Kind kind = Kind::nil;
    std::string text = {};  ///< Of a status, an error (without its dash) or a bulk.
    long long integer = 0;
    std::vector<Reply> elements = {};

    bool ok() const noexcept { return kind == Kind::status && text == "OK"; }
    bool error() const noexcept { return kind == Kind::error; }
};

using Words = std::vector<std::string>;

/// A connection to a 0-db. Used from the loop that made it, one call at a time; a call that fails
/// leaves the connection unusable.
class Client {
public:
    virtual ~Client() = default;
    /// Sends one request and waits for its reply. An error reply is a reply.
    virtual Task<Result<Reply>> call(Words request) = 0;
    /// Sends all requests in one piece, then takes their replies in order.
    virtual Task<Result<std::vector<Reply>>> pipeline(std::vector<Words> requests) = 0;
    /// The process that listens at the other end of a unix socket.
    virtual Result<PeerCredentials> peer() const = 0;
};

/// Connects; `patience` bounds this and each later call (Errc::timeout).
Task<Result<std::unique_ptr<Client>>> connect_client(Endpoint where, Duration patience);

}  // namespace znode::zdb
