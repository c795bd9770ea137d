#include "identity/http_signature.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "base/hex.hpp"
#include "base/text.hpp"

namespace znode::identity {
namespace {

constexpr std::string_view scheme = "Signature ";
constexpr std::int64_t lifetime = 60;  // Seconds; written into `expires`, read by nobody.
constexpr std::size_t most_headers = 64;

std::string signing_line(std::string_view name, std::string_view value)
{
    return std::string{name} + ": " + std::string{value};
}

/// `name="value"` pairs, commas between them. What does not parse is passed over up to the next
/// comma outside of quotes; values may hold any byte but the quote.
std::vector<std::pair<std::string_view, std::string_view>> pairs_of(std::string_view text)
{
    std::vector<std::pair<std::string_view, std::string_view>> pairs;
    while (!text.empty()) {
        const auto equals = text.find('=');
        const auto comma = text.find(',');
        if (equals == text.npos) break;
        if (comma < equals) {
            text.remove_prefix(comma + 1);
            continue;
        }
        const auto name = trim(text.substr(0, equals));
        text.remove_prefix(equals + 1);
        text = text.substr(std::min(text.find_first_not_of(' '), text.size()));
        if (text.empty() || text.front() != '"') {
            text.remove_prefix(std::min(text.find(','), text.size()));
        } else {
            const auto close = text.find('"', 1);
            if (close == text.npos) break;
            pairs.emplace_back(name, text.substr(1, close - 1));
            text.remove_prefix(close + 1);
        }
        if (const auto next = text.find(','); next != text.npos)
            text.remove_prefix(next + 1);
        else
            break;
    }
    return pairs;
}

auto denied(std::string reason) { return fail(Errc::denied, std::move(reason)); }

}  // namespace

std::string http_date(std::int64_t unix_time)
{
    static constexpr std::array days{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array months{
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const std::time_t seconds = unix_time;
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    std::array<char, 64> text{};
    std::snprintf(
        text.data(),
        text.size(),
        "%s, %02d %s %04d %02d:%02d:%02d GMT",
        days[static_cast<std::size_t>(utc.tm_wday)],
        utc.tm_mday,
        months[static_cast<std::size_t>(utc.tm_mon)],
        utc.tm_year + 1900,
        utc.tm_hour,
        utc.tm_min,
        utc.tm_sec);
    return text.data();
}

SignedHeaders sign_request(const Identity& signer, std::string_view key_id, std::int64_t unix_now)
{
    SignedHeaders made;
    made.date = http_date(unix_now);
    made.threebot_id = key_id;

    const auto created = std::to_string(unix_now);
    const auto text = signing_line("(created)", created) + '\n' + signing_line("date", made.date) +
                      '\n' + signing_line("threebot-id", key_id);
    made.authorization = std::string{scheme} + "keyId=\"" + std::string{key_id} +
                         "\",algorithm=\"ed25519\",signature=\"" + to_base64(signer.sign(text)) +
                         "\",created=\"" + created + "\",expires=\"" +
                         std::to_string(unix_now + lifetime) +
                         "\",headers=\"(created) date threebot-id\"";
    return made;
}

std::optional<SignatureParams> parse_authorization(std::string_view value)
{
    if (!value.starts_with(scheme)) return std::nullopt;

    SignatureParams params;
    bool headers_given = false;
    for (const auto& [name, text] : pairs_of(value.substr(scheme.size()))) {
        if (name == "keyId") {
            params.key_id = text;
        } else if (name == "algorithm") {
            params.algorithm = text;
        } else if (name == "created") {
            params.created = to_number<std::int64_t>(text);
        } else if (name == "signature") {
            params.signature = from_base64(text).value_or("");
        } else if (name == "headers") {
            headers_given = true;
            params.headers.clear();
            for (const auto piece : split(text, ' ')) {
                if (!piece.empty() && params.headers.size() < most_headers)
                    params.headers.push_back(to_lower(piece));
            }
        }
    }
    if (!headers_given) params.headers = {"date"};
    return params;
}

Result<PublicKey> key_of_node_signer(const std::string& key_id)
{
    const auto key = key_of_node(key_id);
    if (!key) return denied("public key has the wrong size");
    return *key;
}

Result<std::string> verify_request(
    const HeaderValues& headers,
    const VerifyRules& rules,
    const std::function<Result<PublicKey>(const std::string& key_id)>& key_of)
{
    std::optional<SignatureParams> params;
    for (const auto& [name, value] : headers) {
        if (to_lower(name) != "authorization") continue;
        if (auto parsed = parse_authorization(value)) params = std::move(parsed);
    }
    if (!params) return denied("no params present");
    if (params->key_id.empty()) return denied("keyId is required");
    if (params->algorithm != "ed25519") return denied("algorithm is required");
    if (params->signature.empty()) return denied("signature is required");

    for (const auto& name : rules.required) {
        if (std::ranges::find(params->headers, name) == params->headers.end())
            return denied("missing required header in signature \"(created)\"");
    }

    std::string text;
    for (const auto& wanted : params->headers) {
        bool present = false;
        const auto add = [&](std::string_view value) {
            if (!text.empty()) text += '\n';
            text += signing_line(wanted, value);
            present = true;
        };
        if (wanted == "(created)") {
            if (!params->created) return denied("created is required");
            add(std::to_string(*params->created));
        } else {
            for (const auto& [name, value] : headers) {
                if (to_lower(name) == wanted) add(trim(value));
            }
        }
        if (!present) return denied("expected " + wanted + " to exists");
    }

    TRY(const auto key, key_of(params->key_id));
    if (!verify(key, text, params->signature)) return denied("signature verification failed");
    if (rules.window) {
        const auto created = params->created.value_or(0);
        if (created < rules.unix_now - *rules.window || created > rules.unix_now + *rules.window)
            return denied("request is too old or the clocks differ");
    }
    return params->key_id;
}

}  // namespace znode::identity
