#include "serve.hpp"

#include <sys/resource.h>

#include <csignal>
#include <memory>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>

#include "async/stream.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "explorer_server/explorer_server.hpp"
#include "http/server.hpp"

namespace znode::zgrid {
namespace {

struct ServeFlags {
    std::string listen = "127.0.0.1:8080";
    std::string data;
    std::string tls_certificate;
    std::string tls_key;
    std::string hub;
    std::vector<std::string> hosts;
    std::int64_t first_id = 1;
    bool lenient = false;
    bool bare_reservation_id = false;
};

struct Where {
    std::string address;
    unsigned short port = 0;
};

Result<Where> where_of(const std::string& text)
{
    const auto colon = text.rfind(':');
    const auto port = colon == std::string::npos
                          ? std::nullopt
                          : to_number<unsigned short>(std::string_view{text}.substr(colon + 1));
    if (!port)
        return fail(
            Errc::invalid, "--listen " + text + ": write it as 127.0.0.1:8080 or [::]:8080");
    auto address = text.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']'))
        address = address.substr(1, address.size() - 2);
    return Where{address, *port};
}

/// Many idle polls are many descriptors; what the hard limit allows is taken.
void raise_descriptor_limit()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);  // Works with less as well.
}

Task<Result<>> serve(asio::io_context* loop, ServeFlags flags)
{
    const auto log = make_log("zgrid");
    CO_TRY(const auto where, where_of(flags.listen));
    if (flags.tls_certificate.empty() != flags.tls_key.empty())
        co_return fail(Errc::invalid, "--tls-cert and --tls-key go together");
    raise_descriptor_limit();

    const explorer_server::Options options{
        .data = flags.data,
        .hub = flags.hub,
        .hosts = flags.hosts,
        .first_id = flags.first_id,
        .lenient = flags.lenient,
        .bare_reservation_id = flags.bare_reservation_id};
    CO_TRY(auto explorer, explorer_server::make_explorer_server(*loop, options, log));

    const TlsIdentity identity{flags.tls_certificate, flags.tls_key};
    auto listener =
        listen_tcp(*loop, where.address, where.port, flags.tls_key.empty() ? nullptr : &identity);
    if (!listener) {
        co_await explorer->stop();
        co_return tl::unexpected(std::move(listener).error());
    }
    const Endpoint bound{.host = where.address, .port = std::to_string((*listener)->port())};
    const auto server = http::make_server(
        *loop,
        [e = explorer.get()](const http::Request& request, const http::Peer& peer) {
            return e->answer(request, peer);
        },
        explorer_server::server_limits(options),
        log,
        [e = explorer.get()](const http::Request& head, const http::Peer& peer) {
            return e->refuse_head(head, peer);
        });
    server->serve(*std::move(listener));
    log->info("listening address={} data={}", bound.text(), flags.data);

    asio::signal_set signals{*loop, SIGTERM, SIGINT};
    (void)co_await signals.async_wait(as_result);
    log->info("stopping");
    co_await explorer->stop();
    co_await server->stop(std::chrono::seconds{5});
    co_return Result<>{};
}

}  // namespace

void add_serve(CLI::App& app, Context& context)
{
    auto* command = app.add_subcommand("serve", "run a private explorer and hub");
    const auto flags = std::make_shared<ServeFlags>();
    command->add_option("--listen", flags->listen, "address and port")->capture_default_str();
    command->add_option("--data", flags->data, "folder of the database")->required();
    command->add_option("--tls-cert", flags->tls_certificate, "PEM chain; with --tls-key");
    command->add_option("--tls-key", flags->tls_key, "PEM key");
    command->add_option("--hub", flags->hub, "folder of the flists to publish; absent: no hub");
    command->add_option("--host", flags->hosts, "host name to be served under (repeatable)");
    command->add_option("--first-id", flags->first_id, "first id of workloads in an empty database")
        ->capture_default_str();
    command->add_flag(
        "--lenient", flags->lenient, "take unsigned what the originals took unsigned");
    command->add_flag(
        "--bare-reservation-id",
        flags->bare_reservation_id,
        "answer a new reservation of the first era with a bare number, for clients of March 2020");
    command->callback([flags, &context] { execute(context, serve(context.loop, *flags)); });
}

}  // namespace znode::zgrid
