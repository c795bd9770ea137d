#include <algorithm>
#include <array>
#include <span>

#include "base/text.hpp"
#include "core.hpp"

namespace znode::explorer_server {
namespace {

using http::Method;
using http::Reply;
using Handle = Answer<> (*)(Core&, Call&);

struct Route {
    Method method;
    /// Pieces of the path; `{n}` matches digits, `{g}` a gwid, `{x}` any one piece.
    std::string_view pattern;
    Handle handle;
    enum class Under { both, api, old } under = Under::both;
    /// Whose signature the handler asks for before anything else: without it a body need not be
    /// received. `speaker` (a node) and `farmer`
    /// (a user) are believed unsigned by a lenient explorer.
    enum class Signed { no, user, node, speaker, farmer } by = Signed::no;
};

using Under = Route::Under;
using Signed = Route::Signed;

constexpr std::array routes{
    Route{Method::get, "users", list_users},
    Route{Method::post, "users", create_user},
    Route{Method::get, "users/{x}", get_user},
    Route{Method::put, "users/{x}", update_user},
    Route{Method::post, "users/{x}/validate", validate_user},

    Route{Method::get, "farms", list_farms},
    Route{Method::post, "farms", create_farm, Under::both, Signed::farmer},
    Route{Method::get, "farms/{x}", get_farm},
    Route{Method::put, "farms/{x}", update_farm, Under::both, Signed::user},
    Route{Method::post, "farms/{x}/ip", add_farm_ips, Under::both, Signed::user},
    Route{Method::del, "farms/{x}/ip", remove_farm_ips, Under::both, Signed::user},
    Route{Method::get, "farms/{x}/deals", list_deals, Under::api},
    Route{Method::post, "farms/{x}/deals", put_deal, Under::api, Signed::user},
    Route{Method::put, "farms/{x}/deals", put_deal, Under::api, Signed::user},
    Route{Method::get, "farms/{x}/deals/{x}", get_deal, Under::api},
    Route{Method::del, "farms/{x}/deals/{x}", delete_deal, Under::api},
    Route{Method::del, "farms/{x}/{x}", remove_farm_node},

    Route{Method::get, "nodes", list_nodes},
    Route{Method::post, "nodes", register_node, Under::both, Signed::node},
    Route{Method::get, "nodes/{x}", get_node},
    Route{Method::post, "nodes/{x}/interfaces", set_interfaces, Under::both, Signed::node},
    Route{Method::post, "nodes/{x}/ports", set_ports, Under::both, Signed::node},
    Route{Method::post, "nodes/{x}/capacity", set_capacity, Under::both, Signed::node},
    Route{Method::post, "nodes/{x}/uptime", set_uptime, Under::both, Signed::node},
    Route{Method::post, "nodes/{x}/used_resources", set_used, Under::both, Signed::node},
    Route{Method::post, "nodes/{x}/configure_public", configure_public, Under::both, Signed::user},
    Route{Method::post, "nodes/{x}/configure_free", configure_free, Under::both, Signed::user},
    Route{Method::put, "nodes/{x}/dedicated", configure_dedicated, Under::both, Signed::user},
    Route{Method::get, "gateways", list_gateways},
    Route{Method::post, "gateways", register_gateway, Under::both, Signed::node},
    Route{Method::post, "gateways/{x}/uptime", set_gateway_uptime, Under::both, Signed::node},
    Route{
        Method::post,
        "gateways/{x}/reserved_resources",
        set_gateway_used,
        Under::both,
        Signed::node},
    Route{Method::get, "gateways/{x}", get_gateway},

    Route{Method::get, "prices", get_prices, Under::api},

    Route{Method::post, "reservations/pools", create_pool},
    Route{Method::get, "reservations/pools/{n}", get_pool},
    Route{Method::get, "reservations/pools/owner/{n}", list_pools},
    Route{Method::get, "reservations/pools/payment/{n}", get_payment},

    Route{Method::get, "reservations/convert", get_conversion, Under::api},
    Route{Method::post, "reservations/convert", post_conversion, Under::api, Signed::user},

    Route{Method::get, "reservations/workloads", list_workloads},
    Route{Method::post, "reservations/workloads", create_workload, Under::both, Signed::user},
    Route{Method::get, "reservations/workloads/{n}", get_workload},
    Route{Method::get, "reservations", list_reservations, Under::old},
    Route{Method::post, "reservations", create_reservation, Under::old},
    Route{Method::get, "reservations/{n}", get_reservation, Under::old},
    Route{Method::post, "reservations/{n}/sign/provision", sign_reservation_provision, Under::old},
    Route{Method::post, "reservations/{n}/sign/delete", sign_reservation_delete, Under::old},
    Route{Method::get, "reservations/workloads/{g}", get_part, Under::old},
    Route{Method::put, "reservations/workloads/{g}/{x}", put_part, Under::old, Signed::speaker},
    Route{Method::del, "reservations/workloads/{g}/{x}", delete_part, Under::old},
    Route{Method::get, "reservations/workloads/{x}", poll_reservations, Under::old},
    Route{Method::post, "reservations/workloads/{n}/sign/delete", sign_delete},
    Route{Method::post, "reservations/workloads/{n}/sign/provision", sign_provision},
    // What a client library of the originals asks for, which they never served.
    Route{Method::get, "workloads", list_workloads},
    Route{Method::post, "workloads", create_workload, Under::both, Signed::user},
    Route{Method::get, "workloads/{n}", get_workload},
    Route{Method::post, "workloads/{n}/sign/delete", sign_delete},
    Route{Method::post, "workloads/{n}/sign/provision", sign_provision},

    Route{Method::get, "reservations/nodes/{x}/workloads", poll_workloads},
    Route{Method::get, "reservations/nodes/workloads/{g}", get_by_gwid},
    Route{
        Method::put,
        "reservations/nodes/{x}/workloads/{g}",
        put_result,
        Under::both,
        Signed::speaker},
    Route{Method::del, "reservations/nodes/{x}/workloads/{g}", confirm_deleted},
};

constexpr std::array hub_routes{
    Route{Method::get, "api/flist", hub_alive},
    Route{Method::get, "api/flist/{x}", hub_list},
    Route{Method::get, "api/flist/{x}/{x}/light", hub_light},
    Route{Method::get, "{x}/{x}", hub_get},
    Route{Method::head, "{x}/{x}", hub_get},
    Route{Method::put, "{x}/{x}", hub_put, Under::both, Signed::user},
};

bool is_digits(std::string_view text)
{
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_gwid(std::string_view text)
{
    const auto dash = text.find('-');
    return dash != std::string_view::npos && is_digits(text.substr(0, dash)) &&
           is_digits(text.substr(dash + 1));
}

bool matches(
    std::string_view pattern,
    const std::vector<std::string_view>& pieces,
    std::vector<std::string>& parts)
{
    parts.clear();
    const auto wanted = split(pattern, '/');
    if (wanted.size() != pieces.size()) return false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const auto piece = pieces[i];
        if (wanted[i] == "{n}"   ? !is_digits(piece)
            : wanted[i] == "{g}" ? !is_gwid(piece)
            : wanted[i] == "{x}" ? piece.empty()
                                 : wanted[i] != piece)
            return false;
        if (!wanted[i].starts_with('{')) continue;
        auto plain = http::percent_decode(piece);
        if (!plain) return false;
        parts.push_back(*std::move(plain));
    }
    return true;
}

tl::unexpected<Refusal> page_not_found()
{
    return refuse(404, "404 page not found\n", Refusal::Form::plain);
}

/// The same path without repeated slashes, or "" when it has none.
std::string without_double_slashes(const http::Target& target, std::string_view whole)
{
    if (target.path.find("//") == std::string::npos) return {};
    std::string clean;
    for (const char c : target.path)
        if (c != '/' || !clean.ends_with('/')) clean += c;
    return clean + std::string{whole.substr(target.path.size())};
}

/// A browser asks what it may do; any origin may.
Answer<> preflight(const http::Request& request)
{
    if (!request.headers.find("Origin") || !request.headers.find("Access-Control-Request-Method"))
        return Reply{};
    const auto method = request.headers.get("Access-Control-Request-Method");
    if (method != "GET" && method != "HEAD" && method != "POST")
        return refuse(405, "", Refusal::Form::empty);
    for (const auto name : split(request.headers.get("Access-Control-Request-Headers"), ',')) {
        const auto wanted = to_lower(trim(name));
        if (!wanted.empty() && wanted != "content-type" && wanted != "accept" &&
            wanted != "accept-language" && wanted != "content-language" && wanted != "origin")
            return refuse(403, "", Refusal::Form::empty);
    }
    Reply reply;
    if (!request.headers.get("Access-Control-Request-Headers").empty())
        reply.headers.add("Access-Control-Allow-Headers", "Content-Type");
    reply.headers.add("Access-Control-Allow-Origin", "*");
    return reply;
}

bool only_reads(const http::Request& request)
{
    return request.method == Method::get || request.method == Method::head ||
           request.method == Method::options;
}

/// Whether what was done for this answer stays.
bool is_kept(const Answer<>& answer) { return answer || answer.error().keeps_changes; }

struct Found {
    const Route* route = nullptr;
    bool path_known = false;
};

/// Leaves in `call` what the wildcards matched.
Found find(Call& call, std::span<const Route> table, const std::vector<std::string_view>& pieces)
{
    Found found;
    for (const auto& route : table) {
        if (route.under == Under::api && call.old_prefix) continue;
        if (route.under == Under::old && !call.old_prefix) continue;
        if (!matches(route.pattern, pieces, call.parts)) continue;
        found.path_known = true;
        if (route.method != call.request.method) continue;
        found.route = &route;
        break;
    }
    return found;
}

/// The table that a path belongs to, and its pieces there.
std::span<const Route> table_of(Call& call, std::vector<std::string_view>& pieces, bool has_hub)
{
    pieces = split(call.target.path, '/');
    if (pieces.size() < 2 || !pieces[0].empty()) return {};
    pieces.erase(pieces.begin());
    const bool api = pieces.size() > 2 && pieces[0] == "api" && pieces[1] == "v1";
    call.old_prefix = pieces.size() > 1 && pieces[0] == "explorer";
    if (api || call.old_prefix) {
        pieces.erase(pieces.begin(), pieces.begin() + (api ? 2 : 1));
        return routes;
    }
    if (!has_hub) return {};
    return hub_routes;
}

}  // namespace

Reply json_reply(unsigned status, std::string json)
{
    Reply reply{.status = status, .body = std::move(json)};
    reply.body += '\n';
    reply.headers.add("Content-Type", "application/json");
    return reply;
}

Reply null_reply(unsigned status) { return json_reply(status, "null"); }

Reply reply_of(const Refusal& refusal)
{
    using Form = Refusal::Form;
    if (refusal.form == Form::empty) return Reply{.status = refusal.status};
    if (refusal.form == Form::plain) {
        Reply reply{.status = refusal.status, .body = refusal.text};
        reply.headers.add("Content-Type", "text/plain; charset=utf-8");
        return reply;
    }
    auto reply = json_reply(refusal.status, grid::to_json(grid::ErrorReply{refusal.text}));
    if (refusal.form == Form::signature)
        reply.headers.add("Www-Authenticate", "Signature headers=\"(created) date threebot-id\"");
    return reply;
}

Answer<std::int64_t> integer_of(std::string_view text, std::string_view prefix)
{
    std::int64_t number = 0;
    auto digits = text;
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (bad == std::errc{} && end == digits.data() + digits.size()) return number;
    const bool too_large =
        bad == std::errc::result_out_of_range && end == digits.data() + digits.size();
    return refuse(
        400,
        std::string{prefix} + "strconv.ParseInt: parsing \"" + printable(text) +
            (too_large ? "\": value out of range" : "\": invalid syntax"));
}

Paging Paging::of(const Call& call)
{
    Paging paging;
    paging.page = to_number<std::int64_t>(call.argument("page").value_or("1")).value_or(1);
    // A size without sense is no request for everything, or a garbled count of pages.
    const auto size = to_number<std::int64_t>(call.argument("size").value_or(""));
    if (size && *size >= 1) {
        paging.size = std::min<std::int64_t>(*size, 1000);
        paging.size_is_asked = true;
    }
    paging.page = std::clamp<std::int64_t>(paging.page, 1, INT64_MAX / 1000);
    return paging;
}

void Paging::mark(Reply& reply, std::int64_t total) const
{
    reply.headers.add("Pages", std::to_string((total + size - 1) / size));
}

Answer<> Core::dispatch(const http::Request& request, std::int64_t now)
{
    Call call{.request = request, .target = http::parse_target(request.target), .parts = {}};
    call.now = now;
    if (request.method == Method::options) return preflight(request);

    if (auto clean = without_double_slashes(call.target, request.target); !clean.empty()) {
        Reply moved{.status = 301};
        moved.headers.add("Location", std::move(clean));
        return moved;
    }
    if (request.method == Method::get &&
        (call.target.path == "/" || call.target.path == "/explorer" ||
         call.target.path == "/api/v1")) {
        Reply page{
            .body =
                "<!DOCTYPE html><title>znode</title><p>A private explorer; its API is "
                "below <code>/api/v1</code>.</p>\n"};
        page.headers.add("Content-Type", "text/html; charset=utf-8");
        return page;
    }
    std::vector<std::string_view> pieces;
    const auto table = table_of(call, pieces, !options.hub.empty());
    const auto found = find(call, table, pieces);
    if (found.route != nullptr) return found.route->handle(*this, call);
    if (found.path_known) return refuse(405, "", Refusal::Form::empty);
    return page_not_found();
}

bool publishes(const http::Request& head)
{
    if (head.method != Method::put) return false;
    Call call{.request = head, .target = http::parse_target(head.target), .parts = {}};
    std::vector<std::string_view> pieces;
    const auto table = table_of(call, pieces, true);
    const auto found = find(call, table, pieces);
    return found.route != nullptr && found.route->handle == hub_put &&
           call.target.path.ends_with(".flist");
}

bool Core::reads_hub(const http::Request& request) const
{
    if (options.hub.empty() || (request.method != Method::get && request.method != Method::head))
        return false;
    Call call{.request = request, .target = http::parse_target(request.target), .parts = {}};
    std::vector<std::string_view> pieces;
    return table_of(call, pieces, true).data() == hub_routes.data();
}

std::optional<Reply> Core::refuse_head(const http::Request& request, std::int64_t now)
{
    Call call{.request = request, .target = http::parse_target(request.target), .parts = {}};
    call.now = now;
    std::vector<std::string_view> pieces;
    const auto table = table_of(call, pieces, !options.hub.empty());
    const auto found = find(call, table, pieces);
    if (found.route == nullptr) return std::nullopt;  // Says so at once, whatever the body is.
    const auto said = [](const auto& signer) -> std::optional<Reply> {
        if (signer) return std::nullopt;
        return reply_of(signer.error());
    };
    switch (found.route->by) {
        case Signed::no:
            return std::nullopt;
        case Signed::user:
            return said(signing_user(*this, call));
        case Signed::node:
            return said(signing_node(*this, call));
        case Signed::farmer:
            return options.lenient ? std::nullopt : said(signing_user(*this, call));
        case Signed::speaker:
            return options.lenient ? std::nullopt : said(signing_node(*this, call));
    }
    return std::nullopt;
}

/// What a request brings home, with the headers that browsers want.
Reply Core::reply_to(const http::Request& request, Answer<> answer)
{
    Reply reply;
    if (answer) {
        reply = *std::move(answer);
    } else {
        const auto& refusal = answer.error();
        if (refusal.status >= 500 && refusal.status != 503)  // Told where the database refused.
            log->warn(
                "request failed target={} error=\"{}\"",
                printable(request.target),
                printable(refusal.text, 400));
        reply = reply_of(refusal);
    }
    if (request.headers.find("Origin") && request.method != Method::options) {
        reply.headers.set("Access-Control-Allow-Origin", "*");
        reply.headers.set("Access-Control-Expose-Headers", "Pages");
    }
    if (reply.status == 404 && reply.headers.get("Content-Type").starts_with("text/plain"))
        reply.headers.set("X-Content-Type-Options", "nosniff");
    return reply;
}

Reply Core::handle(const http::Request& request, std::int64_t now)
{
    if (only_reads(request)) return reply_to(request, dispatch(request, now));

    // One transaction for whatever it does: an answer means that it is on disk, a refusal that
    // nothing has happened, unless it says so itself.
    std::optional<Answer<>> answer;
    const auto done = db.transaction([&]() -> Result<> {
        answer.emplace(dispatch(request, now));
        if (!is_kept(*answer)) return fail(Errc::invalid, "refused");
        return {};
    });
    if (!done && (!answer || is_kept(*answer))) {
        log->error("database refuses error=\"{}\"", done.error().message);
        const bool begun = answer.has_value();
        answer = refuse(
            503,
            begun ? "the explorer can't write its database; try again"
                  : "the explorer's database is busy; try again");
    }
    return reply_to(request, *std::move(answer));
}

std::vector<std::optional<Reply>> Core::handle_all(
    const std::vector<const http::Request*>& requests, std::int64_t now, std::size_t room)
{
    std::vector<std::optional<Answer<>>> answers(requests.size());
    const auto together = [&]() -> Result<> {
        for (std::size_t i = 0; i < requests.size(); ++i) {
            if (only_reads(*requests[i])) continue;
            TRY_DO(db.part([&] {
                answers[i].emplace(dispatch(*requests[i], now));
                return is_kept(*answers[i]);
            }));
        }
        return {};
    };
    const auto writers =
        std::ranges::count_if(requests, [](const auto* request) { return !only_reads(*request); });
    bool written = false;
    if (writers > 1) {
        const auto committed = db.transaction(together);
        written = committed.has_value();
        // What the disk refuses to many may have room one by one; each hears the truth then.
        if (!written)
            log->warn("requests are written one by one error=\"{}\"", committed.error().message);
    }
    std::vector<std::optional<Reply>> replies(requests.size());
    std::size_t built = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        if (written && answers[i])
            replies[i] = reply_to(*requests[i], *std::move(answers[i]));
        else if (built < room || !only_reads(*requests[i]))
            replies[i] = handle(*requests[i], now);
        if (replies[i]) built += replies[i]->body.size();
    }
    return replies;
}

}  // namespace znode::explorer_server
