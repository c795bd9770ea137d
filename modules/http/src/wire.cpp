#include "wire.hpp"

#include <algorithm>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "base/text.hpp"

namespace znode::http {
namespace {

namespace beast = boost::beast;
using beast::http::verb;
using boost::system::error_code;

Method method_of(verb text) noexcept
{
    switch (text) {
        case verb::get:
            return Method::get;
        case verb::head:
            return Method::head;
        case verb::post:
            return Method::post;
        case verb::put:
            return Method::put;
        case verb::delete_:
            return Method::del;
        case verb::options:
            return Method::options;
        case verb::patch:
            return Method::patch;
        default:
            return Method::other;
    }
}

std::string text_of(beast::string_view view) { return {view.data(), view.size()}; }

/// Gathers what Beast's parser finds, for both directions.
template <bool IsRequest>
class Parser : public beast::http::basic_parser<IsRequest> {
public:
    Request request;
    Reply reply;
    int version = 11;  // 10 for HTTP/1.0
    std::string* body = nullptr;
    ChunkSink sink;
    std::uint64_t kept_limit = ~std::uint64_t{0};  // Bytes of a body that is kept in memory.
    std::optional<Error> refused_by_sink;

    Result<> take(std::string& bytes)
    {
        while (!bytes.empty() && !this->is_done()) {
            error_code ec;
            const auto used = this->put(boost::asio::buffer(bytes), ec);
            bytes.erase(0, used);
            if (ec == beast::http::error::need_more) {
                if (used == 0) break;
                continue;
            }
            if (refused_by_sink) return tl::unexpected(*refused_by_sink);
            if (ec) return failure(ec);
            if (this->is_header_done() && !this->eager()) break;
        }
        return {};
    }
    tl::unexpected<Error> failure(const error_code& ec)
    {
        last_error_ = ec;
        const bool too_large = ec == beast::http::error::body_limit ||
                               ec == beast::http::error::header_limit ||
                               ec == beast::http::error::buffer_overflow;
        return fail(too_large ? Errc::exhausted : Errc::invalid, "HTTP: " + ec.message());
    }
    error_code last_error() const { return last_error_; }

private:
    void on_request_impl(
        verb method,
        beast::string_view,
        beast::string_view target,
        int number,
        error_code&) override
    {
        version = number;
        request.method = method_of(method);
        request.target = text_of(target);
    }
    void on_response_impl(int code, beast::string_view, int, error_code&) override
    {
        reply.status = static_cast<unsigned>(code);
    }
    void on_field_impl(
        beast::http::field, beast::string_view name, beast::string_view value, error_code&) override
    {
        (IsRequest ? request.headers : reply.headers).add(text_of(name), text_of(value));
    }
    void on_header_impl(error_code&) override
    {
        body = IsRequest ? &request.body : &reply.body;
        if (sink && (reply.status < 200 || reply.status > 299)) sink = nullptr;
    }
    void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override
    {
        if (!sink && length) body->reserve(std::min<std::uint64_t>(*length, 64U << 10U));
    }
    std::size_t on_body_impl(beast::string_view piece, error_code& ec) override
    {
        if (!sink && body->size() + piece.size() > kept_limit) {
            ec = beast::http::error::body_limit;
        } else if (!sink) {
            body->append(piece.data(), piece.size());
        } else if (auto taken = sink({piece.data(), piece.size()}); !taken) {
            refused_by_sink = std::move(taken).error();
            ec = make_error_code(boost::system::errc::operation_canceled);
        }
        return piece.size();
    }
    void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view piece, error_code& ec) override
    {
        return on_body_impl(piece, ec);
    }
    void on_finish_impl(error_code&) override {}

    error_code last_error_;
};

void append_field(std::string& head, std::string_view name, std::string_view value)
{
    head.append(name).append(": ");
    // A line break in a value would let whoever chose the value write fields of his own.
    for (const char c : value) head += static_cast<unsigned char>(c) < 0x20 && c != '\t' ? ' ' : c;
    head += "\r\n";
}

}  // namespace

