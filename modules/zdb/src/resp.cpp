#include "resp.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "zdb/engine.hpp"

namespace znode::zdb {

std::span<char> Buffer::prepare(std::size_t more)
{
    if (capacity_ - end_ < more) {
        if (capacity_ - size() >= more && begin_ >= capacity_ / 2) {
            std::memmove(data_.get(), data_.get() + begin_, size());
        } else {
            const std::size_t wanted = std::max({std::size_t{4096}, size() + more, size() * 2});
            auto fresh = std::make_unique_for_overwrite<char[]>(wanted);
            if (!empty()) std::memcpy(fresh.get(), data_.get() + begin_, size());
            data_ = std::move(fresh);
            capacity_ = wanted;
        }
        end_ = size();
        begin_ = 0;
    }
    return {data_.get() + end_, capacity_ - end_};
}

void Buffer::append(std::string_view bytes)
{
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()).data(), bytes.data(), bytes.size());
    end_ += bytes.size();
}

void Buffer::consume(std::size_t taken) noexcept
{
    begin_ += taken;
    if (begin_ == end_) begin_ = end_ = 0;
}

void Buffer::relax() noexcept
{
    if (!empty() || capacity_ <= (std::size_t{64} << 10U)) return;
    data_.reset();
    capacity_ = begin_ = end_ = 0;
}

namespace {

/// A line's number as the original reads it: digits up to anything else. Empty for none.
std::optional<long long> leading_number(std::string_view line)
{
    long long value = 0;
    const auto [end, err] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (err == std::errc::result_out_of_range) return 1LL << 62;
    if (end == line.data()) return std::nullopt;
    return value;
}

constexpr std::size_t line_limit = 64;

/// Position behind the line end, 0 when it is not there yet.
std::size_t line_end(std::string_view bytes, std::size_t from)
{
    const auto rest = bytes.substr(from, line_limit);
    const auto at = rest.find('\n');
    return at == std::string_view::npos ? 0 : from + at + 1;
}

}  // namespace

Parsed parse_request(std::string_view bytes, std::vector<std::string_view>& arguments)
{
    using Kind = Parsed::Kind;
    arguments.clear();
    if (bytes.empty()) return {};
    if (bytes[0] != '*') return {.kind = Kind::fatal, .error = "Malformed request, array expected"};
    std::size_t at = line_end(bytes, 0);
    if (at == 0)
        return bytes.size() >= line_limit
                   ? Parsed{.kind = Kind::fatal, .error = "Malformed request, array expected"}
                   : Parsed{};
    const long long count = leading_number(bytes.substr(1, at - 1)).value_or(0);
    if (count < 0) return {.kind = Kind::fatal, .error = "Internal memory error"};
    if (count == 0) return {.kind = Kind::refused, .size = at, .error = "Missing arguments"};
    if (count > 1024) return {.kind = Kind::refused, .size = at, .error = "Too many arguments"};

    for (long long i = 0; i < count; ++i) {
        if (at >= bytes.size()) return {};
        // What follows cannot be told from a request: all that came with it is dropped.
        if (bytes[at] != '$')
            return {.kind = Kind::refused, .size = bytes.size(), .error = "Malformed query string"};
        const std::size_t start = line_end(bytes, at);
        if (start == 0) {
            if (bytes.size() - at < line_limit) return {};
            return {.kind = Kind::fatal, .error = "Malformed query string"};
        }
        const auto length = leading_number(bytes.substr(at + 1, start - at - 1));
        if (!length || *length < 0) return {.kind = Kind::fatal, .error = "Malformed query string"};
        if (static_cast<std::size_t>(*length) > payload_limit)
            return {.kind = Kind::fatal, .error = "Payload too big"};
        const auto size = static_cast<std::size_t>(*length);
        const std::size_t end = start + size + 2;
        if (end > request_limit) return {.kind = Kind::fatal, .error = "Payload too big"};
        if (bytes.size() < end) return {.wanted = end - bytes.size()};
        arguments.push_back(bytes.substr(start, size));
        at = end;
    }
    return {.kind = Kind::request, .size = at};
}

namespace {

void put_number(Buffer& to, char mark, long long value)
{
    char text[32];
    text[0] = mark;
    const auto end = std::to_chars(text + 1, text + sizeof text - 2, value).ptr;
    end[0] = '\r';
    end[1] = '\n';
    to.append({text, static_cast<std::size_t>(end + 2 - text)});
}

void put_line(Buffer& to, char mark, std::string_view text)
{
    to.append({&mark, 1});
    to.append(text);
    to.append("\r\n");
}

}  // namespace

void reply_status(Buffer& to, std::string_view text) { put_line(to, '+', text); }
void reply_error(Buffer& to, std::string_view text) { put_line(to, '-', text); }
void reply_integer(Buffer& to, long long value) { put_number(to, ':', value); }
void reply_nil(Buffer& to) { to.append("$-1\r\n"); }
void reply_array(Buffer& to, std::size_t count)
{
    put_number(to, '*', static_cast<long long>(count));
}

void reply_bulk(Buffer& to, std::string_view bytes)
{
    put_number(to, '$', static_cast<long long>(bytes.size()));
    to.append(bytes);
    to.append("\r\n");
}

std::span<char> begin_bulk(Buffer& to, std::size_t length)
{
    put_number(to, '$', static_cast<long long>(length));
    return to.prepare(length + 2).first(length);
}

void finish_bulk(Buffer& to, std::size_t length)
{
    to.commit(length);
    to.append("\r\n");
}

}  // namespace znode::zdb
