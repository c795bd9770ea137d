#include "core.hpp"
#include "grid/farm.hpp"

namespace znode::explorer_server {
namespace {

constexpr const char* no_deal =
    "farmer doesn't use custom pricing. should fallback to explorer generic calculation: ";

/// Who asks, by the key of the signature; the originals believed another header. 400 when nobody
/// signed.
Answer<std::int64_t> caller(Core& core, const Call& call)
{
    auto user = signing_user(core, call);
    if (!user) return refuse(400, "not authenticated");
    return *user;
}

Answer<grid::Farm> farm_of_path(Core& core, const Call& call)
{
    auto id = integer_of(call.part(0));
    if (!id) return refuse(400, id.error().text);
    TRY(auto farm, core.farm(*id));
    if (!farm) return refuse(400, no_document);
    return *std::move(farm);
}

}  // namespace

Answer<> list_deals(Core& core, Call& call)
{
    TRY(const auto user, caller(core, call));
    TRY(const auto farm, farm_of_path(core, call));
    // A customer sees his own price and nobody else's.
    const auto only = farm.threebot_id == user ? std::int64_t{0} : user;
    TRY(const auto deals,
        core.documents<grid::Deal>(
            "SELECT document FROM deal WHERE farm = ? AND (? = 0 OR customer = ?) ORDER BY "
            "customer LIMIT 1000",
            {farm.id, only, only}));
    return json_reply(200, grid::list_to_json(deals));
}

Answer<> get_deal(Core& core, Call& call)
{
    TRY(const auto user, caller(core, call));
    TRY(const auto farm, farm_of_path(core, call));
    auto customer = integer_of(call.part(1));
    if (!customer) return refuse(400, customer.error().text);
    if (farm.threebot_id != user && *customer != user)
        return refuse(400, "not allowed to see the deal of another user");
    TRY(const auto deal,
        core.document<grid::Deal>(
            "SELECT document FROM deal WHERE farm = ? AND customer = ?", {farm.id, *customer}));
    if (!deal) return refuse(400, std::string{no_deal} + no_document);
    return json_reply(200, grid::to_json(*deal));
}

Answer<> put_deal(Core& core, Call& call)
{
    TRY(const auto farm, own_farm(core, call));
    TRY(const auto deal, body_of<grid::Deal>(call));
    if (deal.farm_id != farm.id)
        return refuse(
            400, "not allowed to create or update on this farm when not the owner of the farm");
    if (deal.threebot_id < 1) return refuse(400, "threebot_id is required");
    TRY(auto text, stored_text(deal, "deal", largest_small));
    TRY_DO(core.db.run(
        "INSERT INTO deal (farm, customer, document) VALUES (?, ?, ?) ON CONFLICT (farm, customer) "
        "DO UPDATE SET document = excluded.document",
        {farm.id, deal.threebot_id, std::move(text)}));
    return null_reply(200);
}

Answer<> delete_deal(Core& core, Call& call)
{
    TRY(const auto farm, own_farm(core, call));
    auto customer = integer_of(call.part(1));
    if (!customer) return refuse(400, customer.error().text);
    TRY_DO(core.db.run("DELETE FROM deal WHERE farm = ? AND customer = ?", {farm.id, *customer}));
    return null_reply(200);
}

}  // namespace znode::explorer_server
