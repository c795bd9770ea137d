#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/task.hpp"
#include "base/result.hpp"

namespace znode::http {

enum class Method { get, head, post, put, del, options, patch, other };

/// "GET", "DELETE", …; "OTHER" for a method that this project has no name for.
std::string_view to_string(Method method) noexcept;

/// Header fields in the order they came; names compare without case.
class Headers {
public:
    using Field = std::pair<std::string, std::string>;

    Headers() = default;
    Headers(std::initializer_list<Field> fields) : fields_{fields} {}

    /// Value of the first field with this name.
    std::optional<std::string_view> find(std::string_view name) const;
    /// The same, or "" when there is none.
    std::string_view get(std::string_view name) const { return find(name).value_or(""); }
    /// Values of all fields with this name, in order.
    std::vector<std::string_view> all(std::string_view name) const;
    /// Replaces all fields of this name by one.
    void set(std::string_view name, std::string value);
    /// Appends a field.
    void add(std::string name, std::string value);

    auto begin() const { return fields_.begin(); }
    auto end() const { return fields_.end(); }
    bool empty() const noexcept { return fields_.empty(); }

private:
    std::vector<Field> fields_;
};

struct Request {
    Method method = Method::get;
    std::string target = "/";  ///< Path and query, already percent-encoded.
    Headers headers = {};
    std::string body = {};
    /// Client only: patience of this one request, in place of `ClientOptions::timeout`.
    std::optional<Duration> patience = {};
    /// Server only: a HeadCheck has let it pass.
    bool head_checked = false;
};

/// Takes a streamed body piece by piece.
class BodySink {
public:
    virtual ~BodySink() = default;
    /// Sends a piece; returns when the kernel has it. Fails when the peer is gone.
    virtual Task<Result<>> write(std::string_view piece) = 0;
};

/// Produces a streamed body. Cancelled as soon as the peer hangs up.
using BodySource = std::function<Task<Result<>>(BodySink*)>;

struct Reply {
    unsigned status = 200;
    Headers headers = {};
    std::string body = {};
    /// Server only: when set, the body comes from here and `body` is not looked at. Chunked, or
    /// with a Content-Length when `stream_length` is known.
    BodySource stream = {};
    std::optional<std::uint64_t> stream_length = {};
};

/// "Not Found" for 404.
std::string_view reason_of(unsigned status) noexcept;

/// RFC 1123 date in GMT, as in the Date header.
std::string format_date(std::time_t time);
/// Reads that form only.
std::optional<std::time_t> parse_date(std::string_view text);

}  // namespace znode::http
