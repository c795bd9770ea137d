#include "status/server.hpp"

#include <grp.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "async/stream.hpp"
#include "base/text.hpp"
#include "http/server.hpp"
#include "routes.hpp"

namespace znode::status {

namespace {

/// Errc::not_found for a group that does not exist.
Result<gid_t> group_id(const std::string& name)
{
    std::array<char, 4096> buffer{};
    struct group entry{};
    struct group* found = nullptr;
    ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found == nullptr) return fail(Errc::not_found, "no group " + name);
    return entry.gr_gid;
}

Result<std::pair<std::string, unsigned short>> address_and_port(std::string_view text)
{
    const auto colon = text.rfind(':');
    const auto port = colon == std::string_view::npos
                          ? std::nullopt
                          : to_number<unsigned short>(text.substr(colon + 1));
    auto address = text.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']'))
        address = address.substr(1, address.size() - 2);
    if (!port || address.empty())
        return fail(Errc::invalid, "metrics address '" + printable(text) + "' is not ADDRESS:PORT");
    return std::pair{std::string{address}, *port};
}

class HttpLocalServer final : public LocalServer {
public:
    HttpLocalServer(asio::io_context& loop, Source& source, ServerOptions options, Log log)
        : loop_{loop}, options_{std::move(options)}, log_{std::move(log)}
    {
        http::ServerLimits limits;
        limits.body = 64U << 10U;
        limits.connections = 256;
        server_ = http::make_server(
            loop,
            [&source](const http::Request& request, const http::Peer& peer) {
                return answer(&source, &request, peer);
            },
            limits,
            log_);
    }

    Result<> start() override
    {
        // Nobody but root gets in before the group is set.
        TRY(auto local, listen_unix(loop_, options_.socket, 0600));
        is_mine_ = true;
        if (const auto group = group_id(options_.group)) {
            if (const int err = error_of(::chown(options_.socket.c_str(), 0, *group)))
                log_->warn(
                    "status socket stays with root: {}",
                    fail_errno(err, "chown " + options_.socket).value().message);
        }
        if (const int err = error_of(::chmod(options_.socket.c_str(), 0660)))
            return fail_errno(err, "chmod " + options_.socket);

        server_->serve(std::move(local));
        if (options_.metrics_listen.empty()) return {};
        // An address for metrics that cannot be had is no reason to leave a node without status.
        if (auto metrics = listen_for_metrics()) {
            metrics_port_ = (*metrics)->port();
            server_->serve(*std::move(metrics));
        } else {
            metrics_problem_ = metrics.error().message;
        }
        return {};
    }

    Task<> stop() override
    {
        // Followers would use up any grace, so short requests get just enough.
        co_await server_->stop(std::chrono::milliseconds{100});
        if (std::exchange(is_mine_, false)) ::unlink(options_.socket.c_str());
    }

    const std::string& metrics_problem() const override { return metrics_problem_; }

    unsigned short metrics_port() const override { return metrics_port_; }

private:
    Result<std::unique_ptr<Listener>> listen_for_metrics() const
    {
        TRY(const auto where, address_and_port(options_.metrics_listen));
        return listen_tcp(loop_, where.first, where.second);
    }

    asio::io_context& loop_;
    ServerOptions options_;
    Log log_;
    std::unique_ptr<http::Server> server_;
    unsigned short metrics_port_ = 0;
    std::string metrics_problem_;
    bool is_mine_ = false;  ///< The socket: another agent's must stay.
};

}  // namespace

std::unique_ptr<LocalServer> make_local_server(
    asio::io_context& loop, Source& source, ServerOptions options, Log log)
{
    return std::make_unique<HttpLocalServer>(loop, source, std::move(options), std::move(log));
}

}  // namespace znode::status
