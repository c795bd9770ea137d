#include "http/message.hpp"

#include <algorithm>
#include <array>
#include <time.h>

#include "base/text.hpp"

namespace znode::http {
namespace {

bool same_name(std::string_view a, std::string_view b) noexcept
{
    constexpr auto lower = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    };
    return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

std::string_view to_string(Method method) noexcept
{
    switch (method) {
        case Method::get:
            return "GET";
        case Method::head:
            return "HEAD";
        case Method::post:
            return "POST";
        case Method::put:
            return "PUT";
        case Method::del:
            return "DELETE";
        case Method::options:
            return "OPTIONS";
        case Method::patch:
            return "PATCH";
        case Method::other:
            break;
    }
    return "OTHER";
}

std::optional<std::string_view> Headers::find(std::string_view name) const
{
    for (const auto& [key, value] : fields_)
        if (same_name(key, name)) return value;
    return std::nullopt;
}

std::vector<std::string_view> Headers::all(std::string_view name) const
{
    std::vector<std::string_view> found;
    for (const auto& [key, value] : fields_)
        if (same_name(key, name)) found.emplace_back(value);
    return found;
}

void Headers::set(std::string_view name, std::string value)
{
    std::erase_if(fields_, [&](const Field& field) { return same_name(field.first, name); });
    fields_.emplace_back(std::string{name}, std::move(value));
}

void Headers::add(std::string name, std::string value)
{
    fields_.emplace_back(std::move(name), std::move(value));
}

std::string_view reason_of(unsigned status) noexcept
{
    switch (status) {
        case 100:
            return "Continue";
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 206:
            return "Partial Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
        case 304:
            return "Not Modified";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 402:
            return "Payment Required";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 411:
            return "Length Required";
        case 413:
            return "Payload Too Large";
        case 414:
            return "URI Too Long";
        case 415:
            return "Unsupported Media Type";
        case 416:
            return "Range Not Satisfiable";
        case 417:
            return "Expectation Failed";
        case 421:
            return "Misdirected Request";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 507:
            return "Insufficient Storage";
        default:
            return "Unknown";
    }
}

namespace {
// Not strftime and strptime: their names depend on the locale.
constexpr std::array<std::string_view, 7> days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> months{
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::string two(int number)
{
    return {static_cast<char>('0' + number / 10 % 10), static_cast<char>('0' + number % 10)};
}
}  // namespace

std::string format_date(std::time_t time)
{
    tm parts{};
    ::gmtime_r(&time, &parts);
    std::string text{days[static_cast<std::size_t>(parts.tm_wday)]};
    text += ", " + two(parts.tm_mday) + " ";
    text += months[static_cast<std::size_t>(parts.tm_mon)];
    text += " " + std::to_string(parts.tm_year + 1900) + " " + two(parts.tm_hour) + ":" +
            two(parts.tm_min) + ":" + two(parts.tm_sec) + " GMT";
    return text;
}

std::optional<std::time_t> parse_date(std::string_view text)
{
    // "Wed, 28 Apr 2021 08:53:20 GMT"
    if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT")
        return std::nullopt;
    const auto month = std::ranges::find(months, text.substr(8, 3));
    const auto day = to_number<int>(text.substr(5, 2));
    const auto year = to_number<int>(text.substr(12, 4));
    const auto hour = to_number<int>(text.substr(17, 2));
    const auto minute = to_number<int>(text.substr(20, 2));
    const auto second = to_number<int>(text.substr(23, 2));
    if (month == months.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
    tm parts{};
    parts.tm_mday = *day;
    parts.tm_mon = static_cast<int>(month - months.begin());
    parts.tm_year = *year - 1900;
    parts.tm_hour = *hour;
    parts.tm_min = *minute;
    parts.tm_sec = *second;
    return ::timegm(&parts);
}

}  // namespace znode::http
