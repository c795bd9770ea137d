#include <algorithm>

#include "base/text.hpp"
#include "core.hpp"
#include "identity/identity.hpp"

namespace znode::explorer_server {
namespace {

/// A name of the DNS: labels of letters, digits and inner dashes.
bool is_domain(std::string_view name)
{
    if (name.empty() || name.size() > 253) return false;
    return std::ranges::all_of(split(name, '.'), [](std::string_view label) {
        const auto fits = [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                   c == '-';
        };
        return !label.empty() && label.size() <= 63 && label.front() != '-' &&
               label.back() != '-' && std::ranges::all_of(label, fits);
    });
}

Answer<> check_gateway(const grid::Gateway& gateway)
{
    if (gateway.os_version.empty()) return refuse(400, "os_version is required");
    TRY_DO(check_own_key(gateway.public_key_hex, gateway.node_id, 400));
    if (is_nowhere(gateway.location)) return refuse(400, "location is required");
    for (const auto& domain : gateway.managed_domains)
        if (!is_domain(domain))
            return refuse(400, "domain name '" + printable(domain) + "' is invalid");
    // The proof of owning a domain is in the DNS, which a private grid has nothing to do with.
    if (!gateway.managed_domains.empty())
        return refuse(
            403,
            "failed to look up '__owner__." + gateway.managed_domains.front() +
                "' for TXT records: this explorer asks no name server; register without "
                "managed_domains");
    return http::Reply{};
}

Result<> save_gateway(Core& core, const grid::Gateway& gateway)
{
    TRY(auto text, stored_text(gateway, "gateway", largest_small));
    TRY_DO(core.db.run(
        "INSERT INTO gateway (id, node_id, farm, country, city, document) VALUES (?, ?, ?, ?, ?, "
        "?) ON CONFLICT (id) DO UPDATE SET farm = excluded.farm, country = excluded.country, city "
        "= excluded.city, document = excluded.document",
        {gateway.id,
         gateway.node_id,
         gateway.farm_id,
         gateway.location.country,
         gateway.location.city,
         std::move(text)}));
    return {};
}

/// The gateway of the path, which speaks for itself only.
Answer<grid::Gateway> speaking_gateway(Core& core, const Call& call, std::string_view what)
{
    TRY(const auto signer, signing_node(core, call));
    TRY(auto gateway, core.gateway(call.parts[0]));
    if (!gateway) return refuse(404, "gateway '" + printable(call.parts[0]) + "' not found");
    if (signer != call.parts[0])
        return refuse(
            403,
            "trying to register " + std::string{what} + " for gateway " + printable(call.parts[0]) +
                " while you are " + printable(signer));
    return *std::move(gateway);
}

}  // namespace

Answer<> register_gateway(Core& core, Call& call)
{
    TRY(const auto signer, signing_node(core, call));
    TRY(auto sent, body_of<grid::Gateway>(call));
    if (sent.node_id != signer)
        return refuse(
            403,
            "trying to register a gateway with nodeID " + printable(sent.node_id) +
                " while you are " + signer);
    TRY_DO(check_gateway(sent));
    TRY(const auto farm, core.farm(sent.farm_id));
    if (!farm) return refuse(404, std::string{"unknown farm id: "} + no_document);

    TRY(const auto stored, core.gateway(sent.node_id));
    if (stored) {
        sent.id = stored->id;
        sent.created = stored->created;
    } else {
        TRY(sent.id, core.next_id("gateway"));
        sent.created.unix = call.now;
        core.log->info("gateway registered id={} farm={}", sent.node_id, sent.farm_id);
    }
    sent.updated.unix = call.now;
    TRY_DO(save_gateway(core, sent));
    return null_reply(201);
}

Answer<> set_gateway_uptime(Core& core, Call& call)
{
    TRY(auto gateway, speaking_gateway(core, call, "uptime"));
    TRY(const auto sent, body_of<grid::UptimeReport>(call));
    gateway.uptime = static_cast<std::int64_t>(sent.uptime);
    gateway.updated.unix = call.now;
    TRY_DO(save_gateway(core, gateway));
    return null_reply(200);
}

Answer<> set_gateway_used(Core& core, Call& call)
{
    TRY(auto gateway, speaking_gateway(core, call, "reserved resources"));
    TRY(const auto sent, body_of<grid::UsedReport>(call));
    gateway.workloads = sent.workloads;
    TRY_DO(save_gateway(core, gateway));
    return null_reply(200);
}

Answer<> list_gateways(Core& core, Call& call)
{
    const auto paging = Paging::of(call);
    const auto farm = to_number<std::int64_t>(call.argument("farm_id").value_or("0")).value_or(0);
    const auto country = std::string{call.argument("country").value_or("")};
    const auto city = std::string{call.argument("city").value_or("")};
    const std::vector<store::Value> filter{farm, farm, country, country, city, city};
    const std::string where =
        " FROM gateway WHERE (? = 0 OR farm = ?) AND (? = '' OR country = ?) AND (? = '' OR city = "
        "?)";
    TRY(const auto total, core.db.integer("SELECT count(*)" + where, filter));
    auto values = filter;
    values.insert(values.end(), {paging.size, paging.offset()});
    TRY(auto list,
        core.list_of<grid::Gateway>(
            "SELECT document" + where + " ORDER BY id LIMIT ? OFFSET ?",
            values,
            [](const grid::Gateway&) {}));
    auto reply = json_reply(200, std::move(list));
    paging.mark(reply, total.value_or(0));
    return reply;
}

Answer<> get_gateway(Core& core, Call& call)
{
    TRY(const auto gateway, core.gateway(call.parts[0]));
    if (!gateway) return refuse(404, no_document);
    return json_reply(200, grid::to_json(*gateway));
}

}  // namespace znode::explorer_server
