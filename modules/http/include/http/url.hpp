#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/stream.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::http {

/// A URL with an authority, taken apart. The user-info never shows in messages.
struct Url {
    std::string scheme;      ///< Lower case.
    std::string user = {};   ///< Percent-decoded.
    Secret password = {};    ///< Percent-decoded.
    std::string host = {};   ///< Lower case; an IPv6 literal without its brackets.
    std::string port = {};   ///< Decimal 1–65535; empty when the text has none.
    std::string path = {};   ///< As written, empty or beginning with '/'.
    std::string query = {};  ///< As written, without '?'.

    /// Port, or the one the scheme has by custom (http 80, https 443, redis and zdb none).
    std::string port_or_default() const;
    /// TCP for http, TLS for https.
    Endpoint endpoint(std::string ca_file = {}) const;
    /// "host:port" as in a Host header; without the port where it is the scheme's own.
    std::string authority() const;
    /// The URL without its user-info.
    std::string text() const;
};

/// Reads `scheme://[user[:password]@]host[:port][/path][?query][#fragment]`; the fragment is
/// dropped. Strict: no spaces, control characters, raw non-ASCII, empty hosts, bad percent-escapes,
/// or ports outside of 1–65535. Errc::invalid otherwise.
Result<Url> parse_url(std::string_view text);

/// `%41` becomes `A`; Errc::invalid for a cut or wrong escape.
Result<std::string> percent_decode(std::string_view text);
/// Escapes all but letters, digits and `-._~`.
std::string percent_encode(std::string_view text);

/// Path and decoded query arguments of a request target.
struct Target {
    std::string path;  ///< As written.
    std::vector<std::pair<std::string, std::string>> query;

    /// The first argument of that name.
    std::optional<std::string_view> find(std::string_view name) const;
};
/// '+' is a space in the query; an argument with a wrong escape is left out.
Target parse_target(std::string_view target);

}  // namespace znode::http
