#pragma once
// One request to an explorer: signed, sent, its status turned into our errors.

#include <string>
#include <string_view>

#include "explorer/node_api.hpp"
#include "grid/document.hpp"
#include "http/client.hpp"
#include "identity/identity.hpp"

namespace znode::explorer {

class Calls {
public:
    Calls(http::Client& client, const identity::Identity& self, Era era)
        : client_{client}, self_{self}, prefix_{prefix_of(era)}
    {
    }
    std::string_view prefix() const noexcept { return prefix_; }

    /// `path` is below the prefix, query included. `key_id` signs the request; "" does not.
    Task<Result<http::Reply>> send(
        http::Method method, std::string path, std::string body, std::string key_id);
    /// The same, for a prepared request whose target is complete.
    Task<Result<http::Reply>> send(http::Request request, std::string key_id);
    /// The same; the body of a good answer goes to `sink`, if there is one.
    Task<Result<http::Reply>> fetch(
        http::Request request, std::string key_id, http::ChunkSink sink);

    template <class T>
    Task<Result<T>> get(std::string path, std::string key_id)
    {
        CO_TRY(const auto reply, co_await send(http::Method::get, path, {}, std::move(key_id)));
        auto document = grid::from_json<T>(reply.body);
        if (!document) co_return misunderstood("GET " + path, std::move(document).error());
        co_return std::move(*document);
    }

    /// POST whose answer is a document.
    template <class T>
    Task<Result<T>> post(std::string path, std::string body, std::string key_id)
    {
        CO_TRY(
            const auto reply,
            co_await send(http::Method::post, path, std::move(body), std::move(key_id)));
        auto document = grid::from_json<T>(reply.body);
        if (!document) co_return misunderstood("POST " + path, std::move(document).error());
        co_return std::move(*document);
    }

    /// All pages of a list, page after page as `Pages` says; smaller ones where one is too large.
    /// `path` names neither page nor size: an explorer takes the first it finds.
    template <class T>
    Task<Result<std::vector<T>>> list(std::string path, std::string key_id)
    {
        std::vector<T> all;
        const std::string joint = path.find('?') == path.npos ? "?page=" : "&page=";
        Place at;
        while (at.page <= at.pages && at.page <= at.most_pages) {
            auto reply = co_await send(http::Method::get, path + joint + at.text(), {}, key_id);
            if (!reply) {
                if (is_too_large(reply.error()) && at.make_smaller()) continue;
                co_return tl::unexpected(std::move(reply).error());
            }
            auto some = grid::list_from_json<T>(reply->body, page_limits);
            if (!some) {
                // It may be one of too many values.
                if (reply->body.size() >= large_page && at.make_smaller()) continue;
                co_return misunderstood("GET " + path, std::move(some).error());
            }
            if (some->empty()) break;
            std::ranges::move(*some, std::back_inserter(all));
            at.pages = pages_of(*reply);
            ++at.page;
        }
        co_return all;
    }

    const ApiFailure& last_failure() const noexcept { return failure_; }
    const identity::Identity& self() const noexcept { return self_; }

private:
    /// As much as an HTTP client keeps of an answer.
    static constexpr grid::json::Limits page_limits{.bytes = std::size_t{64} << 20U};
    /// A page may have too many values from here on: a value takes two bytes at least.
    static constexpr std::size_t large_page = std::size_t{256} << 10U;
    static_assert(large_page < 2 * page_limits.values);

    /// Where the reading of a list is.
    struct Place {
        std::int64_t page = 1;
        std::int64_t pages = 1;
        std::int64_t size = 0;  ///< Of a page; 0: the explorer's, which is 100.
        std::int64_t most_pages = 10'000;

        std::string text() const;
        /// Goes on with pages of a tenth. False when they have one entry already.
        bool make_smaller();
    };

    /// Whether a smaller page would be answered.
    bool is_too_large(const Error& error) const;
    static std::int64_t pages_of(const http::Reply& reply);
    static tl::unexpected<Error> misunderstood(std::string_view intent, Error error);

    http::Client& client_;
    const identity::Identity& self_;
    std::string_view prefix_;
    ApiFailure failure_;
};

/// Seconds since 1970.
std::int64_t unix_now();

}  // namespace znode::explorer
