#include <algorithm>
#include <limits>
#include <set>
#include <string>

#include "core.hpp"

namespace znode::explorer_server {
namespace {

bool is_farm_name(std::string_view name)
{
    return !name.empty() && name.size() <= 256 && std::ranges::all_of(name, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-' || c == '_';
    });
}
constexpr const char* bad_name =
    "invalid farm name. name can only contain alphanumeric characters dash (-) or underscore (_)";

/// Loose on purpose: one '@' between two parts without blanks, as browsers check it.
bool is_email(std::string_view email)
{
    const auto at = email.find('@');
    return at != std::string_view::npos && at > 0 && at + 1 < email.size() &&
           email.find('@', at + 1) == std::string_view::npos &&
           std::ranges::none_of(email, [](char c) {
               return static_cast<unsigned char>(c) <= 0x20 || c == ',' || c == ';';
           });
}

/// What a farm says of itself, and the whole of it as it is when all its addresses are taken.
Answer<> check_farm_size(grid::Farm farm)
{
    for (auto& ip : farm.ipaddresses) ip.reservation_id = std::numeric_limits<std::int64_t>::max();
    TRY_DO(stored_text(farm, "farm with all its addresses taken", largest_farm));
    farm.ipaddresses = {};
    TRY_DO(stored_text(farm, "farm", largest_self));
    return http::Reply{};
}

Answer<grid::Farm> farm_of_body(const Call& call)
{
    TRY(auto farm, body_of<grid::Farm>(call));
    TRY_DO(check_length(farm.email, "email", longest_line));
    TRY_DO(check_farm_size(farm));
    if (!farm.email.empty() && !is_email(farm.email))
        return refuse(400, "invalid email address: " + farm.email);
    return farm;
}

Answer<> name_taken(Core& core, const grid::Farm& farm)
{
    TRY(const auto other,
        core.db.integer("SELECT id FROM farm WHERE name = ? AND id <> ?", {farm.name, farm.id}));
    if (other) return refuse(500, "farm with same name exists");
    return http::Reply{};
}

/// The address is its own proof of being one: "1.2.3.4/24" text of a list entry.
Answer<grid::IpRange> address_of(std::string_view text)
{
    if (text.empty()) return refuse(400, "invalid cider address");
    auto range = grid::IpRange::parse(text);
    if (!range) return refuse(400, range.error().message);
    return *range;
}

}  // namespace

Answer<grid::Farm> own_farm(Core& core, const Call& call)
{
    constexpr auto plain = Refusal::Form::plain;
    TRY(const auto user, signing_user(core, call));
    auto id = integer_of(call.part(0));
    if (!id) return refuse(400, id.error().text, plain);
    TRY(auto farm, core.farm(*id));
    if (!farm || farm->threebot_id != user) return refuse(404, no_document, plain);
    return *std::move(farm);
}

Answer<> list_farms(Core& core, Call& call)
{
    const auto paging = Paging::of(call);
    const auto name = std::string{call.argument("name").value_or("")};
    std::int64_t owner = 0;
    if (const auto text = call.argument("owner"); text && !text->empty()) {
        TRY(owner, integer_of(*text, "owner should be a integer: "));
    }
    const std::vector<store::Value> filter{name, name, owner, owner};
    TRY(const auto total,
        core.db.integer(
            "SELECT count(*) FROM farm WHERE (? = '' OR name = ?) AND (? = 0 OR owner = ?)",
            filter));
    auto values = filter;
    values.insert(values.end(), {paging.size, paging.offset()});
    const bool is_signed = is_signed_by_user(core, call, {"(created)", "date", "threebot-id"});
    TRY(auto list,
        core.list_of<grid::Farm>(
            "SELECT document FROM farm WHERE (? = '' OR name = ?) AND (? = 0 OR owner = ?) "
            "ORDER BY id LIMIT ? OFFSET ?",
            values,
            [&](grid::Farm& farm) {
                if (!is_signed) farm.email.clear();
            }));
    auto reply = json_reply(200, std::move(list));
    paging.mark(reply, total.value_or(0));
    return reply;
}

