#include "routes.hpp"

#include <array>

#include "base/text.hpp"
#include "http/url.hpp"
#include "metrics.hpp"
#include "status/json.hpp"
#include "status/time.hpp"

namespace znode::status {

namespace {

constexpr std::size_t events_at_once = 256;

unsigned status_of(Errc code)
{
    switch (code) {
        case Errc::invalid:
            return 400;
        case Errc::denied:
            return 403;
        case Errc::not_found:
            return 404;
        case Errc::exists:
            return 409;
        case Errc::unsupported:
            return 501;
        case Errc::exhausted:
        case Errc::unavailable:
        case Errc::timeout:
        case Errc::cancelled:
            return 503;
        case Errc::corrupt:
        case Errc::internal:
            return 500;
    }
    return 500;
}

http::Reply reply_with(
    const http::Request& request, const google::protobuf::Message& message, unsigned status = 200)
{
    http::Reply reply;
    reply.status = status;
    if (request.headers.get("accept").find("application/x-protobuf") != std::string_view::npos) {
        reply.headers.set("Content-Type", "application/x-protobuf");
        reply.body = message.SerializeAsString();
    } else {
        reply.headers.set("Content-Type", "application/json");
        reply.body = to_json(message) + '\n';
    }
    return reply;
}

http::Reply failure(const http::Request& request, const Error& error, unsigned status = 0)
{
    v1::Failure message;
    message.set_code(std::string{to_string(error.code)});
    message.set_message(error.message);
    return reply_with(request, message, status != 0 ? status : status_of(error.code));
}

template <class Message>
http::Reply reply_or_failure(const http::Request& request, const Result<Message>& result)
{
    if (!result) return failure(request, result.error());
    return reply_with(request, *result);
}

http::Reply text_reply(std::string body)
{
    http::Reply reply;
    reply.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    reply.body = std::move(body);
    return reply;
}

http::Reply stream_reply(http::BodySource stream)
{
    http::Reply reply;
    reply.headers.set("Content-Type", "application/x-ndjson");
    reply.stream = std::move(stream);
    return reply;
}

bool is_root(const http::Peer& peer) { return peer.credentials && peer.credentials->uid == 0; }

Result<bool> flag_of(const http::Target& target, std::string_view name)
{
    const auto value = target.find(name);
    if (!value || *value == "false" || *value == "0") return false;
    if (value->empty() || *value == "true" || *value == "1") return true;
    return fail(Errc::invalid, std::string{name} + " must be true or false");
}

Result<std::optional<std::uint64_t>> number_of(const http::Target& target, std::string_view name)
{
    const auto value = target.find(name);
    if (!value || value->empty()) return std::nullopt;
    const auto number = to_number<std::uint64_t>(*value);
    if (!number) return fail(Errc::invalid, std::string{name} + " must be a whole number");
    return number;
}

/// A line per event; when following, goes on until the reader leaves.
Task<Result<>> write_events(Source* source, std::uint64_t since, bool follow, http::BodySink* sink)
{
    for (;;) {
        CO_TRY(const auto list, co_await source->events(since, events_at_once));
        std::string lines;
        for (const auto& event : list.events()) {
            lines += to_json(event) + '\n';
            since = std::max(since, static_cast<std::uint64_t>(event.sequence()));
        }
        if (!lines.empty()) {
            CO_TRY_DO(co_await sink->write(lines));
        } else if (follow) {
            co_await source->wait_for_event(since, std::chrono::seconds{30});
        } else {
            co_return Result<>{};
        }
    }
}

Task<Result<>> write_logs(std::shared_ptr<LogReader> reader, http::BodySink* sink)
{
    for (;;) {
        CO_TRY(const auto batch, co_await reader->next());
        if (!batch) co_return Result<>{};
        std::string lines;
        for (const auto& line : *batch) lines += to_json(line) + '\n';
        if (!lines.empty()) CO_TRY_DO(co_await sink->write(lines));
    }
}

Task<http::Reply> answer_events(Source* source, const http::Request* request, http::Target target)
{
    const auto since = number_of(target, "since");
    if (!since) co_return failure(*request, since.error());
    const auto follow = flag_of(target, "follow");
    if (!follow) co_return failure(*request, follow.error());
    co_return stream_reply([source, from = since->value_or(0), on = *follow](http::BodySink* sink) {
        return write_events(source, from, on, sink);
    });
}

Result<LogQuery> log_query(std::string gwid, const http::Target& target)
{
    LogQuery query;
    query.workload = std::move(gwid);
    query.stream = std::string{target.find("stream").value_or("")};
    if (!query.stream.empty() && query.stream != "stdout" && query.stream != "stderr")
        return fail(Errc::invalid, "stream must be stdout or stderr");
    TRY(query.tail, number_of(target, "tail"));
    TRY(query.follow, flag_of(target, "follow"));
    if (const auto since = target.find("since"); since && !since->empty()) {
        TRY(query.since_unix_ns, parse_time(*since));
    }
    return query;
}

Task<http::Reply> answer_logs(
    Source* source, const http::Request* request, std::string gwid, http::Target target)
{
    auto query = log_query(std::move(gwid), target);
    if (!query) co_return failure(*request, query.error());
    auto opened = co_await source->logs(std::move(*query));
    if (!opened) co_return failure(*request, opened.error());
    std::shared_ptr<LogReader> reader = std::move(*opened);
    co_return stream_reply([reader](http::BodySink* sink) { return write_logs(reader, sink); });
}

Task<http::Reply> answer_change(Source* source, const http::Request* request, std::string path)
{
    if (path == "/v1/maintenance") {
        v1::MaintenanceRequest wanted;
        if (auto read = from_json(request->body, wanted); !read)
            co_return failure(*request, read.error());
        co_return reply_or_failure(
            *request, co_await source->maintenance(wanted.on(), wanted.reason()));
    }
    if (path == "/v1/gc") {
        v1::GcRequest wanted;
        if (!request->body.empty())
            if (auto read = from_json(request->body, wanted); !read)
                co_return failure(*request, read.error());
        co_return reply_or_failure(*request, co_await source->gc(wanted.dry_run()));
    }

    const auto parts = split(path, '/');
    const auto outcome = co_await source->restart(std::string{parts[3]});
    if (!outcome) co_return failure(*request, outcome.error());
    v1::Done done;
    done.set_message("restarting " + std::string{parts[3]});
    co_return reply_with(*request, done);
}

/// What a path is, before anybody asks whether this user may have it.
enum class Kind { unknown, open, view, logs, change };

Kind kind_of(std::string_view path)
{
    if (path == "/metrics" || path == "/healthz") return Kind::open;
    static constexpr std::array<std::string_view, 8> views{
        "/v1/status",
        "/v1/workloads",
        "/v1/events",
        "/v1/storage",
        "/v1/network",
        "/v1/capacity",
        "/v1/flists",
        "/v1/doctor"};
    for (const auto view : views)
        if (path == view) return Kind::view;
    if (path == "/v1/maintenance" || path == "/v1/gc") return Kind::change;

    const auto parts = split(path, '/');
    if (parts.size() < 4 || parts[1] != "v1" || parts[2] != "workloads" || parts[3].empty())
        return Kind::unknown;
    if (parts.size() == 4) return Kind::view;
    if (parts.size() == 5 && parts[4] == "logs") return Kind::logs;
    if (parts.size() == 5 && parts[4] == "restart") return Kind::change;
    return Kind::unknown;
}

Task<http::Reply> answer_view(Source* source, const http::Request* request, http::Target target)
{
    const auto& path = target.path;
    if (path == "/v1/status") co_return reply_with(*request, source->status());
    if (path == "/v1/workloads") co_return reply_with(*request, source->workloads());
    if (path == "/v1/events") co_return co_await answer_events(source, request, std::move(target));
    if (path == "/v1/storage") co_return reply_or_failure(*request, co_await source->storage());
    if (path == "/v1/network") co_return reply_or_failure(*request, co_await source->network());
    if (path == "/v1/capacity") co_return reply_or_failure(*request, co_await source->capacity());
    if (path == "/v1/flists") co_return reply_or_failure(*request, co_await source->flists());
    if (path == "/v1/doctor") co_return reply_or_failure(*request, co_await source->doctor());

    const auto gwid = std::string{split(path, '/')[3]};
    if (const auto workload = source->workload(gwid)) co_return reply_with(*request, *workload);
    co_return failure(
        *request, Error{Errc::not_found, "no workload '" + printable(gwid, 40) + "' on this node"});
}

}  // namespace

Task<http::Reply> answer(Source* source, const http::Request* request, http::Peer peer)
{
    auto target = http::parse_target(request->target);
    const auto kind = kind_of(target.path);
    if (kind == Kind::unknown || (!peer.credentials && kind != Kind::open))
        co_return failure(*request, Error{Errc::not_found, "nothing at " + printable(target.path)});

    const bool change = kind == Kind::change;
    const bool right_method =
        change ? request->method == http::Method::post
               : request->method == http::Method::get || request->method == http::Method::head;
    if (!right_method) {
        auto reply = failure(*request, Error{Errc::invalid, change ? "use POST" : "use GET"}, 405);
        reply.headers.set("Allow", change ? "POST" : "GET, HEAD");
        co_return reply;
    }
    if ((change || kind == Kind::logs) && !is_root(peer))
        co_return failure(*request, Error{Errc::denied, "only root may do this; try sudo"});

    if (target.path == "/metrics")
        co_return text_reply(
            metrics_text(source->status(), source->workloads()) + source->metrics());
    if (target.path == "/healthz") {
        const auto health = source->health();
        co_return reply_with(*request, health, health.healthy() ? 200 : 503);
    }
    if (kind == Kind::logs) {
        const auto gwid = std::string{split(target.path, '/')[3]};
        co_return co_await answer_logs(source, request, gwid, std::move(target));
    }
    if (change) co_return co_await answer_change(source, request, target.path);
    co_return co_await answer_view(source, request, std::move(target));
}

}  // namespace znode::status
