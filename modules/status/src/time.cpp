#include "status/time.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/text.hpp"

namespace znode::status {

namespace {

constexpr std::int64_t billion = 1'000'000'000;

/// Takes `count` digits from the front.
std::optional<int> take_digits(std::string_view& text, std::size_t count)
{
    if (text.size() < count) return std::nullopt;
    int value = 0;
    for (const char c : text.substr(0, count)) {
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + (c - '0');
    }
    text.remove_prefix(count);
    return value;
}

bool take(std::string_view& text, std::string_view any_of)
{
    if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
}

std::optional<std::int64_t> take_fraction(std::string_view& text)
{
    if (!take(text, ".,")) return 0;
    std::int64_t fraction = 0;
    std::int64_t scale = billion;
    bool any = false;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
        scale /= 10;
        fraction += (text.front() - '0') * scale;
        text.remove_prefix(1);
        any = true;
    }
    if (!any) return std::nullopt;
    return fraction;
}

std::optional<int> take_offset(std::string_view& text)
{
    if (take(text, "Zz")) return 0;
    if (text.empty() || (text.front() != '+' && text.front() != '-')) return std::nullopt;
    const int sign = text.front() == '-' ? -1 : 1;
    text.remove_prefix(1);
    const auto hours = take_digits(text, 2);
    if (!hours || !take(text, ":")) return std::nullopt;
    const auto minutes = take_digits(text, 2);
    if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    return sign * (*hours * 3600 + *minutes * 60);
}

std::optional<std::int64_t> read(std::string_view text, bool loose)
{
    const auto year = take_digits(text, 4);
    if (!year || !take(text, "-")) return std::nullopt;
    const auto month = take_digits(text, 2);
    if (!month || !take(text, "-")) return std::nullopt;
    const auto day = take_digits(text, 2);
    if (!day || !take(text, "Tt ")) return std::nullopt;
    const auto hour = take_digits(text, 2);
    if (!hour || !take(text, ":")) return std::nullopt;
    const auto minute = take_digits(text, 2);
    if (!minute) return std::nullopt;
    int second = 0;
    if (take(text, ":")) {
        const auto read_second = take_digits(text, 2);
        if (!read_second) return std::nullopt;
        second = *read_second;
    } else if (!loose) {
        return std::nullopt;
    }
    const auto fraction = take_fraction(text);
    if (!fraction) return std::nullopt;
    int offset = 0;
    if (!(loose && text.empty())) {
        const auto read_offset = take_offset(text);
        if (!read_offset) return std::nullopt;
        offset = *read_offset;
    }
    if (!text.empty() || *year < 1970 || *year > 2200 || *month < 1 || *month > 12 || *day < 1 ||
        *day > 31 || *hour > 23 || *minute > 59 || second > 60)
        return std::nullopt;

    std::tm utc{};
    utc.tm_year = *year - 1900;
    utc.tm_mon = *month - 1;
    utc.tm_mday = *day;
    utc.tm_hour = *hour;
    utc.tm_min = *minute;
    utc.tm_sec = second;
    const std::int64_t seconds = ::timegm(&utc);
    if (utc.tm_mday != *day) return std::nullopt;  // 31 February
    return (seconds - offset) * billion + *fraction;
}

}  // namespace

Result<std::int64_t> parse_time(std::string_view text)
{
    if (const auto time = read(text, false)) return *time;
    return fail(
        Errc::invalid, "'" + printable(text, 40) + "' is no time such as 2026-11-21T13:06:15Z");
}

Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now_unix_ns)
{
    if (const auto time = read(text, true)) return *time;
    if (text.size() > 1) {
        const auto count = to_number<double>(text.substr(0, text.size() - 1));
        static constexpr std::string_view units = "smhd";
        static constexpr std::array<double, 4> seconds{1, 60, 3600, 86400};
        const auto unit = units.find(text.back());
        if (count && *count >= 0 && *count < 1e6 && unit != std::string_view::npos)
            return now_unix_ns - static_cast<std::int64_t>(*count * seconds.at(unit) * 1e9);
    }
    return fail(
        Errc::invalid,
        "'" + printable(text, 40) +
            "' is no moment; write 2026-11-21T13:06:15Z, or how long ago: 90s, 10m, 2h, 3d");
}

std::string format_seconds(double seconds)
{
    std::array<char, 48> text{};
    const auto print = [&](const char* form, auto... values) {
        std::snprintf(text.data(), text.size(), form, values...);
        return std::string{text.data()};
    };
    if (!(seconds > 0)) return "0 s";
    if (seconds < 0.9995) return print("%.0f ms", std::max(1.0, std::round(seconds * 1000)));
    if (seconds < 9.95) return print("%.1f s", seconds);
    const auto whole = std::llround(std::min(seconds, 1e15));
    if (whole < 120) return print("%lld s", whole);
    if (whole < 3600) return print("%lld min", whole / 60);
    if (whole < 86400) return print("%lld h %02lld min", whole / 3600, whole / 60 % 60);
    return print("%lld d %lld h", whole / 86400, whole / 3600 % 24);
}

}  // namespace znode::status
