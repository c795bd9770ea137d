#include "http/url.hpp"

#include <algorithm>
#include <cctype>

#include <boost/asio/ip/address.hpp>

#include "base/text.hpp"

namespace znode::http {
namespace {

bool is_alnum(char c) noexcept
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/// Characters that may stand unescaped somewhere in a URL.
bool is_url_char(char c) noexcept
{
    constexpr std::string_view others = "-._~:/?#[]@!$&'()*+,;=%";
    return is_alnum(c) || others.find(c) != std::string_view::npos;
}

std::string default_port(std::string_view scheme)
{
    if (scheme == "http") return "80";
    if (scheme == "https") return "443";
    return {};
}

tl::unexpected<Error> bad(std::string_view text, std::string_view why)
{
    return fail(
        Errc::invalid, "URL '" + printable(without_password(text)) + "': " + std::string{why});
}

}  // namespace

Result<std::string> percent_decode(std::string_view text)
{
    constexpr auto digit = [](char c) -> int {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    std::string plain;
    plain.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            plain += text[i];
            continue;
        }
        const int high = i + 2 < text.size() ? digit(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? digit(text[i + 2]) : -1;
        if (high < 0 || low < 0)
            return fail(Errc::invalid, "'%' must be followed by two hex digits");
        plain += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return plain;
}

std::string percent_encode(std::string_view text)
{
    constexpr std::string_view hex = "0123456789ABCDEF";
    std::string escaped;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            escaped += c;
        } else {
            escaped += '%';
            escaped += hex[byte >> 4U];
            escaped += hex[byte & 15U];
        }
    }
    return escaped;
}

Result<Url> parse_url(std::string_view text)
{
    if (!std::ranges::all_of(text, is_url_char))
        return bad(text, "has a character that must be percent-encoded");
    const auto colon = text.find("://");
    if (colon == std::string_view::npos || colon == 0)
        return bad(text, "must begin with a scheme like http://");
    Url url{.scheme = to_lower(text.substr(0, colon))};
    if (!std::ranges::all_of(url.scheme, [](char c) { return is_alnum(c) || c == '+'; }))
        return bad(text, "the scheme has a character that is no letter or digit");

    auto rest = text.substr(colon + 3);
    rest = rest.substr(0, rest.find('#'));
    if (const auto mark = rest.find('?'); mark != std::string_view::npos) {
        url.query = rest.substr(mark + 1);
        rest = rest.substr(0, mark);
    }
    auto authority = rest.substr(0, rest.find('/'));
    url.path = rest.substr(authority.size());
    if (!percent_decode(url.path)) return bad(text, "the path has a wrong percent-escape");

    if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
        const auto info = authority.substr(0, at);
        authority = authority.substr(at + 1);
        if (info.find('@') != std::string_view::npos)
            return bad(text, "a '@' in the password must be written %40");
        const auto separator = info.find(':');
        auto user = percent_decode(info.substr(0, separator));
        auto password =
            percent_decode(separator == std::string_view::npos ? "" : info.substr(separator + 1));
        if (!user || !password) return bad(text, "the user part has a wrong percent-escape");
        url.user = *std::move(user);
        url.password = Secret{*std::move(password)};
    }

    std::string_view port;
    bool has_port = false;
    if (authority.starts_with('[')) {
        const auto close = authority.find(']');
        if (close == std::string_view::npos) return bad(text, "the IPv6 address lacks its ']'");
        url.host = to_lower(authority.substr(1, close - 1));
        boost::system::error_code no_address;
        (void)asio::ip::make_address_v6(url.host, no_address);
        if (no_address) return bad(text, "what stands in brackets is no IPv6 address");
        const auto tail = authority.substr(close + 1);
        if (!tail.empty() && tail[0] != ':') return bad(text, "unexpected text after ']'");
        has_port = !tail.empty();
        if (has_port) port = tail.substr(1);
    } else {
        const auto separator = authority.find(':');
        url.host = to_lower(authority.substr(0, separator));
        has_port = separator != std::string_view::npos;
        if (has_port) port = authority.substr(separator + 1);
        if (url.host.empty()) return bad(text, "has no host");
        if (!std::ranges::all_of(
                url.host, [](char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_'; }))
            return bad(text, "the host has a character that names do not have");
    }
    if (has_port) {
        const auto number = to_number<unsigned>(port);
        if (!number || *number == 0 || *number > 65535)
            return bad(text, "the port must be a number from 1 to 65535");
        url.port = std::to_string(*number);
    }
    return url;
}

std::string Url::port_or_default() const { return port.empty() ? default_port(scheme) : port; }

Endpoint Url::endpoint(std::string ca_file) const
{
    return {
        .kind = scheme == "https" ? Endpoint::Kind::tls : Endpoint::Kind::tcp,
        .host = host,
        .port = port_or_default(),
        .ca_file = std::move(ca_file)};
}

std::string Url::authority() const
{
    std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
    if (!port.empty() && port != default_port(scheme)) name += ":" + port;
    return name;
}

std::string Url::text() const
{
    return scheme + "://" + authority() + path + (query.empty() ? "" : "?" + query);
}

std::optional<std::string_view> Target::find(std::string_view name) const
{
    for (const auto& [key, value] : query)
        if (key == name) return value;
    return std::nullopt;
}

Target parse_target(std::string_view target)
{
    const auto mark = target.find('?');
    Target parts{.path = std::string{target.substr(0, mark)}, .query = {}};
    if (mark == std::string_view::npos) return parts;
    const auto plain = [](std::string_view text) {
        std::string spaced{text};
        std::ranges::replace(spaced, '+', ' ');
        return percent_decode(spaced);
    };
    for (const auto piece : split(target.substr(mark + 1), '&')) {
        if (piece.empty()) continue;
        const auto equals = piece.find('=');
        auto name = plain(piece.substr(0, equals));
        auto value =
            plain(equals == std::string_view::npos ? std::string_view{} : piece.substr(equals + 1));
        if (name && value) parts.query.emplace_back(*std::move(name), *std::move(value));
    }
    return parts;
}

}  // namespace znode::http
