#include <algorithm>

#include "base/text.hpp"
#include "core.hpp"
#include "identity/identity.hpp"
#include "proof.hpp"

namespace znode::explorer_server {
namespace {

tl::unexpected<Refusal> unknown_node(const std::string& id)
{
    return refuse(404, "node '" + printable(id) + "' not found");
}

/// The node of the path. Deleted ones are there too: they get their answer, and nothing changes.
Answer<grid::Node> node_of_path(Core& core, const Call& call)
{
    TRY(auto node, core.node(call.parts[0]));
    if (!node) return unknown_node(call.parts[0]);
    return *std::move(node);
}

Answer<> must_be_itself(const Call& call, std::string_view signer, std::string_view what)
{
    if (signer == call.parts[0]) return http::Reply{};
    return refuse(
        403,
        "trying to register " + std::string{what} + " for nodeID " + printable(call.parts[0]) +
            " while you are " + printable(signer));
}

/// What a node says of itself; its proofs have their own limit, and are shown to who asks for them.
Answer<> check_node_size(grid::Node node)
{
    node.proofs = {};
    TRY_DO(stored_text(node, "node", largest_self));
    return http::Reply{};
}
static_assert(largest_self + largest_proofs + most_proofs + shown_more < largest_node);

/// Lets the oldest proofs go that are too many, or too much together.
void trim_proofs(grid::Node& node)
{
    auto& proofs = node.proofs;
    const auto bytes = [&] {
        std::size_t sum = 0;
        for (const auto& proof : proofs) sum += proof.text.size();
        return sum;
    };
    while (proofs.size() > most_proofs || bytes() > largest_proofs) proofs.erase(proofs.begin());
}

/// Stores what a node says of itself. Only registration brings back one that its farmer removed.
Answer<> save_report(Core& core, const grid::Node& node, unsigned status)
{
    TRY_DO(check_node_size(node));
    if (!node.deleted) TRY_DO(core.save_node(node));
    return null_reply(status);
}

/// The node of the path, for the owner of its farm.
Answer<grid::Node> own_node(Core& core, const Call& call, std::string_view refusal)
{
    TRY(const auto user, signing_user(core, call));
    TRY(auto node, node_of_path(core, call));
    TRY(const auto farm, core.farm(node.farm_id));
    if (!farm || farm->threebot_id != user) return refuse(403, std::string{refusal});
    return node;
}
constexpr std::string_view not_the_farmer =
    "only the farmer can configured the public interface of its nodes";

Answer<> check_registration(const grid::Node& node)
{
    if (node.os_version.empty()) return refuse(500, "os_version is required");
    TRY_DO(check_own_key(node.public_key_hex, node.node_id, 500));
    if (is_nowhere(node.location)) return refuse(500, "location is required");
    return http::Reply{};
}

Answer<> check_public_config(const grid::PublicConfig& config)
{
    const auto wrong = [](std::string why) {
        return refuse(400, "error during validation of public config: " + std::move(why));
    };
    if (config.master.empty()) return wrong("master field cannot be empty");
    if (config.master.size() > 16) return wrong("master field cannot have more than 16 characters");
    if (config.type != 0) return wrong("only macvlan (0) is supported as type");
    if (!config.ipv4.is_set()) return wrong("ipv4 cannot be empty");
    if (!config.ipv6.is_set()) return wrong("ipv6 cannot be empty");
    if (!config.gw4.is_set()) return wrong("gw4 cannot be empty");
    if (!config.gw6.is_set()) return wrong("gw6 cannot be empty");
    for (const auto& ip : {config.ipv4.ip(), config.gw4})
        if (!ip.is_v4()) return wrong(ip.text() + " is not a valid IPv4 address");
    for (const auto& ip : {config.ipv6.ip(), config.gw6})
        if (ip.is_v4()) return wrong(ip.text() + " is not a valid IPv6 address");
    return http::Reply{};
}

/// A filter of a list: 0 when the argument is absent or not above zero.
Answer<std::int64_t> filter_of(const Call& call, std::string_view name, std::string_view complaint)
{
    const auto text = call.argument(name);
    if (!text || text->empty()) return std::int64_t{0};
    TRY(const auto number, integer_of(*text, complaint));
    return std::max<std::int64_t>(number, 0);
}

bool wants_proofs(const Call& call) { return call.argument("proofs") == "true"; }

}  // namespace

Answer<> check_own_key(const std::string& key_hex, const std::string& id, unsigned status)
{
    if (key_hex.empty()) return refuse(status, "public_key_hex is required");
    if (auto hex = hex_of(key_hex, "fail to decode public key"); !hex)
        return refuse(status, hex.error().text);
    const auto key = identity::key_of_hex(key_hex);
    if (!key || identity::node_id_of(*key) != id)
        return refuse(status, "nodeID and public key does not match");
    return http::Reply{};
}

bool is_nowhere(const grid::Location& where)
{
    return where.city.empty() && where.country.empty() && where.continent.empty() &&
           where.latitude == 0 && where.longitude == 0;
}

Answer<> list_nodes(Core& core, Call& call)
{
    const auto paging = Paging::of(call);
    TRY(const auto farm, filter_of(call, "farm", "invalid farm id: "));
    TRY(const auto cru, filter_of(call, "cru", "invalid cru: "));
    TRY(const auto mru, filter_of(call, "mru", "invalid mru: "));
    TRY(const auto sru, filter_of(call, "sru", "invalid sru: "));
    TRY(const auto hru, filter_of(call, "hru", "invalid hru: "));
    const auto country = std::string{call.argument("country").value_or("")};
    const auto city = std::string{call.argument("city").value_or("")};
    const auto deleted = std::int64_t{call.argument("deleted") == "true"};
    const std::vector<store::Value> filter{
        farm, farm, country, country, city, city, cru, mru, sru, hru, deleted};
    const std::string where =
        " FROM node WHERE (? = 0 OR farm = ?) AND (? = '' OR country = ?) AND (? = '' OR city = ?) "
        "AND cru >= ? AND mru >= ? AND sru >= ? AND hru >= ? AND (? = 1 OR deleted = 0)";
    TRY(const auto total, core.db.integer("SELECT count(*)" + where, filter));
    auto values = filter;
    values.insert(values.end(), {paging.size, paging.offset()});
    const bool with_proofs = wants_proofs(call);
    TRY(auto list,
        core.list_of<grid::Node>(
            "SELECT document" + where + " ORDER BY id LIMIT ? OFFSET ?",
            values,
            [&](grid::Node& node) {
                if (!with_proofs) node.proofs = {};
                trim_proofs(node);  // Former versions kept more.
            }));
    auto reply = json_reply(200, std::move(list));
    paging.mark(reply, total.value_or(0));
    return reply;
}

Answer<> get_node(Core& core, Call& call)
{
    TRY(auto node, core.node(call.parts[0]));
    if (!node) return refuse(404, no_document);
    if (!wants_proofs(call)) node->proofs = {};
    return json_reply(200, grid::to_json(*node));
}

Answer<> register_node(Core& core, Call& call)
{
    TRY(const auto signer, signing_node(core, call));
    TRY(const auto sent, body_of<grid::Node>(call));
    if (sent.node_id != signer)
        return refuse(
            403,
            "trying to register a node with nodeID " + printable(sent.node_id) + " while you are " +
                signer);
    TRY(const auto farm, core.farm(sent.farm_id));
    if (!farm) return refuse(404, std::string{"unknown farm id: "} + no_document);
    TRY_DO(check_registration(sent));

    TRY(auto stored, core.node(sent.node_id));
    const bool is_new = !stored;
    grid::Node node = is_new ? grid::Node{} : *std::move(stored);
    if (is_new) {
        TRY(node.id, core.next_id("node"));
        node.node_id = sent.node_id;
        node.public_key_hex = sent.public_key_hex;
        node.created.unix = call.now;
        node.address = sent.address;
    }
    node.hostname = sent.hostname;
    node.node_id_v1 = sent.node_id_v1;
    node.farm_id = sent.farm_id;
    node.os_version = sent.os_version;
    node.location = sent.location;
    node.uptime = sent.uptime;
    node.updated.unix = call.now;
    node.deleted = false;
    // What is proven is proven anew after each start.
    node.proofs = grid::List<grid::RawJson>::none();
    TRY_DO(check_node_size(node));
    TRY_DO(core.save_node(node));
    if (is_new)
        core.log->info(
            "node registered id={} farm={} host={}",
            node.node_id,
            node.farm_id,
            printable(node.hostname));
    return null_reply(201);
}

Answer<> set_interfaces(Core& core, Call& call)
{
    TRY(const auto signer, signing_node(core, call));
    TRY(auto node, node_of_path(core, call));
    auto sent = grid::list_from_json<grid::Interface>(call.request.body, sent_limits);
    if (!sent) return refuse(400, sent.error().message);
    TRY_DO(must_be_itself(call, signer, "interfaces"));
    // No list and an empty one are shown as they came.
    node.ifaces = trim(call.request.body) == "null" ? grid::List<grid::Interface>{}
                                                    : grid::List<grid::Interface>(*std::move(sent));
    return save_report(core, node, 201);
}

Answer<> set_ports(Core& core, Call& call)
{
    TRY(const auto signer, signing_node(core, call));
    TRY(auto node, node_of_path(core, call));
    TRY_DO(must_be_itself(call, signer, "ports"));
    TRY(auto sent, body_of<grid::PortsReport>(call));
    for (const auto port : sent.ports)
        if (port < 0) return refuse(400, "json: a port can't be negative");
    node.wg_ports = std::move(sent.ports);
    return save_report(core, node, 200);
}

Answer<> set_capacity(Core& core, Call& call)
{
    TRY(const auto signer, signing_node(core, call));
    TRY(auto node, node_of_path(core, call));
    TRY(const auto sent, body_of<grid::CapacityReport>(call));
    TRY_DO(must_be_itself(call, signer, "capacity"));
    auto proof = proof_of(sent, call.now);
    if (!proof) return refuse(400, proof.error().message);
    TRY_DO(check_length(proof->text, "proof", largest_proofs));
    node.total_resources = sent.capacity;
    node.proofs.push_back(*std::move(proof));
    trim_proofs(node);
    return save_report(core, node, 200);
}

Answer<> set_uptime(Core& core, Call& call)
{
    TRY(const auto signer, signing_node(core, call));
    TRY(auto node, node_of_path(core, call));
    TRY_DO(must_be_itself(call, signer, "uptime"));
    TRY(const auto sent, body_of<grid::UptimeReport>(call));
    node.uptime = static_cast<std::int64_t>(sent.uptime);
    node.updated.unix = call.now;
    return save_report(core, node, 200);
}

Answer<> set_used(Core& core, Call& call)
{
    TRY(const auto signer, signing_node(core, call));
    TRY(auto node, node_of_path(core, call));
    TRY_DO(must_be_itself(call, signer, "used resources"));
    TRY(const auto sent, body_of<grid::UsedReport>(call));
    node.reserved_resources = sent.resources;
    node.workloads = sent.workloads;
    return save_report(core, node, 200);
}

Answer<> configure_public(Core& core, Call& call)
{
    TRY(auto node, own_node(core, call, not_the_farmer));
    TRY(auto config, body_of<grid::PublicConfig>(call));
    TRY_DO(check_public_config(config));
    config.version = (node.public_config ? node.public_config->version : 0) + 1;
    node.public_config = std::move(config);
    TRY_DO(core.save_node(node));
    return null_reply(201);
}

Answer<> configure_free(Core& core, Call& call)
{
    TRY(auto node,
        own_node(core, call, "only the farmer can configured the if the node is free to use"));
    auto sent = grid::json::parse(call.request.body, sent_limits);
    if (!sent) return refuse(400, sent.error().message);
    const auto* value = sent->find("free_to_use");
    if (value != nullptr && value->kind != grid::json::Value::Kind::boolean && !value->is_null())
        return refuse(400, "json: free_to_use must be true or false");
    node.free_to_use = value != nullptr && value->raw == "true";
    TRY_DO(core.save_node(node));
    return null_reply(200);
}

Answer<> configure_dedicated(Core& core, Call& call)
{
    TRY(auto node, own_node(core, call, not_the_farmer));
    auto sent = grid::json::parse(call.request.body, sent_limits);
    if (!sent) return refuse(400, sent.error().message);
    const auto* value = sent->find("user_id");
    std::int64_t user = 0;
    if (value != nullptr && !value->is_null()) {
        const auto number = to_number<std::int64_t>(value->raw);
        if (value->kind != grid::json::Value::Kind::number || !number)
            return refuse(400, "json: user_id must be an integer");
        user = *number;
    }
    if (user != 0) {
        TRY(const auto found, core.user(user));
        if (!found) return refuse(404, std::string{"user not found: "} + no_document);
    }
    node.dedicated = user;
    TRY_DO(core.save_node(node));
    return null_reply(200);
}

}  // namespace znode::explorer_server
