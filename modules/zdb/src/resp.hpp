#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace znode::zdb {

/// Bytes in a row with room behind: filled at the end, taken from the front. Never zeroes memory.
class Buffer {
public:
    std::size_t size() const noexcept { return end_ - begin_; }
    bool empty() const noexcept { return end_ == begin_; }
    /// Memory it holds.
    std::size_t capacity() const noexcept { return capacity_; }
    std::string_view view() const noexcept { return {data_.get() + begin_, size()}; }

    /// Room for at least `more` bytes; views into the buffer become invalid.
    std::span<char> prepare(std::size_t more);
    void commit(std::size_t written) noexcept { end_ += written; }
    void append(std::string_view bytes);
    void consume(std::size_t taken) noexcept;
    /// Forgets all but the first `kept` bytes.
    void truncate(std::size_t kept) noexcept { end_ = begin_ + kept; }
    /// Gives the memory back when there is much of it and nothing in it.
    void relax() noexcept;

private:
    std::unique_ptr<char[]> data_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

/// What the next bytes of a client are.
struct Parsed {
    enum class Kind {
        incomplete,  ///< `wanted` more bytes at least.
        request,     ///< `size` bytes, arguments filled in.
        refused,     ///< `size` bytes to skip, `error` to send.
        fatal,       ///< `error` to send, then close.
    };
    Kind kind = Kind::incomplete;
    std::size_t size = 0;
    std::size_t wanted = 1;
    std::string_view error = {};
};

/// Reads one request off the front of `bytes`; `arguments` point into it.
Parsed parse_request(std::string_view bytes, std::vector<std::string_view>& arguments);

/// Longest request taken: a full payload with its key, or 1023 keys.
inline constexpr std::size_t request_limit = (std::size_t{8} << 20U) + (std::size_t{1} << 19U);

// Replies.
void reply_status(Buffer& to, std::string_view text);
void reply_error(Buffer& to, std::string_view text);
void reply_integer(Buffer& to, long long value);
void reply_bulk(Buffer& to, std::string_view bytes);
void reply_nil(Buffer& to);
void reply_array(Buffer& to, std::size_t count);
/// "$len\r\n", then room for the payload that the caller fills; `finish_bulk` ends it.
std::span<char> begin_bulk(Buffer& to, std::size_t length);
void finish_bulk(Buffer& to, std::size_t length);

}  // namespace znode::zdb
