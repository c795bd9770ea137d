#include "http/client.hpp"

#include <array>
#include <vector>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "wire.hpp"

namespace znode::http {
namespace {

constexpr std::size_t idle_connections = 4;

bool may_repeat(Method method) noexcept
{
    return method != Method::post && method != Method::patch && method != Method::other;
}

bool is_redirect(unsigned status) noexcept
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

class PoolingClient : public Client {
public:
    PoolingClient(
        asio::io_context& loop, Endpoint where, Url base, ClientOptions options, std::string host)
        : loop_{loop},
          where_{std::move(where)},
          base_{std::move(base)},
          options_{std::move(options)},
          host_{std::move(host)}
    {
        while (base_.path.ends_with('/')) base_.path.pop_back();
        if (!base_.user.empty() || !base_.password.empty())
            credentials_ = Secret{
                "Basic " + to_base64(base_.user + ":" + std::string{base_.password.reveal()})};
    }

    Task<Result<Reply>> send(Request request) override
    {
        co_return co_await fetch(std::move(request), {});
    }

    Task<Result<Reply>> fetch(Request request, ChunkSink sink) override
    {
        const auto intent = std::string{to_string(request.method)} + " " + where_.text() +
                            printable(base_.path + request.target);
        const auto patience = request.patience.value_or(options_.timeout);
        auto reply = co_await with_deadline(
            patience,
            intent,
            follow(std::move(request), std::move(sink), options_.redirects, true));
        if (!reply && reply.error().code != Errc::timeout)
            co_return tl::unexpected(std::move(reply).error().during(intent));
        co_return reply;
    }

    void close() noexcept override { idle_.clear(); }

private:
    /// `prefixed`: the base's path goes in front, as for all targets but those of a redirect.
    Task<Result<Reply>> follow(Request request, ChunkSink sink, unsigned redirects, bool prefixed)
    {
        const bool may_follow =
            redirects > 0 && (request.method == Method::get || request.method == Method::head);
        auto next = request;
        auto reply = co_await exchange(std::move(request), sink, prefixed);
        if (!reply || !may_follow || !is_redirect(reply->status)) co_return reply;

        const auto location = reply->headers.get("Location");
        if (location.starts_with('/') && !location.starts_with("//")) {
            next.target = location;
            co_return co_await follow(std::move(next), std::move(sink), redirects - 1, false);
        }
        CO_TRY(auto url, parse_url(location));
        if (url.scheme != "http" && url.scheme != "https")
            co_return fail(Errc::unavailable, "redirected to " + url.text());
        if (base_.scheme == "https" && url.scheme == "http")
            co_return fail(Errc::denied, "redirected from TLS to " + url.text() + " without it");
        // Another origin learns nothing that was meant for this one.
        next.target = url.path.empty() ? "/" : url.path;
        if (!url.query.empty()) next.target += "?" + url.query;
        next.headers = {};
        url.path.clear();
        auto options = options_;
        options.redirects = redirects - 1;
        const auto other = make_client(loop_, std::move(url), std::move(options));
        co_return co_await other->fetch(std::move(next), std::move(sink));
    }

    Task<Result<Reply>> exchange(Request request, ChunkSink sink, bool prefixed)
    {
        if (prefixed) request.target.insert(0, base_.path);
        if (!is_sendable_target(request.target))
            co_return fail(
                Errc::invalid, "the request target has a character that must be escaped");
        if (!request.headers.find("Host")) request.headers.set("Host", host_);
        if (!credentials_.empty() && !request.headers.find("Authorization"))
            request.headers.set("Authorization", std::string{credentials_.reveal()});

        if (!idle_.empty()) {
            auto stream = std::move(idle_.back());
            idle_.pop_back();
            bool answered = false;
            auto reply = co_await converse(std::move(stream), request, sink, &answered);
            // The server may have closed it just now. Once bytes have come back, it was alive.
            if (reply || answered || !may_repeat(request.method)) co_return reply;
            idle_.clear();
        }
        CO_TRY(auto fresh, co_await connect(where_, options_.timeout));
        bool answered = false;
        co_return co_await converse(std::move(fresh), request, std::move(sink), &answered);
    }

    Task<Result<Reply>> converse(
        std::unique_ptr<Stream> stream, const Request& request, ChunkSink sink, bool* answered)
    {
        auto message = head_of(request);
        message += request.body;
        ReplyParser parser{request.method == Method::head, options_.body_limit, std::move(sink)};
        // A server may refuse a body before it has read it all: look for its answer all the same.
        auto sent = co_await stream->write(asio::buffer(message));

        std::string inbox;
        std::array<char, 16U << 10U> buffer;
        while (!parser.done()) {
            const auto got = co_await stream->read_some(asio::buffer(buffer));
            if (!got) {
                if (!sent) co_return tl::unexpected(std::move(sent).error());
                co_return tl::unexpected(got.error());
            }
            if (*got == 0) {
                CO_TRY_DO(parser.feed_end());
                break;
            }
            *answered = true;
            inbox.append(buffer.data(), *got);
            if (auto fed = parser.feed(inbox); !fed) {
                auto error = std::move(fed).error();
                // Nonsense from a server is its trouble, not a wrong request of ours.
                if (error.code == Errc::invalid) error.code = Errc::unavailable;
                co_return tl::unexpected(std::move(error));
            }
        }
        const bool reusable = sent && parser.keep_alive() && inbox.empty();
        if (reusable && idle_.size() < idle_connections) idle_.push_back(std::move(stream));
        co_return std::move(parser.reply());
    }

    asio::io_context& loop_;
    Endpoint where_;
    Url base_;
    ClientOptions options_;
    std::string host_;
    Secret credentials_;
    std::vector<std::unique_ptr<Stream>> idle_;
};

}  // namespace

std::unique_ptr<Client> make_client(asio::io_context& loop, Url base, ClientOptions options)
{
    auto where = base.endpoint(options.ca_file);
    auto host = base.authority();
    return std::make_unique<PoolingClient>(
        loop, std::move(where), std::move(base), std::move(options), std::move(host));
}

std::unique_ptr<Client> make_client(
    asio::io_context& loop, Endpoint where, ClientOptions options, std::string host)
{
    if (host.empty()) host = where.kind == Endpoint::Kind::unix_socket ? "localhost" : where.text();
    Url base{.scheme = where.kind == Endpoint::Kind::tls ? "https" : "http"};
    return std::make_unique<PoolingClient>(
        loop, std::move(where), std::move(base), std::move(options), std::move(host));
}

}  // namespace znode::http
