#pragma once
// Signed requests of the grid: draft-cavage-http-signatures-12 with ed25519 over the lines
// `(created)`, `date` and `threebot-id`. Method, path and body are not covered, which the protocol
// cannot change; a server of ours bounds the harm with a window around `created`.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "identity/identity.hpp"

namespace znode::identity {

/// What the sender of a request adds to it.
struct SignedHeaders {
    std::string date;           ///< `Date`, RFC 1123 GMT.
    std::string threebot_id;    ///< `Threebot-Id`, equal to the key id.
    std::string authorization;  ///< `Authorization`.
};

/// Signs a request as `key_id` (a node id, or a user id in decimal) at this second. The form is
/// that of the grid's Python client; the Go client's differs in `expires` only, which nobody reads.
SignedHeaders sign_request(const Identity& signer, std::string_view key_id, std::int64_t unix_now);

/// "Wed, 28 Apr 2021 08:53:20 GMT".
std::string http_date(std::int64_t unix_time);

/// The lines to sign, in the listed order. A name of `(created)` gives the parameter; every other
/// one the header of that name, once per value.
using HeaderValues = std::vector<std::pair<std::string, std::string>>;

/// A parsed `Authorization: Signature …`. Parameters that do not parse are passed over.
struct SignatureParams {
    std::string key_id;
    std::string algorithm;
    std::string signature;  ///< Raw bytes; empty when absent or no base64.
    std::optional<std::int64_t> created;
    std::vector<std::string> headers;  ///< Lower case; `date` alone when absent.
};
/// Empty for another scheme or none.
std::optional<SignatureParams> parse_authorization(std::string_view value);

/// Checks a request. `headers` are all of the request's, any case of the names; `key_of` finds the
/// public key of a key id (Errc::not_found for an unknown user: the message is the reason given to
/// the client). On success the key id. Errc::denied with the texts of the original verifier
/// ("no params present", "signature verification failed", …), without its prefix.
///
/// `required` names must be signed. With `window`, `created` must be within that many seconds of
/// `unix_now`.
struct VerifyRules {
    std::vector<std::string> required = {"(created)", "date", "threebot-id"};
    std::optional<std::int64_t> window = {};
    std::int64_t unix_now = 0;
};
Result<std::string> verify_request(
    const HeaderValues& headers,
    const VerifyRules& rules,
    const std::function<Result<PublicKey>(const std::string& key_id)>& key_of);

/// What `key_of` answers for nodes and gateways: the key that the id is; "public key has the wrong
/// size" otherwise.
Result<PublicKey> key_of_node_signer(const std::string& key_id);

}  // namespace znode::identity