struct RequestParser::Impl : Parser<true> {};

RequestParser::RequestParser(std::uint32_t header_limit, std::uint64_t body_limit)
    : impl_{std::make_unique<Impl>()}
{
    impl_->header_limit(header_limit);
    impl_->body_limit(body_limit);
}
RequestParser::~RequestParser() = default;

Result<> RequestParser::feed(std::string& bytes)
{
    if (impl_->is_header_done()) impl_->eager(true);
    return impl_->take(bytes);
}
bool RequestParser::limit_body(std::uint64_t bytes)
{
    impl_->kept_limit = bytes;
    const auto announced = impl_->content_length();
    return !announced || *announced <= bytes;
}
bool RequestParser::head_done() const { return impl_->is_header_done(); }
bool RequestParser::done() const { return impl_->is_done(); }
bool RequestParser::keep_alive() const { return impl_->keep_alive(); }
bool RequestParser::knows_chunks() const { return impl_->version >= 11; }
Request& RequestParser::request() { return impl_->request; }

unsigned RequestParser::refusal() const
{
    const auto ec = impl_->last_error();
    if (ec == beast::http::error::body_limit) return 413;
    if (ec == beast::http::error::header_limit || ec == beast::http::error::buffer_overflow)
        return 431;
    return 400;
}

struct ReplyParser::Impl : Parser<false> {};

ReplyParser::ReplyParser(bool to_head, std::uint64_t body_limit, ChunkSink sink)
    : to_head_{to_head}, body_limit_{body_limit}, sink_{std::move(sink)}
{
    reset();
}
ReplyParser::~ReplyParser() = default;

void ReplyParser::reset()
{
    impl_ = std::make_unique<Impl>();
    impl_->header_limit(64U << 10U);
    // A piped file has no limit here; who takes it counts. Beast compares an announced length
    // before the status is known, so the limit of what is kept is our own.
    if (sink_)
        impl_->body_limit(boost::none);
    else
        impl_->body_limit(body_limit_);
    impl_->kept_limit = body_limit_;
    impl_->eager(true);
    impl_->skip(to_head_);
    impl_->sink = sink_;
}

Result<> ReplyParser::feed(std::string& bytes)
{
    for (;;) {
        TRY_DO(impl_->take(bytes));
        if (!impl_->is_done() || impl_->reply.status >= 200) return {};
        reset();
    }
}
Result<> ReplyParser::feed_end()
{
    error_code ec = beast::http::error::end_of_stream;
    if (impl_->got_some()) impl_->put_eof(ec);
    if (ec || !impl_->is_done())
        return fail(Errc::unavailable, "the connection ended before the answer was whole");
    return {};
}
bool ReplyParser::done() const { return impl_->is_done(); }
bool ReplyParser::keep_alive() const { return impl_->keep_alive(); }
Reply& ReplyParser::reply() { return impl_->reply; }

bool is_sendable_target(std::string_view text) noexcept
{
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte > 0x20 && byte < 0x7f;
    });
}

std::string head_of(const Request& request)
{
    std::string head{to_string(request.method)};
    head.append(" ").append(request.target).append(" HTTP/1.1\r\n");
    for (const auto& [name, value] : request.headers) append_field(head, name, value);
    const bool has_body = !request.body.empty() || request.method == Method::post ||
                          request.method == Method::put || request.method == Method::patch;
    if (has_body) append_field(head, "Content-Length", std::to_string(request.body.size()));
    return head += "\r\n";
}

std::string head_of(const Reply& reply, Framing framing, std::uint64_t length, bool keep_alive)
{
    std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " ";
    head.append(reason_of(reply.status)).append("\r\n");
    append_field(head, "Date", format_date(std::time(nullptr)));
    for (const auto& [name, value] : reply.headers) append_field(head, name, value);
    if (framing == Framing::length) append_field(head, "Content-Length", std::to_string(length));
    if (framing == Framing::chunked) append_field(head, "Transfer-Encoding", "chunked");
    if (!keep_alive) append_field(head, "Connection", "close");
    return head += "\r\n";
}

}  // namespace znode::http
