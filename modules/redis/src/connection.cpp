#include "redis/connection.hpp"

#include <algorithm>
#include <cerrno>

#include "base/text.hpp"
#include "kernel/fd.hpp"

namespace znode::redis {
namespace {

constexpr std::size_t read_size = std::size_t{64} << 10U;
constexpr std::size_t longest_line = std::size_t{64} << 10U;

tl::unexpected<Error> hung_up() { return fail(Errc::unavailable, "redis closed the connection"); }

}  // namespace

Error error_of_reply(std::string_view text)
{
    const auto word = text.substr(0, text.find(' '));
    const auto message = "redis: " + printable(text);
    if (word == "NOAUTH" || word == "WRONGPASS" || word == "NOPERM" || word == "DENIED")
        return {Errc::denied, message};
    // Of servers before version 6.
    if (text.starts_with("ERR invalid password")) return {Errc::denied, message};
    if (word == "LOADING" || word == "BUSY" || word == "MASTERDOWN" || word == "READONLY" ||
        word == "OOM" || word == "CLUSTERDOWN")
        return {Errc::unavailable, message};
    return {Errc::invalid, message};
}

Connection::Connection(std::unique_ptr<Stream> stream)
    : stream_{std::move(stream)}, buffer_(read_size)
{
}

Task<Result<std::unique_ptr<Connection>>> Connection::open(Server server, Duration patience)
{
    const auto begin = Clock::now();
    const auto where = server.endpoint.text();
    CO_TRY(auto stream, co_await connect(server.endpoint, patience));
    // NOLINTNEXTLINE: the constructor is private.
    auto made = std::unique_ptr<Connection>{new Connection{std::move(stream)}};
    auto* connection = made.get();
    const auto left = std::max<Duration>(patience - (Clock::now() - begin), Duration{1});
    auto ready = co_await with_deadline<>(
        left, "log on to redis at " + where, connection->log_on(std::move(server)));
    if (!ready && ready.error().code == Errc::timeout) co_return tl::unexpected(ready.error());
    if (!ready)
        co_return tl::unexpected(std::move(ready).error().during("log on to redis at " + where));
    if (connection->stream_->descriptor() >= 0) {
        CO_TRY(connection->at_, kernel::tcp_progress(connection->stream_->descriptor()));
    }
    co_return made;
}

Result<std::unique_ptr<Connection>> Connection::adopt(
    const asio::any_io_executor& loop, kernel::Fd socket)
{
    TRY(const auto at, kernel::tcp_progress(socket.get()));
    TRY(auto stream, adopt_tcp(loop, std::move(socket)));
    // NOLINTNEXTLINE: the constructor is private.
    auto made = std::unique_ptr<Connection>{new Connection{std::move(stream)}};
    made->at_ = at;
    return made;
}

Result<kernel::Fd> Connection::duplicate() const
{
    if (stream_->descriptor() < 0) return fail(Errc::unsupported, "TLS can't be handed on");
    kernel::Fd second{::fcntl(stream_->descriptor(), F_DUPFD_CLOEXEC, 0)};
    if (!second) return fail_errno(errno, "duplicate a connection");
    return second;
}

Task<Result<>> Connection::skip(std::uint64_t bytes, Duration patience)
{
    at_.read += bytes;
    return with_deadline<>(patience, "wait for redis", discard(bytes));
}

Task<Result<>> Connection::discard(std::uint64_t bytes)
{
    while (bytes > 0) {
        const auto most = std::min<std::uint64_t>(bytes, buffer_.size());
        CO_TRY(const auto size, co_await stream_->read_some(asio::buffer(buffer_.data(), most)));
        if (size == 0) co_return hung_up();
        bytes -= size;
    }
    co_return Result<>{};
}

Task<Result<>> Connection::log_on(Server server)
{
    if (!server.password.empty()) {
        std::string commands;
        Result<Reply> reply;
        if (!server.user.empty()) {
            append_command(commands, {"AUTH", server.user, server.password.reveal()});
            auto sent = co_await stream_->write(asio::buffer(commands));
            wipe(commands);
            if (!sent) co_return sent;
            reply = co_await read_reply();
            if (!reply) co_return tl::unexpected(std::move(reply).error());
        }
        // Servers before version 6 know no users; and the name in a URL often is only decoration.
        if (server.user.empty() || reply->kind == Reply::Kind::error) {
            commands.clear();
            append_command(commands, {"AUTH", server.password.reveal()});
            auto sent = co_await stream_->write(asio::buffer(commands));
            wipe(commands);
            if (!sent) co_return sent;
            reply = co_await read_reply();
            if (!reply) co_return tl::unexpected(std::move(reply).error());
        }
        if (reply->kind == Reply::Kind::error)
            co_return tl::unexpected(error_of_reply(reply->text));
    }
    std::string commands;
    if (server.database != 0) append_command(commands, {"SELECT", std::to_string(server.database)});
    append_command(commands, {"PING"});
    CO_TRY_DO(co_await stream_->write(asio::buffer(commands)));
    for (int replies = server.database != 0 ? 2 : 1; replies > 0; --replies) {
        CO_TRY(const auto reply, co_await read_reply());
        if (reply.kind == Reply::Kind::error) co_return tl::unexpected(error_of_reply(reply.text));
    }
    co_return Result<>{};
}

Task<Result<Reply>> Connection::command(std::vector<std::string> arguments, Duration patience)
{
    std::string bytes = "*" + std::to_string(arguments.size()) + "\r\n";
    for (const auto& argument : arguments)
        bytes += "$" + std::to_string(argument.size()) + "\r\n" + argument + "\r\n";
    CO_TRY_DO(co_await send(bytes, patience));
    CO_TRY(auto reply, co_await receive(patience));
    if (reply.kind == Reply::Kind::error) co_return tl::unexpected(error_of_reply(reply.text));
    co_return std::move(reply);
}

Task<Result<>> Connection::send(std::string_view commands, Duration patience)
{
    return with_deadline<>(patience, "send to redis", write(commands));
}

Task<Result<>> Connection::write(std::string_view bytes)
{
    CO_TRY_DO(co_await stream_->write(asio::buffer(bytes.data(), bytes.size())));
    at_.written += bytes.size();
    co_return Result<>{};
}

Task<Result<Reply>> Connection::receive(Duration patience)
{
    return with_deadline<Reply>(patience, "wait for redis", read_reply());
}

Task<Result<>> Connection::receive_integers(
    std::size_t count, Integers* got, Duration patience, std::function<void()> note)
{
    auto read = stream_->descriptor() < 0 ? parse_integers(count, got, std::move(note))
                                          : read_integers(count, got, std::move(note));
    return with_deadline<>(patience, "wait for redis", std::move(read));
}

Task<Result<Reply>> Connection::read_reply()
{
    for (;;) {
        CO_TRY(auto reply, parser_.next());
        if (reply) co_return *std::move(reply);
        CO_TRY(const auto size, co_await stream_->read_some(asio::buffer(buffer_)));
        if (size == 0) co_return hung_up();
        CO_TRY_DO(parser_.feed({buffer_.data(), size}));
    }
}

Task<Result<>> Connection::parse_integers(
    std::size_t count, Integers* got, std::function<void()> note)
{
    while (got->count < count) {
        CO_TRY(const auto reply, parser_.next());
        if (reply && reply->kind == Reply::Kind::integer) {
            ++got->count;
            got->last = reply->number;
            if (note) note();
        } else if (reply) {
            got->refused = reply->text;
            co_return tl::unexpected(error_of_reply(reply->text));
        } else {
            CO_TRY(const auto size, co_await stream_->read_some(asio::buffer(buffer_)));
            if (size == 0) co_return hung_up();
            CO_TRY_DO(parser_.feed({buffer_.data(), size}));
        }
    }
    co_return Result<>{};
}

/// Integers and errors are a line each. Looked at first, noted, and only then read.
Task<Result<>> Connection::read_integers(
    std::size_t count, Integers* got, std::function<void()> note)
{
    while (got->count < count) {
        CO_TRY(const auto size, co_await stream_->peek_some(asio::buffer(buffer_)));
        if (size == 0) co_return hung_up();
        std::size_t taken = 0;
        const auto outcome = take_lines({buffer_.data(), size}, count, got, &taken);
        if (outcome && taken == 0) {
            // No line ends here. What is left in the socket would only wake us again.
            tail_.append(buffer_.data(), size);
            at_.read += size;
            CO_TRY_DO(co_await discard(size));
            if (tail_.size() > longest_line)
                co_return fail(Errc::corrupt, "redis: the answer is larger than we take");
            continue;
        }
        if (taken > 0) {
            at_.read += taken;
            if (note) note();
        }
        if (!outcome) co_return outcome;
        CO_TRY_DO(co_await discard(taken));
    }
    co_return Result<>{};
}

/// `taken` is how many bytes the integers at the beginning are, at most so many of them as are
/// missing; what comes behind them may be an error.
Result<> Connection::take_lines(
    std::string_view bytes, std::size_t count, Integers* got, std::size_t* taken)
{
    while (got->count < count) {
        const auto end = bytes.find('\n', *taken);
        if (end == std::string_view::npos) break;
        const auto line =
            std::exchange(tail_, {}) + std::string{bytes.substr(*taken, end - *taken)};
        const auto text = trim(line);
        const auto number =
            text.starts_with(':') ? to_number<long long>(text.substr(1)) : std::nullopt;
        if (!number) {
            if (!text.starts_with('-'))
                return fail(Errc::corrupt, "redis: the answer makes no sense: " + printable(text));
            got->refused = text.substr(1);
            return tl::unexpected(error_of_reply(got->refused));
        }
        ++got->count;
        got->last = *number;
        *taken = end + 1;
    }
    return {};
}

}  // namespace znode::redis
