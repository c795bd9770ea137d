#include "base/text.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace znode {

std::vector<std::string_view> split(std::string_view text, char separator)
{
    std::vector<std::string_view> pieces;
    for (;;) {
        const auto at = text.find(separator);
        pieces.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return pieces;
        text.remove_prefix(at + 1);
    }
}

std::string_view trim(std::string_view text) noexcept
{
    constexpr std::string_view blank = " \t\r\n\v\f";
    const auto first = text.find_first_not_of(blank);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::string to_lower(std::string_view ascii)
{
    std::string lower{ascii};
    for (char& c : lower)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

Result<std::uint64_t> parse_size(std::string_view text)
{
    struct Unit {
        std::string_view name;
        double bytes;
    };
    static constexpr std::array units{
        Unit{"", 1.0},
        Unit{"b", 1.0},
        Unit{"k", 1024.0},
        Unit{"kb", 1e3},
        Unit{"kib", 1024.0},
        Unit{"m", 1048576.0},
        Unit{"mb", 1e6},
        Unit{"mib", 1048576.0},
        Unit{"g", 1073741824.0},
        Unit{"gb", 1e9},
        Unit{"gib", 1073741824.0},
        Unit{"t", 1099511627776.0},
        Unit{"tb", 1e12},
        Unit{"tib", 1099511627776.0},
    };
    const auto whole = trim(text);
    const auto end = whole.find_first_not_of("0123456789.");
    const auto digits = whole.substr(0, end);
    const auto unit =
        to_lower(trim(end == std::string_view::npos ? std::string_view{} : whole.substr(end)));
    const auto number = to_number<double>(digits);
    if (!number)
        return fail(
            Errc::invalid, "size '" + printable(text) + "' is no number with a unit such as 10GiB");
    for (const auto& known : units) {
        if (known.name != unit) continue;
        const double bytes = *number * known.bytes;
        if (bytes > 9.0e18)
            return fail(Errc::invalid, "size '" + printable(text) + "' is too large");
        return static_cast<std::uint64_t>(std::llround(bytes));
    }
    return fail(
        Errc::invalid,
        "size '" + printable(text) + "' has an unknown unit; use B, KiB, MiB, GiB, TiB or KB … TB");
}

std::string format_size(std::uint64_t bytes)
{
    static constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024.0 && unit + 1 < units.size()) {
        value /= 1024.0;
        ++unit;
    }
    std::array<char, 32> text{};
    const bool whole = std::abs(value - std::round(value)) < 0.05;
    std::snprintf(text.data(), text.size(), whole ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text.data();
}

std::string printable(std::string_view foreign, std::size_t limit)
{
    static constexpr char digits[] = "0123456789abcdef";
    const auto continuation = [&](std::size_t i) {
        return i < foreign.size() && (static_cast<unsigned char>(foreign[i]) & 0xC0U) == 0x80U;
    };
    std::string shown;
    std::size_t i = 0;
    while (i < foreign.size()) {
        if (shown.size() >= limit) return shown + "…";
        const auto byte = static_cast<unsigned char>(foreign[i]);
        std::size_t length = 0;
        if (byte >= 0x20 && byte < 0x7F)
            length = 1;
        else if (byte >= 0xC2 && byte <= 0xDF && continuation(i + 1))
            length = 2;
        else if (byte >= 0xE1 && byte <= 0xEF && continuation(i + 1) && continuation(i + 2))
            length = 3;
        else if (
            byte >= 0xF1 && byte <= 0xF3 && continuation(i + 1) && continuation(i + 2) &&
            continuation(i + 3))
            length = 4;
        // U+0080 to U+009F are control characters too.
        if (length == 2 && byte == 0xC2 && static_cast<unsigned char>(foreign[i + 1]) < 0xA0)
            length = 0;
        if (length > 0) {
            shown += foreign.substr(i, length);
            i += length;
            continue;
        }
        shown += "\\x";
        shown += digits[byte >> 4];
        shown += digits[byte & 15];
        ++i;
    }
    return shown;
}

std::string format_time(std::int64_t unix_ns)
{
    constexpr std::int64_t billion = 1'000'000'000;
    std::int64_t seconds = unix_ns / billion;
    std::int64_t rest = unix_ns % billion;
    if (rest < 0) {
        rest += billion;
        --seconds;
    }
    const std::time_t when = seconds;
    std::tm utc{};
    ::gmtime_r(&when, &utc);
    std::array<char, 64> text{};
    const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(
        text.data() + length, text.size() - length, ".%09lldZ", static_cast<long long>(rest));
    return text.data();
}

}  // namespace znode
