#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace znode::status {

/// Reads RFC 3339 with or without a fraction, with 'Z' or an offset, as nanoseconds since 1970.
/// Errc::invalid names the form expected.
Result<std::int64_t> parse_time(std::string_view text);

/// A moment as people say it: RFC 3339, "2026-11-21 13:06" (UTC), or how long ago ("90s", "10m",
/// "2h", "3d"), counted back from `now_unix_ns`.
Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now_unix_ns);

/// "43 ms", "1.2 s", "5 min", "2 h 05 min", "3 d 4 h"; "0 s" for nothing and less.
std::string format_seconds(double seconds);

}  // namespace znode::status
