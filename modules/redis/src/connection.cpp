#include "redis/connection.hpp"

#include "base/text.hpp"

namespace znode::redis {
namespace {

constexpr std::size_t read_size = 64 * 1024;

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
    co_return made;
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
    return with_deadline<>(
        patience, "send to redis", stream_->write(asio::buffer(commands.data(), commands.size())));
}

Task<Result<Reply>> Connection::receive(Duration patience)
{
    return with_deadline<Reply>(patience, "wait for redis", read_reply());
}

Task<Result<>> Connection::receive_integers(std::size_t count, Integers* got, Duration patience)
{
    return with_deadline<>(patience, "wait for redis", read_integers(count, got));
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

Task<Result<>> Connection::read_integers(std::size_t count, Integers* got)
{
    while (got->count < count) {
        CO_TRY(const auto reply, parser_.next());
        if (reply && reply->kind == Reply::Kind::integer) {
            ++got->count;
            got->last = reply->number;
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

}  // namespace znode::redis
