#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/stream.hpp"
#include "kernel/tcp_progress.hpp"
#include "redis/protocol.hpp"
#include "redis/url.hpp"

namespace znode::redis {

/// A logged-on connection. One user at a time; after an error it is of no use and is dropped:
/// whoever wants another one opens it.
class Connection {
public:
    /// Connects, logs on (AUTH, SELECT) and waits for PING, all within `patience`. Errc::denied
    /// when the server refuses the password or wants one.
    [[nodiscard]] static Task<Result<std::unique_ptr<Connection>>> open(
        Server server, Duration patience);

    /// Goes on with the connection of an earlier process, logged on and between two replies.
    [[nodiscard]] static Result<std::unique_ptr<Connection>> adopt(
        const asio::any_io_executor& loop, kernel::Fd socket);
    /// A second descriptor of it, for `adopt`. Errc::unsupported for TLS.
    [[nodiscard]] Result<kernel::Fd> duplicate() const;
    /// Where it stands; socket 0 for TLS, which nobody else can go on with.
    const kernel::TcpProgress& at() const noexcept { return at_; }
    /// Leaves out bytes that have come already.
    [[nodiscard]] Task<Result<>> skip(std::uint64_t bytes, Duration patience);

    /// One command, one reply. An error reply is Errc::denied for missing rights, else
    /// Errc::invalid.
    [[nodiscard]] Task<Result<Reply>> command(
        std::vector<std::string> arguments, Duration patience);

    /// Sends commands made by append_command; their replies are fetched by `receive`, in order.
    [[nodiscard]] Task<Result<>> send(std::string_view commands, Duration patience);

    /// The next reply, error replies included.
    [[nodiscard]] Task<Result<Reply>> receive(Duration patience);

    /// What receive_integers has fetched; true to the end also when that fails.
    struct Integers {
        std::size_t count = 0;
        long long last = 0;
        std::string refused;  ///< The reply that was none.
    };
    /// Fetches replies until `count` have come or one is not an integer. `note` is called whenever
    /// some came; `at` counts them as read then, and (but for TLS) they are still in the socket:
    /// who is killed before it has noted them finds them there.
    [[nodiscard]] Task<Result<>> receive_integers(
        std::size_t count, Integers* got, Duration patience, std::function<void()> note = {});

    std::string remote() const { return stream_->remote_address(); }

private:
    explicit Connection(std::unique_ptr<Stream> stream);
    Task<Result<>> log_on(Server server);
    Task<Result<Reply>> read_reply();
    Task<Result<>> write(std::string_view bytes);
    Task<Result<>> discard(std::uint64_t bytes);
    Task<Result<>> read_integers(std::size_t count, Integers* got, std::function<void()> note);
    Task<Result<>> parse_integers(std::size_t count, Integers* got, std::function<void()> note);
    Result<> take_lines(
        std::string_view bytes, std::size_t count, Integers* got, std::size_t* taken);

    std::unique_ptr<Stream> stream_;
    Parser parser_;
    std::vector<char> buffer_;
    std::string tail_;  // A reply that has begun, at the end of what was read.
    kernel::TcpProgress at_;
};

/// What a caller can do about an error reply.
[[nodiscard]] Error error_of_reply(std::string_view text);

}  // namespace znode::redis
