#include "connection.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "wire.hpp"

namespace znode::http {
namespace {

constexpr std::size_t write_piece = std::size_t{256} << 10U;
/// So much of a body must come within `ServerLimits::body_time`.
constexpr std::size_t body_piece = std::size_t{1} << 20U;
/// Each of these in a whole answer is worth `ServerLimits::write_more`.
constexpr std::size_t reply_piece = std::size_t{64} << 10U;

/// Cuts the stream, or the read that is pending, when the time is over. Cheaper than a race per
/// read: one timer, no coroutine.
class Watchdog {
public:
    enum class Cut { stream, read };

    Watchdog(const asio::any_io_executor& loop, Stream& stream)
        : timer_{loop}, guard_{std::make_shared<Guard>(Guard{&stream})}
    {
    }
    ~Watchdog() { guard_->stream = nullptr; }
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    void arm(Duration patience, Cut what = Cut::stream)
    {
        ++guard_->round;
        timer_.expires_after(patience);
        timer_.async_wait(
            [this, guard = guard_, round = guard_->round, what](boost::system::error_code ec) {
                // The handler may be queued already when the timer is disarmed: hence the round.
                if (ec || guard->round != round || guard->stream == nullptr) return;
                guard->expired = true;
                if (what == Cut::stream)
                    guard->stream->close();
                else
                    cut_read();
            });
    }
    void disarm()
    {
        ++guard_->round;
        timer_.cancel();
    }
    /// Whether the time was over once; it stays so.
    bool expired() const noexcept { return guard_->expired; }

private:
    /// A TLS stream may be between two reads of its socket, and begins another one.
    void cut_read()
    {
        guard_->stream->cut_read();
        arm(std::chrono::seconds{1});
    }

    struct Guard {
        Stream* stream;
        unsigned round = 0;
        bool expired = false;
    };
    asio::steady_timer timer_;
    std::shared_ptr<Guard> guard_;
};

class PieceWriter : public BodySink {
public:
    PieceWriter(Stream& stream, Watchdog& watchdog, Duration patience, bool chunked)
        : stream_{stream}, watchdog_{watchdog}, patience_{patience}, chunked_{chunked}
    {
    }
    Task<Result<>> write(std::string_view piece) override
    {
        if (piece.empty()) co_return Result<>{};  // An empty chunk would be the end.
        written_ += piece.size();
        if (!chunked_) co_return co_await put(piece);
        std::array<char, 20> size{};
        const int digits = std::snprintf(size.data(), size.size(), "%zx\r\n", piece.size());
        std::string chunk{size.data(), static_cast<std::size_t>(digits)};
        chunk.append(piece).append("\r\n");
        co_return co_await put(chunk);
    }
    Task<Result<>> put(std::string_view bytes)
    {
        // A deadline for each piece: who reads slowly gets a large answer whole all the same. What
        // is in memory until its end has one for the whole besides.
        do {
            const auto piece = bytes.substr(0, write_piece);
            bytes.remove_prefix(piece.size());
            const auto left = until_ - Clock::now();
            if (left <= Duration::zero())
                co_return fail(Errc::timeout, "the answer takes too long");
            watchdog_.arm(std::min(patience_, left));
            auto sent = co_await stream_.write(asio::buffer(piece));
            watchdog_.disarm();
            if (!sent) co_return sent;
        } while (!bytes.empty());
        co_return Result<>{};
    }
    std::uint64_t written() const noexcept { return written_; }
    /// All must be written by then.
    void end_by(Clock::time_point until) { until_ = until; }

private:
    Stream& stream_;
    Watchdog& watchdog_;
    Duration patience_;
    Clock::time_point until_ = Clock::time_point::max();
    bool chunked_;
    std::uint64_t written_ = 0;
};

class Connection {
public:
    Connection(
        ConnectionContext& context, ConnectionState& state, const asio::any_io_executor& loop)
        : context_{context}, state_{state}, stream_{*state.stream}, watchdog_{loop, stream_}
    {
        peer_.address = stream_.remote_address();
        network_ = network_of(peer_.address);
        if (auto who = peer_credentials(stream_)) peer_.credentials = *who;
    }

