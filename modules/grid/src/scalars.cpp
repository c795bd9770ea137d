#include "grid/scalars.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <optional>

#include "base/text.hpp"

namespace znode::grid {
namespace {

constexpr std::array<unsigned char, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

std::optional<int> small_number(std::string_view text)
{
    const bool digits = !text.empty() && text.size() <= 4 &&
                        std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
    return digits ? to_number<int>(text) : std::nullopt;
}

int this_year()
{
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    return utc.tm_year + 1900;
}

struct Day {
    int year = 0;
    int month = 0;
    int day = 0;
};

std::optional<Day> parse_day(std::string_view text)
{
    std::vector<int> numbers;
    const auto pieces = split(text, '/');
    for (const auto piece : pieces) {
        const auto number = small_number(piece);
        if (!number) return std::nullopt;
        numbers.push_back(*number);
    }
    if (numbers.size() == 2) return Day{this_year(), numbers[0], numbers[1]};
    if (numbers.size() != 3) return std::nullopt;
    Day day{numbers[0], numbers[1], numbers[2]};
    const bool year_last = pieces[0].size() <= 2 && pieces[2].size() == 4;
    if (year_last) std::swap(day.year, day.day);
    const auto digits_of_year = year_last ? pieces[2].size() : pieces[0].size();
    if (digits_of_year <= 2) day.year += 2000;
    return day;
}

/// Minutes since midnight of "08:53", "08am:53", "08pm:53".
std::optional<int> parse_clock(std::string_view text)
{
    const auto colon = text.find(':');
    if (colon == text.npos) return std::nullopt;
    auto hour_text = text.substr(0, colon);
    const bool afternoon = hour_text.ends_with("pm");
    const bool twelve_hours = afternoon || hour_text.ends_with("am");
    if (twelve_hours) hour_text.remove_suffix(2);

    const auto hour = small_number(hour_text);
    const auto minute = small_number(text.substr(colon + 1));
    if (!hour || !minute || *hour > 23 || *minute > 59) return std::nullopt;
    return (*hour + (afternoon && *hour < 12 ? 12 : 0)) * 60 + *minute;
}

/// RFC 5952, which is also how the originals print.
std::string text_of_v6(const std::array<unsigned char, 16>& bytes)
{
    std::array<unsigned, 8> groups{};
    for (std::size_t i = 0; i < groups.size(); ++i)
        groups[i] = static_cast<unsigned>(bytes[2 * i] << 8) | bytes[2 * i + 1];

    std::size_t run_start = groups.size();
    std::size_t run_length = 1;
    for (std::size_t i = 0; i < groups.size();) {
        auto end = i;
        while (end < groups.size() && groups[end] == 0) ++end;
        if (end - i > run_length) {
            run_start = i;
            run_length = end - i;
        }
        i = std::max(end, i + 1);
    }

    std::string text;
    for (std::size_t i = 0; i < groups.size(); ++i) {
        if (i == run_start) {
            text += "::";
            i += run_length - 1;
            continue;
        }
        if (!text.empty() && !text.ends_with(':')) text += ':';
        std::array<char, 8> group{};
        std::snprintf(group.data(), group.size(), "%x", groups[i]);
        text += group.data();
    }
    return text;
}

}  // namespace

Result<Date> parse_date(std::string_view text)
{
    if (text.empty()) return Date{};
    const auto blank = text.find(' ');
    const auto day = parse_day(text.substr(0, blank));
    std::optional<int> minutes = 0;
    if (blank != text.npos) minutes = parse_clock(trim(text.substr(blank)));
    if (!day || !minutes || day->month < 1 || day->month > 12 || day->day < 1 || day->day > 31)
        return fail(Errc::invalid, "invalid date string '" + printable(text) + "'");

    std::tm utc{};
    utc.tm_year = day->year - 1900;
    utc.tm_mon = day->month - 1;
    utc.tm_mday = day->day;
    utc.tm_min = *minutes;
    return Date{::timegm(&utc)};
}

Result<Ip> Ip::parse(std::string_view text)
{
    Ip ip;
    if (text.empty()) return ip;
    const std::string terminated{text};
    ip.set_ = true;
    if (text.find(':') != text.npos) {
        if (::inet_pton(AF_INET6, terminated.c_str(), ip.bytes_.data()) == 1) return ip;
    } else {
        std::ranges::copy(mapped, ip.bytes_.begin());
        if (::inet_pton(AF_INET, terminated.c_str(), ip.bytes_.data() + mapped.size()) == 1)
            return ip;
    }
    return fail(Errc::invalid, "invalid IP address: " + printable(text));
}

bool Ip::is_v4() const noexcept
{
    return set_ && std::equal(mapped.begin(), mapped.end(), bytes_.begin());
}

std::string Ip::text() const
{
    if (!set_) return {};
    if (!is_v4()) return text_of_v6(bytes_);
    return std::to_string(bytes_[12]) + '.' + std::to_string(bytes_[13]) + '.' +
           std::to_string(bytes_[14]) + '.' + std::to_string(bytes_[15]);
}

Result<IpRange> IpRange::parse(std::string_view text)
{
    IpRange range;
    if (text.empty()) return range;
    const auto wrong = [&] {
        return fail(Errc::invalid, "invalid CIDR address: " + printable(text));
    };
    const auto slash = text.find('/');
    if (slash == text.npos || slash == 0) return wrong();
    const auto address = text.substr(0, slash);
    const auto ip = Ip::parse(address);
    const auto length = small_number(text.substr(slash + 1));
    if (!ip || !length) return wrong();

    const bool written_as_v6 = address.find(':') != address.npos;
    auto prefix = static_cast<unsigned>(*length);
    if (prefix > (written_as_v6 ? 128U : 32U)) return wrong();
    // A mapped address is printed as IPv4, and so is the rest of its mask.
    if (written_as_v6 && ip->is_v4()) prefix = prefix > 96 ? prefix - 96 : 0;
    range.ip_ = *ip;
    range.prefix_ = prefix;
    return range;
}

std::string IpRange::text() const
{
    return is_set() ? ip_.text() + '/' + std::to_string(prefix_) : std::string{};
}

Result<Gwid> Gwid::parse(std::string_view text)
{
    const auto number = [](std::string_view digits) -> std::optional<std::int64_t> {
        const bool plain = !digits.empty() && digits.front() >= '0' && digits.front() <= '9' &&
                           (digits.size() == 1 || digits.front() != '0');
        return plain ? to_number<std::int64_t>(digits) : std::nullopt;
    };
    const auto dash = text.find('-');
    const auto id = number(text.substr(0, dash));
    const auto workload_id = dash == text.npos ? std::nullopt : number(text.substr(dash + 1));
    if (!id || !workload_id)
        return fail(Errc::invalid, "not a workload's id: '" + printable(text) + "'");
    return Gwid{*id, *workload_id};
}

std::string_view to_string(WorkloadType type) noexcept
{
    static constexpr std::array<std::string_view, 12> names{
        "zdb",
        "container",
        "volume",
        "network",
        "kubernetes",
        "proxy",
        "reverse_proxy",
        "subdomain",
        "domain_delegate",
        "gateway4to6",
        "network_resource",
        "public_ip"};
    const auto index = static_cast<std::size_t>(type);
    return index < names.size() ? names[index] : "unknown";
}

std::string_view to_string(NextAction action) noexcept
{
    static constexpr std::array<std::string_view, 8> names{
        "create", "sign", "pay", "deploy", "delete", "invalid", "deleted", "migrated"};
    const auto index = static_cast<std::size_t>(action);
    return index < names.size() ? names[index] : "unknown";
}

std::string_view to_string(ResultState state) noexcept
{
    static constexpr std::array<std::string_view, 3> names{"error", "ok", "deleted"};
    const auto index = static_cast<std::size_t>(state);
    return index < names.size() ? names[index] : "unknown";
}

}  // namespace znode::grid
