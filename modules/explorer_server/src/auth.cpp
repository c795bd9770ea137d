#include "base/text.hpp"
#include "core.hpp"
#include "identity/http_signature.hpp"

namespace znode::explorer_server {
namespace {

/// How far a signature's clock may be off. Method and body are not signed, so a captured signature
/// serves whoever has it this long.
constexpr std::int64_t freshness = 300;

identity::HeaderValues headers_of(const Call& call)
{
    identity::HeaderValues values;
    bool has_date = false;
    for (const auto& [name, value] : call.request.headers) {
        values.emplace_back(name, value);
        has_date = has_date || name == "Date" || name == "date";
    }
    values.emplace_back(
        "(request-target)",
        to_lower(http::to_string(call.request.method)) + " " + call.request.target);
    // The originals fill in their own clock; a signature over it can hold in that second only.
    if (!has_date) values.emplace_back("Date", http::format_date(call.now));
    return values;
}

identity::VerifyRules rules_of(const Core& core, const Call& call)
{
    identity::VerifyRules rules;
    if (!core.options.lenient) rules.window = freshness;
    rules.unix_now = call.now;
    return rules;
}

tl::unexpected<Refusal> unauthorized(const Error& error)
{
    return refuse(401, "unauthorized access: " + error.message, Refusal::Form::signature);
}

}  // namespace

Answer<std::int64_t> signing_user(Core& core, const Call& call)
{
    auto key_id = identity::verify_request(
        headers_of(call), rules_of(core, call), [&core](const std::string& id) {
            return core.key_of_user_signer(id);
        });
    if (!key_id) return unauthorized(key_id.error());
    return integer_of(*key_id);
}

bool is_signed_by_user(Core& core, const Call& call, std::vector<std::string> required)
{
    auto rules = rules_of(core, call);
    rules.required = std::move(required);
    return identity::verify_request(
               headers_of(call),
               rules,
               [&core](const std::string& id) { return core.key_of_user_signer(id); })
        .has_value();
}

Answer<std::string> signing_node(Core& core, const Call& call)
{
    auto key_id = identity::verify_request(
        headers_of(call), rules_of(core, call), identity::key_of_node_signer);
    if (!key_id) return unauthorized(key_id.error());
    return *std::move(key_id);
}

}  // namespace znode::explorer_server