    Task<> run()
    {
        while (!context_.stopping) {
            RequestParser parser{context_.limits.header, context_.limits.body};
            Holding share{network_};
            if (!co_await receive(&parser, &share)) co_return;
            ++context_.counters.requests;
            auto reply = co_await context_.handler(parser.request(), peer_);
            const bool keep = parser.keep_alive() && !context_.stopping;
            const bool is_head = parser.request().method == Method::head;
            const auto size = reply.body.size();
            Holding reply_share{network_};
            if (!reply_share.hold(context_.shares.of_reply(size), size)) reply = too_many_answers();
            if (!co_await send(&reply, keep, is_head, parser.knows_chunks()) || !keep) co_return;
        }
    }

private:
    /// Reads one request; answers broken ones itself. False: the connection is over.
    Task<bool> receive(RequestParser* parser, Holding* share)
    {
        state_.idle = inbox_.empty();
        // Who has not begun a request waits for no answer.
        if (state_.idle)
            watchdog_.arm(context_.limits.idle);
        else
            watchdog_.arm(context_.limits.header_time, Watchdog::Cut::read);
        bool in_body = false;
        std::size_t in_time = 0;  // What had come of the body when the watchdog was armed.
        while (!parser->done()) {
            if (inbox_.empty() && !co_await read_in_time(parser)) co_return false;
            if (state_.idle) {
                state_.idle = false;
                watchdog_.arm(context_.limits.header_time, Watchdog::Cut::read);
            }
            if (auto fed = parser->feed(inbox_); !fed) {
                watchdog_.disarm();
                co_await refuse(parser->refusal(), fed.error().message);
                co_return false;
            }
            if (in_body && !has_room(parser->request().body.size(), share)) {
                watchdog_.disarm();
                // What is not counted any more must not stay while the refusal is sent.
                std::string{}.swap(parser->request().body);
                co_await refuse(503, "too many large requests at once; try again in a moment");
                co_return false;
            }
            if (const auto size = parser->request().body.size(); size >= in_time + body_piece) {
                in_time = size;
                watchdog_.arm(context_.limits.body_time, Watchdog::Cut::read);
            }
            if (parser->head_done() && !in_body) {
                in_body = true;
                watchdog_.disarm();
                if (const auto& limit = context_.limits.body_of;
                    limit && !parser->limit_body(limit(parser->request()))) {
                    co_await refuse(413, "HTTP: body limit exceeded");
                    co_return false;
                }
                if (context_.check && !parser->done() && !body_came_along(parser->request())) {
                    if (auto refusal = co_await context_.check(parser->request(), peer_)) {
                        co_await refuse(*std::move(refusal));
                        co_return false;
                    }
                    parser->request().head_checked = true;
                }
                watchdog_.arm(context_.limits.body_time, Watchdog::Cut::read);
                if (!parser->done() && parser->request().headers.get("Expect") == "100-continue" &&
                    !co_await stream_.write(asio::buffer("HTTP/1.1 100 Continue\r\n\r\n", 25)))
                    co_return false;
                continue;
            }
            // What is left could not be used yet: the header is cut.
            if (!parser->done() && !co_await read_in_time(parser)) co_return false;
        }
        watchdog_.disarm();
        co_return true;
    }

    /// More of a request; answers who is too slow. False: the connection is over.
    Task<bool> read_in_time(RequestParser* parser)
    {
        const bool more = co_await read_more();
        if (more && !watchdog_.expired()) co_return true;
        watchdog_.disarm();
        if (watchdog_.expired() && !state_.idle) {
            std::string{}.swap(parser->request().body);  // It must not stay while this is sent.
            co_await refuse(408, "the request came too slowly; send it again over a faster line");
        }
        co_return false;
    }

    bool has_room(std::uint64_t body, Holding* share)
    {
        return share->hold(context_.shares.of_request(body), body + inbox_.size());
    }

    static Reply too_many_answers()
    {
        Reply reply{
            .status = 503, .body = "too many large answers at once; try again in a moment\n"};
        reply.headers.set("Content-Type", "text/plain; charset=utf-8");
        reply.headers.set("Retry-After", "1");
        return reply;
    }

