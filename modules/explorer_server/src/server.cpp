#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <deque>
#include <functional>
#include <map>

#include <boost/asio/ip/address.hpp>

#include "async/blocking.hpp"
#include "async/event.hpp"
#include "async/task_group.hpp"
#include "base/text.hpp"
#include "core.hpp"
#include "rate_limit.hpp"

namespace znode::explorer_server {
namespace {

using http::Reply;
using http::Request;

/// So many go to the database together: enough to share the wait for the disk, few enough that the
/// first does not wait for long.
constexpr std::size_t visitors_at_once = 128;

/// A node's poll that may be held until something happens.
struct LongPoll {
    std::string node;
    std::int64_t from = 0;
    Duration wait{0};
    std::string etag;  ///< What the node knows; empty: nothing.
};

/// "wait=30" out of a Prefer header; 0 when it is not there.
std::chrono::seconds wanted_wait(const Request& request)
{
    for (const auto value : request.headers.all("Prefer"))
        for (const auto preference : split(value, ',')) {
            const auto text = trim(preference);
            if (!text.starts_with("wait=")) continue;
            return std::chrono::seconds{to_number<unsigned short>(text.substr(5)).value_or(0)};
        }
    return std::chrono::seconds{0};
}

/// The node whose work is asked for, in the words of either era; "" when it is something else.
std::string_view polling_node(std::string_view path)
{
    constexpr std::string_view first_era = "/explorer/reservations/workloads/";
    if (path.starts_with(first_era)) {
        path.remove_prefix(first_era.size());
        // A gwid asks for one workload; it has no place for waiting.
        return path.find_first_of("/-") == std::string_view::npos ? path : std::string_view{};
    }
    for (const std::string_view prefix :
         {"/api/v1/reservations/nodes/", "/explorer/reservations/nodes/"}) {
        if (!path.starts_with(prefix)) continue;
        path.remove_prefix(prefix.size());
        const auto slash = path.find('/');
        if (slash != std::string_view::npos && path.substr(slash) == "/workloads")
            return path.substr(0, slash);
    }
    return {};
}

std::optional<LongPoll> long_poll_of(const Request& request, Duration longest)
{
    if (request.method != http::Method::get) return std::nullopt;
    const auto wait = wanted_wait(request);
    if (wait.count() <= 0) return std::nullopt;
    const auto target = http::parse_target(request.target);
    const auto node = polling_node(target.path);
    const auto from = to_number<std::int64_t>(target.find("from").value_or(""));
    if (node.empty() || !from || *from < 0) return std::nullopt;
    return LongPoll{
        .node = std::string{node},
        .from = *from,
        .wait = std::min<Duration>(wait, longest),
        .etag = std::string{request.headers.get("If-None-Match")}};
}

/// A name that rebinding could have brought here is none of ours.
bool is_our_host(std::string_view header, const std::vector<std::string>& hosts)
{
    if (header.empty()) return true;
    auto name = header;
    if (name.starts_with('[')) {
        name = name.substr(1, name.find(']') - 1);
    } else if (const auto colon = name.find(':'); colon != std::string_view::npos) {
        name = name.substr(0, colon);
    }
    boost::system::error_code no_address;
    (void)asio::ip::make_address(name, no_address);
    if (!no_address) return true;
    const auto lower = to_lower(name);
    return lower == "localhost" || std::ranges::find(hosts, lower) != hosts.end();
}

Refusal not_our_host()
{
    return {421, "this host name is not served here; see zgrid serve --host"};
}

class LoopExplorerServer : public ExplorerServer {
public:
    LoopExplorerServer(asio::io_context& loop, std::unique_ptr<Core> core, Log log)
        : core_{std::move(core)},
          log_{std::move(log)},
          limit_{core_->options.requests_per_second, core_->options.burst},
          loop_{loop},
          timer_changed_{loop},
          group_{loop},
          visits_{loop},
          lane_{1},
          hub_lane_{1}
    {
        group_.spawn(watch_clock());
    }

    // Both outlive the answer: that is what the interface promises.
    // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
    Task<Reply> answer(const Request& request, const http::Peer& peer) override
    {
        // One that was looked at has been counted then.
        if (!request.head_checked && !may_ask(peer)) co_return too_many();
        if (!is_our_host(request.headers.get("Host"), core_->options.hosts))
            co_return reply_of(not_our_host());
        if (core_->reads_hub(request)) co_return co_await read_hub(&request);
        if (auto poll = long_poll_of(request, core_->options.longest_wait))
            co_return co_await hold(&request, *std::move(poll));
        co_return co_await handle(&request);
    }

    Task<std::optional<Reply>> refuse_head(const Request& head, const http::Peer& peer) override
    {
        return look_at(&head, may_ask(peer));
    }

