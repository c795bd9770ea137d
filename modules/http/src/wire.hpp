#pragma once
// The wire format, both ways: parsers fed with bytes, and the text of what is sent. No I/O here.

#include <memory>
#include <string>

#include "http/client.hpp"
#include "http/message.hpp"

namespace znode::http {

/// Reads one request out of bytes that arrive in any pieces.
class RequestParser {
public:
    RequestParser(std::uint32_t header_limit, std::uint64_t body_limit);
    ~RequestParser();
    RequestParser(const RequestParser&) = delete;
    RequestParser& operator=(const RequestParser&) = delete;

    /// Takes what it can use from the front of `bytes`; stops once at the end of the header. After
    /// a failure `refusal` is the status to answer with.
    Result<> feed(std::string& bytes);
    bool head_done() const;
    /// A smaller limit for the body of this request, once its head is done. False when more was
    /// announced.
    bool limit_body(std::uint64_t bytes);
    bool done() const;
    bool keep_alive() const;
    /// HTTP/1.1 and later, who understand chunks.
    bool knows_chunks() const;
    unsigned refusal() const;
    Request& request();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Reads one answer. Interim answers (1xx) are skipped.
class ReplyParser {
public:
    /// `to_head`: the answer has no body whatever its header says. With a `sink`, bodies of 2xx go
    /// there and have no limit.
    ReplyParser(bool to_head, std::uint64_t body_limit, ChunkSink sink);
    ~ReplyParser();
    ReplyParser(const ReplyParser&) = delete;
    ReplyParser& operator=(const ReplyParser&) = delete;

    Result<> feed(std::string& bytes);
    /// The connection ended. Fails when the answer was not whole.
    Result<> feed_end();
    bool done() const;
    bool keep_alive() const;
    Reply& reply();

private:
    void reset();
    struct Impl;
    bool to_head_;
    std::uint64_t body_limit_;
    ChunkSink sink_;
    std::unique_ptr<Impl> impl_;
};

/// Whether the text can be sent as a request target or a header: no control characters, no spaces.
bool is_sendable_target(std::string_view text) noexcept;

/// Request line, fields, empty line. Adds Content-Length; `request` has its Host already.
std::string head_of(const Request& request);

/// How the body of an answer is delimited.
enum class Framing { length, chunked, until_close, none };

/// Status line, fields, empty line. Control characters in values become spaces.
std::string head_of(const Reply& reply, Framing framing, std::uint64_t length, bool keep_alive);

}  // namespace znode::http
