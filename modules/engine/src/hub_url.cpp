#include "hub_url.hpp"

#include <algorithm>

#include "base/hex.hpp"
#include "base/ip.hpp"
#include "base/text.hpp"

namespace znode::engine {
namespace {

/// Where a URL leads.
struct Place {
    std::string host;  ///< In lower case; "" for none.
    std::optional<std::uint16_t> port;

    bool operator==(const Place&) const = default;
};

/// Read as the stores read it. Users and passwords may hold anything but "/" or "@".
Place place_of(std::string_view url)
{
    const auto scheme = url.substr(0, url.find("://"));
    auto rest = url.substr(std::min(url.size(), scheme.size() + 3));
    if (const auto at = rest.rfind('@'); at != rest.npos) rest = rest.substr(at + 1);
    rest = rest.substr(0, rest.find('/'));
    const auto length = rest.starts_with('[') ? rest.find(']') + 1 : rest.rfind(':');
    const auto host = rest.substr(0, length);
    rest = rest.substr(host.size());
    const std::uint16_t usual = scheme == "redis" ? 6379 : 9900;
    return {
        to_lower(host), rest.starts_with(':') ? to_number<std::uint16_t>(rest.substr(1)) : usual};
}

bool has_control_characters(std::string_view url)
{
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    for (std::size_t i = 0; i < url.size(); ++i) {
        if (is_control(static_cast<unsigned char>(url[i]))) return true;
        if (url[i] != '%') continue;
        const auto byte = from_hex(url.substr(i + 1, 2));
        if (!byte || byte->size() != 1 || is_control(static_cast<unsigned char>(byte->front())))
            return true;
    }
    return false;
}

}  // namespace

bool is_foreign_hub(const std::string& url, const std::string& own_url)
{
    return !url.empty() && place_of(url) != place_of(own_url);
}

Result<> check_hub_url(const std::string& url, const std::string& own_url)
{
    const auto refuse = [](const char* what) {
        return fail(Errc::invalid, std::string{"member hub_url "} + what);
    };
    if (has_control_characters(url)) return refuse("has control characters or a wrong %");
    const auto scheme = url.substr(0, url.find("://"));
    if (scheme != "zdb" && scheme != "ardb" && scheme != "redis")
        return refuse("must be zdb://HOST:PORT, ardb://HOST:PORT or redis://HOST:PORT");
    const auto place = place_of(url);
    const bool own = place == place_of(own_url);
    auto host = place.host;
    if (host.starts_with('[')) {
        const auto address =
            host.ends_with(']')
                ? IpAddress::parse(std::string_view{host}.substr(1, host.size() - 2))
                : std::nullopt;
        if (!address) return refuse("has no address between its [ and ]");
        if (!is_near(*address) || own) return {};
        return refuse("names the node itself or its cable");
    }
    while (host.ends_with('.')) host.pop_back();
    if (host.empty()) return refuse("has no host");
    static constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789-._";
    if (host.find_first_not_of(letters) != host.npos)
        return refuse("has a host that is neither a name nor an address");
    const auto address = IpAddress::parse(host);
    // "127.1" and "0x7f000001" are addresses to a resolver.
    const auto last = host.substr(host.rfind('.') + 1);
    if (!address && last.front() >= '0' && last.front() <= '9')
        return refuse("has an address that is not written as four numbers");
    const bool near = address ? is_near(*address)
                              : host == "localhost" || host.ends_with(".localhost") ||
                                    host.ends_with(".localdomain") || host.starts_with("ip6-");
    if (!near || own) return {};
    return refuse("names the node itself or its cable");
}

}  // namespace znode::engine