Answer<> get_farm(Core& core, Call& call)
{
    TRY(const auto id, integer_of(call.part(0)));
    TRY(auto farm, core.farm(id));
    if (!farm) return refuse(404, no_document);
    if (!is_signed_by_user(core, call, {"(created)", "date", "threebot-id"})) farm->email.clear();
    return json_reply(200, grid::to_json(*farm));
}

Answer<> create_farm(Core& core, Call& call)
{
    std::optional<std::int64_t> signer;
    if (!core.options.lenient) {
        TRY(signer, signing_user(core, call));
    }
    TRY(auto farm, farm_of_body(call));
    if (!is_farm_name(farm.name)) return refuse(400, bad_name);
    if (farm.threebot_id == 0) return refuse(400, "threebot_id is required");
    if (farm.wallet_addresses.empty()) return refuse(400, "invalid wallet_addresses, is required");
    if (signer && *signer != farm.threebot_id)
        return refuse(403, "a farm can only be registered by its owner");

    TRY(farm.id, core.next_id("farm"));
    if (auto taken = name_taken(core, farm); !taken)
        return tl::unexpected(std::move(taken).error().keeping());
    for (auto& ip : farm.ipaddresses) ip.reservation_id = 0;
    TRY_DO(core.save_farm(farm));
    core.log->info("farm registered id={} name={} owner={}", farm.id, farm.name, farm.threebot_id);
    return json_reply(201, grid::to_json(grid::CreatedId{farm.id}));
}

Answer<> update_farm(Core& core, Call& call)
{
    TRY(auto stored, own_farm(core, call));
    TRY(auto sent, farm_of_body(call));
    if (!is_farm_name(sent.name)) return refuse(500, bad_name);
    sent.id = stored.id;
    sent.ipaddresses = stored.ipaddresses;
    TRY_DO(check_farm_size(sent));
    TRY_DO(name_taken(core, sent));
    TRY_DO(core.save_farm(sent));
    return null_reply(200);
}

Answer<> add_farm_ips(Core& core, Call& call)
{
    TRY(auto farm, own_farm(core, call));
    auto sent = grid::list_from_json<grid::FarmIp>(call.request.body, sent_limits);
    if (!sent) return refuse(400, sent.error().message);
    std::set<std::string> known;
    for (const auto& ip : farm.ipaddresses) known.insert(ip.address.text());
    const auto before = known.size();
    for (auto& ip : *sent) {
        if (!ip.address.is_set()) return refuse(400, "invalid cider address");
        if (!known.insert(ip.address.text()).second) continue;
        ip.reservation_id = 0;
        farm.ipaddresses.push_back(ip);
    }
    if (known.size() > before) TRY_DO(check_farm_size(farm));
    TRY_DO(core.save_farm(farm));
    return null_reply(200);
}

Answer<> remove_farm_ips(Core& core, Call& call)
{
    TRY(auto farm, own_farm(core, call));
    auto sent = grid::json::parse(call.request.body, sent_limits);
    if (!sent) return refuse(400, sent.error().message);
    if (sent->kind != grid::json::Value::Kind::array)
        return refuse(400, "json: a list of addresses is expected");
    std::set<std::string> unwanted;
    for (const auto& item : sent->items) {
        if (item.kind != grid::json::Value::Kind::string)
            return refuse(400, "json: an address is a string");
        TRY(const auto address, address_of(item.text));
        unwanted.insert(address.text());
    }
    grid::List<grid::FarmIp> left = farm.ipaddresses;
    left.clear();
    for (const auto& ip : farm.ipaddresses) {
        if (!unwanted.contains(ip.address.text())) {
            left.push_back(ip);
        } else if (ip.reservation_id != 0) {
            return refuse(400, "ip address '" + ip.address.text() + "' is reserved");
        }
    }
    farm.ipaddresses = std::move(left);
    TRY_DO(core.save_farm(farm));
    return null_reply(200);
}

Answer<> remove_farm_node(Core& core, Call& call)
{
    TRY(const auto farm, own_farm(core, call));
    TRY(auto node, core.node(call.parts[1]));
    if (!node) return refuse(404, no_document);
    if (node->farm_id != farm.id)
        return refuse(403, "only the farm owner of this node can remove it");
    node->deleted = true;
    TRY_DO(core.save_node(*node));
    return null_reply(200);
}

}  // namespace znode::explorer_server