    Task<> stop() override
    {
        stopping_ = true;
        for (auto& [node, event] : waiting_) event->notify();
        timer_changed_.notify();
        co_await group_.drain();
    }

private:
    std::int64_t now() const
    {
        return core_->options.now ? core_->options.now() : std::int64_t{std::time(nullptr)};
    }

    /// Who waits for his turn. Lives in the frame that waits.
    struct Visitor {
        const Request* request;
        Reply reply;
    };
    struct Place {
        Visitor* visitor;
        std::function<void()> resume;
    };
    /// A visit to the database, and what it leaves for the loop. The core itself is the lane's.
    struct Visit {
        std::vector<Place> visitors;
        std::vector<std::optional<Reply>> replies;
        std::set<std::string> woken;
        bool timer_changed = false;
    };

    /// Takes one of the address's requests.
    bool may_ask(const http::Peer& peer)
    {
        return limit_.allow(bucket_of(peer.address), Clock::now());
    }
    static Reply too_many()
    {
        auto reply = reply_of({429, "too many requests from your address"});
        reply.headers.add("Retry-After", "1");
        return reply;
    }

    Task<std::optional<Reply>> look_at(const Request* head, bool may_ask)
    {
        if (!may_ask) co_return too_many();
        if (!is_our_host(head->headers.get("Host"), core_->options.hosts))
            co_return reply_of(not_our_host());
        const auto time = now();
        co_return co_await lane_.run([&] { return core_->refuse_head(*head, time); });
    }

    /// Flists are large and need no database: they are read beside it.
    Task<Reply> read_hub(const Request* request)
    {
        struct Read {
            Reply reply;
            std::optional<kernel::Fd> file;
        };
        const auto time = now();
        auto read = co_await hub_lane_.run([&] {
            Read done{.reply = core_->handle(*request, time), .file = {}};
            done.file.swap(core_->opened);
            return done;
        });
        if (read.file) {
            const auto file = std::make_shared<kernel::Fd>(*std::move(read.file));
            const auto length = read.reply.stream_length.value_or(0);
            read.reply.stream = [this, file, length](http::BodySink* sink) {
                return pour(sink, file, length);
            };
        }
        co_return std::move(read.reply);
    }

    Task<Result<>> pour(
        http::BodySink* sink, std::shared_ptr<kernel::Fd> file, std::uint64_t length)
    {
        std::string piece;
        for (std::uint64_t done = 0; done < length;) {
            const auto got = co_await hub_lane_.run([&] {
                piece.resize(std::min<std::uint64_t>(length - done, 256U << 10U));
                return kernel::retry_eintr([&] {
                    return ::pread(
                        file->get(), piece.data(), piece.size(), static_cast<off_t>(done));
                });
            });
            if (got <= 0) co_return fail(Errc::unavailable, "the flist has become shorter");
            const auto size = static_cast<std::size_t>(got);
            CO_TRY_DO(co_await sink->write(std::string_view{piece}.substr(0, size)));
            done += size;
        }
        co_return Result<>{};
    }

    /// Nobody leaves the queue before he has his reply, cancelled or not: the lane reads his
    /// request.
    Task<Reply> handle(const Request* request)
    {
        Visitor visitor{.request = request, .reply = {}};
        const auto queue_up = [&](auto resume) {
            const auto held = std::make_shared<decltype(resume)>(std::move(resume));
            queue_.push_back({&visitor, [held] { (*held)(); }});
            if (!busy_) let_in();
        };
        co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
            queue_up, asio::use_awaitable);
        co_return std::move(visitor.reply);
    }

    void let_in()
    {
        busy_ = true;
        visits_.spawn(visit_database());
    }

    /// Whoever has come while the database was busy goes in together.
    Task<> visit_database()
    {
        Visit visit;
        while (!queue_.empty() && visit.visitors.size() < visitors_at_once) {
            visit.visitors.push_back(std::move(queue_.front()));
            queue_.pop_front();
        }
        const auto time = now();
        co_await lane_.run([&] {
            std::vector<const Request*> requests;
            for (const auto& place : visit.visitors) requests.push_back(place.visitor->request);
            visit.replies = core_->handle_all(requests, time);
            visit.woken.swap(core_->woken);
            visit.timer_changed = std::exchange(core_->timer_changed, false);
        });
        see_off(visit);
    }

    void see_off(Visit& visit)
    {
        busy_ = false;
        wake(visit.woken);
        if (visit.timer_changed) timer_changed_.notify();
        // Whose answer would have been too much at once comes first next time.
        for (std::size_t i = visit.visitors.size(); i > 0; --i)
            if (!visit.replies[i - 1]) queue_.push_front(std::move(visit.visitors[i - 1]));
        // The next are in while these write to their clients.
        if (!queue_.empty()) let_in();
        for (std::size_t i = 0; i < visit.visitors.size(); ++i) {
            if (!visit.replies[i]) continue;
            const auto& place = visit.visitors[i];
            place.visitor->reply = *std::move(visit.replies[i]);
            asio::post(loop_, place.resume);
        }
    }

