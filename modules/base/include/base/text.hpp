#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace znode {

/// Pieces between separators; "a,,b" has three, "" has one empty one.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text) noexcept;
std::string to_lower(std::string_view ascii);

/// Decimal number that takes the whole text, or nothing.
template <class Number>
std::optional<Number> to_number(std::string_view text)
{
    Number value{};
    const auto [end, err] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (err != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// A size as people write it: "350MiB", "10 GB", "4096" (bytes). Binary and decimal units.
Result<std::uint64_t> parse_size(std::string_view text);
/// "1.5 GiB"; one decimal at most.
std::string format_size(std::uint64_t bytes);

/// Printable form of foreign text for messages: control characters and invalid UTF-8 become
/// \xNN, at most `limit` bytes are shown.
std::string printable(std::string_view foreign, std::size_t limit = 120);

/// RFC 3339 UTC with nanoseconds, of `CLOCK_REALTIME` nanoseconds.
std::string format_time(std::int64_t unix_ns);

}  // namespace znode
