#include "redis/url.hpp"

#include <algorithm>

#include "base/hex.hpp"
#include "base/text.hpp"

namespace znode::redis {
namespace {

constexpr std::size_t longest_url = 4096;
constexpr std::size_t longest_channel = 512;
constexpr auto default_port = "6379";

tl::unexpected<Error> wrong(const std::string& what)
{
    return fail(
        Errc::invalid,
        "log target: " + what + "; expected redis://[:password@]host[:port]/channel");
}

bool is_plain(std::string_view text)
{
    return std::ranges::none_of(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// %XX becomes its byte; a % without two hex digits stays what it is.
std::string percent_decoded(std::string_view text)
{
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size()) {
            if (const auto byte = from_hex(text.substr(i + 1, 2)); byte && byte->size() == 1) {
                plain += *byte;
                i += 2;
                continue;
            }
        }
        plain += text[i];
    }
    return plain;
}

Result<> parse_host(std::string_view text, Endpoint& endpoint)
{
    std::string_view host = text;
    std::string_view port = default_port;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return wrong("'[' without ']'");
        host = text.substr(1, end - 1);
        const auto rest = text.substr(end + 1);
        if (!rest.empty() && rest[0] != ':') return wrong("something follows ']'");
        if (rest.size() > 1) port = rest.substr(1);
    } else if (const auto colon = text.rfind(':'); colon != std::string_view::npos) {
        host = text.substr(0, colon);
        if (host.find(':') != std::string_view::npos)
            return wrong("an IPv6 address must stand in brackets");
        if (colon + 1 < text.size()) port = text.substr(colon + 1);
    }
    if (host.empty()) return wrong("no host");
    if (host.find(' ') != std::string_view::npos) return wrong("blank in the host");
    const auto number = to_number<unsigned>(port);
    if (!number || *number == 0 || *number > 65535) return wrong("the port is no port");
    endpoint.host = host;
    endpoint.port = port;
    return {};
}

}  // namespace

Result<Target> parse_target(const Secret& url)
{
    std::string_view text = url.reveal();
    if (text.size() > longest_url) return wrong("too long");
    // Line ends in a host or channel are how requests get smuggled into other protocols.
    if (!is_plain(text)) return wrong("control character in it");

    Target target;
    auto& server = target.server;
    if (text.starts_with("redis://")) {
        text.remove_prefix(8);
    } else if (text.starts_with("rediss://")) {
        server.endpoint.kind = Endpoint::Kind::tls;
        text.remove_prefix(9);
    } else {
        return wrong("scheme is neither redis:// nor rediss://");
    }
    text = text.substr(0, text.find_first_of("?#"));
    // A password may hold an @ as it is (the last one counts), a / only as %2F.
    const auto slash = text.find('/');
    const auto authority = text.substr(0, slash);
    target.channel = slash == std::string_view::npos ? "" : text.substr(slash + 1);
    if (target.channel.empty()) return wrong("no channel");
    if (target.channel.size() > longest_channel) return wrong("the channel's name is too long");

    const auto at = authority.rfind('@');
    if (at != std::string_view::npos) {
        const auto who = authority.substr(0, at);
        const auto colon = who.find(':');
        server.user = percent_decoded(who.substr(0, colon));
        if (colon != std::string_view::npos)
            server.password = Secret{percent_decoded(who.substr(colon + 1))};
    }
    TRY_DO(parse_host(
        at == std::string_view::npos ? authority : authority.substr(at + 1), server.endpoint));
    return target;
}

}  // namespace znode::redis