    void wake(const std::set<std::string>& nodes)
    {
        for (const auto& node : nodes) {
            const auto [first, last] = waiting_.equal_range(node);
            for (auto entry = first; entry != last; ++entry) entry->second->notify();
        }
    }

    /// Takes the poll off the list of the waiting however it ends.
    struct Waiter {
        LoopExplorerServer& server;
        Event event;
        std::multimap<std::string, Event*>::iterator place;

        Waiter(LoopExplorerServer& owner, const std::string& node)
            : server{owner}, event{owner.loop_}, place{owner.waiting_.emplace(node, &event)}
        {
        }
        ~Waiter() { server.waiting_.erase(place); }
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;
    };

    struct Look {
        Result<std::string> etag;
        Result<bool> anything_new;
        Result<std::int64_t> counter;
    };

    Task<Reply> hold(const Request* request, LongPoll poll)
    {
        // On the list before the first look, so that nothing falls in between.
        Waiter waiter{*this, poll.node};
        const auto until = Clock::now() + poll.wait;
        std::string etag;
        for (;;) {
            const auto look = co_await lane_.run([&] {
                return Look{
                    core_->etag_of(poll.node),
                    core_->anything_new(poll.node, poll.from),
                    core_->last_id("workload")};
            });
            if (!look.etag || !look.anything_new || !look.counter) break;
            etag = *look.etag;
            if (poll.etag != etag || *look.anything_new) break;
            if (stopping_ || Clock::now() >= until) {
                Reply idle{.status = 304};
                idle.headers.add("x-last-id", std::to_string(*look.counter));
                mark(idle, etag, poll.wait);
                co_return idle;
            }
            (void)co_await waiter.event.wait_for(until - Clock::now());
        }
        // The mark was read before the page: what comes in between is told twice, not never.
        auto reply = co_await handle(request);
        if (!etag.empty()) mark(reply, etag, poll.wait);
        co_return reply;
    }

    static void mark(Reply& reply, const std::string& etag, Duration wait)
    {
        const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
        reply.headers.add("ETag", etag);
        reply.headers.add("Preference-Applied", "wait=" + std::to_string(seconds));
    }

    Task<> watch_clock()
    {
        while (!stopping_) {
            const auto time = now();
            struct Expiry {
                Result<std::int64_t> next;
                std::set<std::string> woken;
            };
            const auto expiry = co_await lane_.run([&] {
                Expiry done{.next = core_->expire(time), .woken = {}};
                done.woken.swap(core_->woken);
                core_->timer_changed = false;
                return done;
            });
            wake(expiry.woken);
            if (!expiry.next)
                log_->error(
                    "what has ended can't be looked at error=\"{}\"", expiry.next.error().message);
            const auto pause = expiry.next ? *expiry.next - time : 60;
            if (stopping_) co_return;
            (void)co_await timer_changed_.wait_for(
                std::chrono::seconds{std::max<std::int64_t>(pause, 1)});
        }
    }

    std::unique_ptr<Core> core_;
    Log log_;
    RateLimit limit_;
    asio::io_context& loop_;
    std::multimap<std::string, Event*> waiting_;
    std::deque<Place> queue_;
    bool busy_ = false;  ///< Visitors are with the database.
    bool stopping_ = false;
    Event timer_changed_;
    TaskGroup group_;
    TaskGroup visits_;  ///< Never cancelled: each ends once its visitors have their replies.
    Blocking lane_;     // Last: their threads end before the core does.
    Blocking hub_lane_;
};

}  // namespace

Result<std::unique_ptr<ExplorerServer>> make_explorer_server(
    asio::io_context& loop, Options options, Log log)
{
    if (options.first_id < 1) return fail(Errc::invalid, "the first id must be 1 or more");
    for (auto& host : options.hosts) host = to_lower(host);
    auto core = Core::open(std::move(options), log);
    if (!core)
        return tl::unexpected(std::move(core).error().during("open the explorer's database"));
    return std::make_unique<LoopExplorerServer>(loop, *std::move(core), std::move(log));
}

http::ServerLimits server_limits(const Options& options)
{
    http::ServerLimits limits;
    // Flists are published in one piece.
    static constexpr auto usual = std::uint64_t{8} << 20U;
    limits.body = usual;
    if (!options.hub.empty()) {
        limits.body = std::uint64_t{64} << 20U;
        limits.body_of = [most = limits.body](const Request& head) {
            return publishes(head) ? most : usual;
        };
    }
    limits.connections = 16'384;
    limits.connections_per_address = 12'000;
    return limits;
}

}  // namespace znode::explorer_server
