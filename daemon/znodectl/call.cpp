#include "call.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <znode/v1/status.pb.h>

#include "base/text.hpp"

namespace znode::ctl {

namespace {

Trouble unreachable(const Context& context, const Error& error)
{
    std::string message = error.message;
    if (::access(context.socket.c_str(), F_OK) != 0)
        message = "znoded does not run here: there is no " + context.socket +
                  "; start it with: systemctl start znoded";
    else if (::access(context.socket.c_str(), R_OK | W_OK) != 0)
        message = "no right to use " + context.socket + "; join the group znode, or use sudo";
    else
        message = "znoded does not answer on " + context.socket + ": " + message +
                  "; see: systemctl status znoded";
    return {not_reachable, std::move(message)};
}

Outcome<http::Reply> judged(http::Reply reply)
{
    if (reply.status / 100 == 2) return reply;
    v1::Failure failure;
    const bool binary = reply.headers.get("content-type") == "application/x-protobuf";
    const bool read = binary ? failure.ParseFromString(reply.body)
                             : status::from_json(reply.body, failure).has_value();
    if (read && !failure.message().empty())
        return tl::unexpected(Trouble{failed, failure.message()});
    return tl::unexpected(Trouble{
        failed, "the agent answered " + std::to_string(reply.status) + " without a reason"});
}

std::unique_ptr<http::Client> client_of(const Context& context)
{
    Endpoint where;
    where.kind = Endpoint::Kind::unix_socket;
    where.host = context.socket;
    return http::make_client(*context.loop, where, {}, "znoded");
}

}  // namespace

status::Look Context::look() const
{
    status::Look look;
    look.now_unix_ns = now_unix_ns();
    winsize size{};
    if (::isatty(STDOUT_FILENO) != 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
        if (size.ws_col > 0) look.width = std::max<std::size_t>(size.ws_col, 40);
        look.color = std::getenv("NO_COLOR") == nullptr;
    }
    return look;
}

Task<Outcome<http::Reply>> call(Context context, http::Request request)
{
    const auto client = client_of(context);
    auto reply = co_await client->send(std::move(request));
    if (!reply) co_return tl::unexpected(unreachable(context, reply.error()));
    co_return judged(std::move(*reply));
}

Task<Outcome<>> stream(Context context, http::Request request, http::ChunkSink sink)
{
    request.patience = std::chrono::hours{24 * 365};
    const auto client = client_of(context);
    bool stopped = false;
    http::ChunkSink watched = [&](std::string_view piece) -> Result<> {
        auto taken = sink(piece);
        stopped = !taken;
        return taken;
    };
    auto reply = co_await client->fetch(std::move(request), std::move(watched));
    if (stopped) co_return Outcome<>{};
    if (!reply) co_return tl::unexpected(unreachable(context, reply.error()));
    if (auto checked = judged(std::move(*reply)); !checked)
        co_return tl::unexpected(checked.error());
    co_return Outcome<>{};
}

int report(const Trouble& trouble)
{
    std::fprintf(stderr, "znodectl: %s\n", printable(trouble.message, 4096).c_str());
    return trouble.exit_code;
}

bool print(std::string_view text)
{
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
           std::fflush(stdout) == 0;
}

std::int64_t now_unix_ns()
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

}  // namespace znode::ctl
