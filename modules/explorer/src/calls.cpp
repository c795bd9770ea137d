#include "calls.hpp"

#include <ctime>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "grid/pool.hpp"
#include "identity/http_signature.hpp"

namespace znode::explorer {
namespace {

Errc code_of(unsigned status)
{
    switch (status) {
        case 401:
        case 403:
            return Errc::denied;
        case 404:
            return Errc::not_found;
        case 408:
            return Errc::timeout;
        case 409:
            return Errc::exists;
        case 429:
            return Errc::unavailable;
        default:
            // A redirect is followed by nobody here: the URL in the config is not the explorer's.
            return status >= 500 || status < 400 ? Errc::unavailable : Errc::invalid;
    }
}

/// The explorer's words: the member `error`, or the text as it is.
std::string words_of(const http::Reply& reply)
{
    if (const auto error = grid::from_json<grid::ErrorReply>(reply.body))
        return printable(error->error, 400);
    return printable(trim(reply.body), 400);
}

/// Seconds, or a date.
std::optional<Duration> retry_after(const http::Reply& reply)
{
    const auto value = reply.headers.get("Retry-After");
    if (const auto seconds = to_number<std::int64_t>(value); seconds && *seconds >= 0)
        return std::chrono::seconds{std::min<std::int64_t>(*seconds, 86'400)};
    if (const auto date = http::parse_date(value))
        return std::chrono::seconds{std::max<std::int64_t>(*date - unix_now(), 0)};
    return std::nullopt;
}

}  // namespace

std::int64_t unix_now() { return std::time(nullptr); }

std::string explorer_root(std::string_view url)
{
    const auto cut = [&](std::string_view tail) {
        if (url.ends_with(tail)) url.remove_suffix(tail.size());
    };
    while (url.ends_with('/')) url.remove_suffix(1);
    cut("/api/v1");
    cut("/explorer");
    while (url.ends_with('/')) url.remove_suffix(1);
    return std::string{url};
}

Task<Result<http::Reply>> Calls::send(
    http::Method method, std::string path, std::string body, std::string key_id)
{
    http::Request request;
    request.method = method;
    request.target = std::string{prefix_} + path;
    request.body = std::move(body);
    co_return co_await send(std::move(request), std::move(key_id));
}

Task<Result<http::Reply>> Calls::send(http::Request request, std::string key_id)
{
    return fetch(std::move(request), std::move(key_id), {});
}

Task<Result<http::Reply>> Calls::fetch(
    http::Request request, std::string key_id, http::ChunkSink sink)
{
    failure_ = {};
    CO_FP("explorer.send");
    const auto intent = std::string{http::to_string(request.method)} + " " +
                        request.target.substr(0, request.target.find('?'));
    if (!key_id.empty()) {
        auto made = identity::sign_request(self_, key_id, unix_now());
        request.headers.set("Date", std::move(made.date));
        request.headers.set("Threebot-Id", std::move(made.threebot_id));
        request.headers.set("Authorization", std::move(made.authorization));
    }
    if (!request.body.empty()) request.headers.set("Content-Type", "application/json");

    auto reply = co_await client_.fetch(std::move(request), std::move(sink));
    if (!reply) co_return tl::unexpected(std::move(reply).error().during(intent));
    if (reply->status >= 400 || (reply->status >= 300 && reply->status != 304)) {
        failure_ = {.status = reply->status, .retry_after = retry_after(*reply)};
        co_return fail(
            code_of(reply->status),
            intent + ": explorer answered " + std::to_string(reply->status) + ": " +
                words_of(*reply));
    }
    co_return std::move(*reply);
}

std::string Calls::Place::text() const
{
    const auto number = std::to_string(page);
    return size == 0 ? number : number + "&size=" + std::to_string(size);
}

bool Calls::Place::make_smaller()
{
    constexpr std::int64_t usual_size = 100;
    if (size == 1) return false;
    size = (size == 0 ? usual_size : size) / 10;
    page = (page - 1) * 10 + 1;
    pages = page;  // The next answer tells.
    most_pages *= 10;
    return true;
}

bool Calls::is_too_large(const Error& error) const
{
    return failure_.status == 413 || error.code == Errc::exhausted;
}

std::int64_t Calls::pages_of(const http::Reply& reply)
{
    return to_number<std::int64_t>(reply.headers.get("Pages")).value_or(1);
}

tl::unexpected<Error> Calls::misunderstood(std::string_view intent, Error error)
{
    return fail(
        Errc::unavailable, std::string{intent} + ": answer makes no sense: " + error.message);
}

}  // namespace znode::explorer