    /// Whether nothing would be saved by looking at the head alone.
    bool body_came_along(const Request& request) const
    {
        const auto length = to_number<std::uint64_t>(request.headers.get("Content-Length"));
        return length && *length <= inbox_.size();
    }

    Task<bool> read_more()
    {
        const auto got = co_await stream_.read_some(asio::buffer(buffer_));
        if (!got || *got == 0) co_return false;
        inbox_.append(buffer_.data(), *got);
        co_return true;
    }

    Task<> refuse(unsigned status, std::string why)
    {
        Reply reply{.status = status, .body = std::move(why) + "\n"};
        reply.headers.set("Content-Type", "text/plain; charset=utf-8");
        co_await refuse(std::move(reply));
    }

    Task<> refuse(Reply reply)
    {
        ++context_.counters.bad_requests;
        if (!co_await send(&reply, false, false, true)) co_return;
        // Closing with unread bytes resets the connection and the answer with it: read some more.
        watchdog_.arm(context_.limits.linger);
        std::size_t skipped = 0;
        while (skipped < (std::size_t{1} << 20U)) {
            const auto got = co_await stream_.read_some(asio::buffer(buffer_));
            if (!got || *got == 0) break;
            skipped += *got;
        }
        watchdog_.disarm();
    }

    Task<bool> send(Reply* reply, bool keep, bool is_head, bool knows_chunks)
    {
        const bool bodiless = reply->status == 204 || reply->status == 304;
        if (reply->stream && !is_head && !bodiless)
            co_return co_await send_stream(reply, keep, knows_chunks);

        const auto length = reply->stream ? reply->stream_length.value_or(0) : reply->body.size();
        auto message = head_of(*reply, bodiless ? Framing::none : Framing::length, length, keep);
        PieceWriter out{stream_, watchdog_, context_.limits.write_time, false};
        const auto pieces = static_cast<std::int64_t>(reply->body.size() / reply_piece);
        out.end_by(Clock::now() + context_.limits.write_time + context_.limits.write_more * pieces);
        if (is_head || bodiless) co_return !!co_await out.put(message);
        // One write for what is small: one packet.
        if (reply->body.size() <= (64U << 10U)) {
            message += reply->body;
            co_return !!co_await out.put(message);
        }
        if (!co_await out.put(message)) co_return false;
        co_return !!co_await out.put(reply->body);
    }

    Task<bool> send_stream(Reply* reply, bool keep, bool knows_chunks)
    {
        auto framing = reply->stream_length ? Framing::length : Framing::chunked;
        if (framing == Framing::chunked && !knows_chunks) framing = Framing::until_close;
        if (framing == Framing::until_close) keep = false;
        PieceWriter out{
            stream_, watchdog_, context_.limits.write_time, framing == Framing::chunked};
        if (!co_await out.put(head_of(*reply, framing, reply->stream_length.value_or(0), keep)))
            co_return false;

        const auto done = co_await run_until(hang_up(), reply->stream(&out));
        // A cut body must not look like a whole one: the connection ends without the last chunk.
        if (!done || !*done) co_return false;
        if (framing == Framing::length && out.written() != *reply->stream_length) co_return false;
        if (framing == Framing::chunked && !co_await out.put("0\r\n\r\n")) co_return false;
        co_return keep;
    }

    /// Ends when the peer has gone; keeps what it sends meanwhile for the next request.
    Task<> hang_up()
    {
        while (inbox_.size() < context_.limits.header)
            if (!co_await read_more()) co_return;
        co_await sleep_for(std::chrono::hours{24 * 365});
    }

    ConnectionContext& context_;
    ConnectionState& state_;
    Stream& stream_;
    Watchdog watchdog_;
    Peer peer_;
    std::string network_;  ///< Whose share of the memory it is.
    std::string inbox_;
    std::array<char, 16U << 10U> buffer_;
};

}  // namespace

Task<> serve_connection(ConnectionContext* context, ConnectionState* state)
{
    const auto loop = co_await asio::this_coro::executor;
    const auto connection = std::make_unique<Connection>(*context, *state, loop);
    co_await connection->run();
    state->stream->close();
}

}  // namespace znode::http
