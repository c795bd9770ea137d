#include <algorithm>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "core.hpp"
#include "grid/json.hpp"
#include "identity/identity.hpp"

namespace znode::explorer_server {
namespace {

bool is_lower(std::string_view text) { return to_lower(text) == text; }

bool has_control_characters(std::string_view text)
{
    return std::ranges::any_of(
        text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Answer<> save_user(Core& core, const grid::User& user)
{
    TRY_DO(check_length(user.email, "email", longest_line));
    TRY_DO(check_length(user.host, "host", longest_line));
    TRY_DO(check_length(user.description, "description", longest_description));
    TRY(auto text, stored_text(user, "user", largest_small));
    TRY_DO(core.db.run(
        "INSERT INTO user (id, name, email, document) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO "
        "UPDATE SET email = excluded.email, document = excluded.document",
        {user.id, user.name, user.email, std::move(text)}));
    return http::Reply{};
}

/// Whether somebody else has this address. In strict mode, having none is no address to share.
Result<bool> email_taken(Core& core, const grid::User& user)
{
    if (user.email.empty() && !core.options.lenient) return false;
    TRY(const auto other,
        core.db.integer("SELECT id FROM user WHERE email = ? AND id <> ?", {user.email, user.id}));
    return other.has_value();
}

Answer<grid::User> find_user(Core& core, std::string_view text, std::string_view prefix)
{
    TRY(const auto id, integer_of(text, prefix));
    TRY(auto user, core.user(id));
    if (!user) return refuse(404, no_document);
    return *std::move(user);
}

}  // namespace

Answer<std::string> hex_of(std::string_view text, const std::string& intent)
{
    if (auto bytes = from_hex(text)) return *std::move(bytes);
    for (const char c : text) {
        const bool is_hex =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (is_hex) continue;
        const auto byte = std::string_view{&c, 1};
        return refuse(
            400,
            intent + ": encoding/hex: invalid byte: U+00" +
                [&] {
                    auto digits = to_hex(byte);
                    std::ranges::transform(digits, digits.begin(), [](char d) {
                        return d >= 'a' && d <= 'f' ? static_cast<char>(d - 32) : d;
                    });
                    return digits;
                }() +
                " '" + printable(byte) + "'");
    }
    return refuse(400, intent + ": encoding/hex: odd length hex string");
}

Answer<> list_users(Core& core, Call& call)
{
    const auto paging = Paging::of(call);
    const auto name = std::string{call.argument("name").value_or("")};
    const auto email = std::string{call.argument("email").value_or("")};
    const std::vector<store::Value> filter{name, name, email, email};
    TRY(const auto total,
        core.db.integer(
            "SELECT count(*) FROM user WHERE (? = '' OR name = ?) AND (? = '' OR email = ?)",
            filter));
    auto values = filter;
    values.insert(values.end(), {paging.size, paging.offset()});
    const bool is_signed = is_signed_by_user(core, call, {"date"});
    TRY(auto list,
        core.list_of<grid::User>(
            "SELECT document FROM user WHERE (? = '' OR name = ?) AND (? = '' OR email = ?) "
            "ORDER BY id LIMIT ? OFFSET ?",
            values,
            [&](grid::User& user) {
                if (!is_signed) user.email.clear();
            }));
    auto reply = json_reply(200, std::move(list));
    paging.mark(reply, total.value_or(0));
    return reply;
}

Answer<> get_user(Core& core, Call& call)
{
    TRY(auto user, find_user(core, call.part(0), "invalid id format: "));
    if (!is_signed_by_user(core, call, {"date"})) user.email.clear();
    return json_reply(200, grid::to_json(user));
}

Answer<> create_user(Core& core, Call& call)
{
    TRY(auto sent, body_of<grid::User>(call));
    if (!is_lower(sent.name)) return refuse(400, "name should be all lower case");
    if (!is_lower(sent.email)) return refuse(400, "email should be all lower case");
    if (sent.name.size() < 3) return refuse(400, "name should be at least 3 character");
    if (sent.name.size() > 256 || has_control_characters(sent.name))
        return refuse(400, "name should have printable characters, at most 256");

    const std::string wrong_key = "invalid public key " + printable(sent.pubkey) + ": ";
    if (auto hex = hex_of(sent.pubkey, wrong_key + "invalid hex format"); !hex)
        return refuse(500, hex.error().text);
    if (!identity::key_of_hex(sent.pubkey)) return refuse(500, wrong_key + "wrong key size");
    TRY(const auto same_name, core.db.integer("SELECT id FROM user WHERE name = ?", {sent.name}));
    if (same_name) return refuse(409, "user with same name or email exists");

    grid::User user{.name = sent.name, .email = sent.email, .pubkey = sent.pubkey};
    // The originals forget what else they were told.
    if (!core.options.lenient) {
        user.host = sent.host;
        user.description = sent.description;
    }
    TRY(user.id, core.next_id("user"));
    TRY(const bool taken, email_taken(core, user));
    if (taken) return tl::unexpected(Refusal{409, "user with same name or email exists"}.keeping());
    TRY_DO(save_user(core, user));
    core.log->info("user registered id={} name={}", user.id, printable(user.name));
    return json_reply(201, grid::to_json(user));
}

Answer<> update_user(Core& core, Call& call)
{
    TRY(const auto id, integer_of(call.part(0), "invalid user id: invalid id format: "));
    TRY(auto update, body_of<grid::UserUpdate>(call));
    if (update.sender_signature_hex.empty()) return refuse(400, "signature is required");
    TRY(const auto signature, hex_of(update.sender_signature_hex, "invalid signature hex"));

    TRY(auto stored, core.user(id));
    if (!stored) return refuse(500, "user not found");
    auto& sent = update.user;
    sent.id = id;
    if (!sent.name.empty() && sent.name != stored->name)
        return refuse(400, "can not update name: bad data during user update");
    if (!sent.pubkey.empty() && sent.pubkey != stored->pubkey)
        return refuse(400, "can not update public key: bad data during user update");
    const auto key = identity::key_of_hex(stored->pubkey);
    if (!key || !identity::verify(*key, grid::user_update_text(sent), signature))
        return refuse(400, "payload verification failed: bad data during user update");

    if (!sent.email.empty()) stored->email = sent.email;
    if (!sent.host.empty()) stored->host = sent.host;
    if (!sent.description.empty()) stored->description = sent.description;
    TRY(const bool taken, email_taken(core, *stored));
    if (taken) return refuse(500, "user with same name or email exists");
    TRY_DO(save_user(core, *stored));
    return null_reply(200);
}

Answer<> validate_user(Core& core, Call& call)
{
    TRY(const auto user, find_user(core, call.part(0), "invalid id format: "));
    TRY(const auto sent, body_of<grid::ValidateRequest>(call));
    TRY(const auto payload,
        hex_of(sent.payload, "payload must be hex encoded string of original data"));
    TRY(const auto signature,
        hex_of(sent.signature, "signature must be hex encoded string of original data"));
    const auto key = identity::key_of_hex(user.pubkey);
    const bool valid = key && identity::verify(*key, payload, signature);
    return json_reply(200, grid::to_json(grid::ValidateReply{valid}));
}

}  // namespace znode::explorer_server
