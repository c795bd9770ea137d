#include "customer_calls.hpp"

#include <algorithm>

#include "base/hex.hpp"

namespace znode::explorer {
namespace {

using http::Method;
using http::percent_encode;

/// Body of configure_free.
std::string free_body(bool free_to_use)
{
    return free_to_use ? R"({"free_to_use":true})" : R"({"free_to_use":false})";
}

std::string farm_path(std::int64_t farm, std::string_view tail)
{
    return "/farms/" + std::to_string(farm) + std::string{tail};
}

/// Arguments that say where a machine stands; the two lists name the farm differently.
std::string where(std::string_view farm, const NodeFilter& filter)
{
    std::string query;
    if (filter.farm) query += "&" + std::string{farm} + "=" + std::to_string(*filter.farm);
    if (!filter.city.empty()) query += "&city=" + percent_encode(filter.city);
    if (!filter.country.empty()) query += "&country=" + percent_encode(filter.country);
    return query;
}

}  // namespace

Task<Result<grid::User>> HttpCustomerApi::create_user(std::string name, std::string email)
{
    grid::User user;
    user.name = std::move(name);
    user.email = std::move(email);
    user.pubkey = calls_.self().public_key_hex();
    CO_TRY(user, co_await calls_.post<grid::User>("/users", grid::to_json(user), {}));
    if (user.id <= 0) co_return fail(Errc::unavailable, "explorer gave the user no id");
    co_return user;
}
Task<Result<grid::User>> HttpCustomerApi::user(std::int64_t id)
{
    return calls_.get<grid::User>("/users/" + std::to_string(id), {});
}
Task<Result<grid::User>> HttpCustomerApi::user_named(std::string name)
{
    CO_TRY(auto found, co_await calls_.list<grid::User>("/users?name=" + percent_encode(name), {}));
    for (auto& user : found) {
        if (user.name == name) co_return std::move(user);
    }
    co_return fail(Errc::not_found, "nobody is named " + name);
}

Task<Result<std::int64_t>> HttpCustomerApi::create_farm(grid::Farm farm)
{
    CO_TRY(
        const auto created,
        co_await calls_.post<grid::CreatedId>("/farms", grid::to_json(farm), key_if_any()));
    co_return created.id;
}
Task<Result<>> HttpCustomerApi::update_farm(grid::Farm farm)
{
    return tell(Method::put, "/farms/" + std::to_string(farm.id), grid::to_json(farm));
}
Task<Result<grid::Farm>> HttpCustomerApi::farm(std::int64_t id)
{
    return calls_.get<grid::Farm>("/farms/" + std::to_string(id), key_if_any());
}
Task<Result<std::vector<grid::Farm>>> HttpCustomerApi::farms(std::optional<std::int64_t> owner)
{
    const auto filter = owner ? "?owner=" + std::to_string(*owner) : std::string{};
    return calls_.list<grid::Farm>("/farms" + filter, key_if_any());
}

Task<Result<std::vector<grid::Node>>> HttpCustomerApi::nodes(NodeFilter filter)
{
    auto query = "?proofs=false" + where("farm", filter);
    const auto at_least = [&](std::string_view name, std::uint64_t amount) {
        if (amount > 0) query += "&" + std::string{name} + "=" + std::to_string(amount);
    };
    at_least("cru", filter.cru);
    at_least("mru", filter.mru);
    at_least("sru", filter.sru);
    at_least("hru", filter.hru);
    return calls_.list<grid::Node>("/nodes" + query, {});
}
Task<Result<grid::Node>> HttpCustomerApi::node(std::string node_id)
{
    return calls_.get<grid::Node>("/nodes/" + percent_encode(node_id), {});
}
Task<Result<>> HttpCustomerApi::set_public_config(std::string node_id, grid::PublicConfig config)
{
    return tell(
        Method::post,
        "/nodes/" + percent_encode(node_id) + "/configure_public",
        grid::to_json(config));
}
Task<Result<>> HttpCustomerApi::set_free(std::string node_id, bool free_to_use)
{
    return tell(
        Method::post,
        "/nodes/" + percent_encode(node_id) + "/configure_free",
        free_body(free_to_use));
}

Task<Result<>> HttpCustomerApi::update_user(grid::User user)
{
    CO_TRY(user.id, user_id());
    grid::UserUpdate update;
    update.sender_signature_hex = calls_.self().sign_hex(grid::user_update_text(user));
    const auto path = "/users/" + std::to_string(user.id);
    update.user = std::move(user);
    co_return co_await tell(Method::put, path, grid::to_json(update));
}

Task<Result<bool>> HttpCustomerApi::validate(
    std::int64_t user, std::string payload, std::string signature)
{
    grid::ValidateRequest request;
    request.payload = to_hex(payload);
    request.signature = std::move(signature);
    CO_TRY(
        const auto reply,
        co_await calls_.post<grid::ValidateReply>(
            "/users/" + std::to_string(user) + "/validate", grid::to_json(request), {}));
    co_return reply.is_valid;
}

Task<Result<>> HttpCustomerApi::add_farm_ips(std::int64_t farm, std::vector<grid::FarmIp> ips)
{
    return tell(Method::post, farm_path(farm, "/ip"), grid::list_to_json(ips));
}

Task<Result<>> HttpCustomerApi::remove_farm_ips(std::int64_t farm, std::vector<std::string> ips)
{
    return tell(Method::del, farm_path(farm, "/ip"), grid::list_to_json(ips));
}

Task<Result<std::vector<grid::Deal>>> HttpCustomerApi::deals(std::int64_t farm)
{
    CO_TRY(
        const auto reply,
        co_await calls_.send(Method::get, farm_path(farm, "/deals"), {}, key_if_any()));
    auto list = grid::list_from_json<grid::Deal>(reply.body);
    if (!list) co_return fail(Errc::unavailable, "deals: answer makes no sense");
    co_return *std::move(list);
}

Task<Result<>> HttpCustomerApi::set_deal(grid::Deal deal)
{
    const auto path = farm_path(deal.farm_id, "/deals");
    CO_TRY(const auto known, co_await deals(deal.farm_id));
    const bool there = std::ranges::any_of(
        known, [&](const grid::Deal& other) { return other.threebot_id == deal.threebot_id; });
    co_return co_await tell(there ? Method::put : Method::post, path, grid::to_json(deal));
}

Task<Result<>> HttpCustomerApi::remove_deal(std::int64_t farm, std::int64_t customer)
{
    return tell(Method::del, farm_path(farm, "/deals/" + std::to_string(customer)), {});
}

Task<Result<>> HttpCustomerApi::remove_node(std::int64_t farm, std::string node_id)
{
    return tell(Method::del, farm_path(farm, "/" + percent_encode(node_id)), {});
}

Task<Result<std::vector<grid::Gateway>>> HttpCustomerApi::gateways(NodeFilter filter)
{
    auto query = where("farm_id", filter);
    if (!query.empty()) query.front() = '?';
    return calls_.list<grid::Gateway>("/gateways" + query, {});
}

Task<Result<grid::Gateway>> HttpCustomerApi::gateway(std::string node_id)
{
    return calls_.get<grid::Gateway>("/gateways/" + percent_encode(node_id), {});
}

Task<Result<>> HttpCustomerApi::set_dedicated(std::string node_id, std::int64_t user)
{
    return tell(
        Method::put,
        "/nodes/" + percent_encode(node_id) + "/dedicated",
        "{\"user_id\":" + std::to_string(user) + "}");
}

Task<Result<std::int64_t>> HttpCustomerApi::create_reservation(grid::legacy::ReservationData data)
{
    grid::legacy::Reservation reservation;
    CO_TRY(reservation.customer_tid, user_id());
    const auto now = unix_now();
    if (!data.expiration_reservation.is_set() || data.expiration_reservation.unix == 0)
        data.expiration_reservation = {now + lifetime_.count()};
    if (!data.expiration_provisioning.is_set() || data.expiration_provisioning.unix == 0)
        data.expiration_provisioning = data.expiration_reservation;
    if (data.signing_request_delete.signers.empty()) {
        data.signing_request_delete.signers = {reservation.customer_tid};
        data.signing_request_delete.quorum_min = 1;
    }
    reservation.json = grid::to_json(data);
    reservation.data = std::move(data);
    reservation.customer_signature = legacy_.self().sign_hex(reservation.json);
    reservation.results = grid::List<grid::WorkloadResult>::none();
    CO_TRY(
        const auto reply,
        co_await legacy_.send(
            Method::post, "/reservations", grid::to_json(reservation), key_if_any()));
    co_return grid::legacy::created_id(reply.body);
}

Task<Result<grid::legacy::Reservation>> HttpCustomerApi::reservation(std::int64_t id)
{
    return legacy_.get<grid::legacy::Reservation>("/reservations/" + std::to_string(id), {});
}

Task<Result<std::vector<grid::legacy::Reservation>>> HttpCustomerApi::reservations()
{
    CO_TRY(const auto tid, user_id());
    CO_TRY(
        auto found,
        co_await legacy_.list<grid::legacy::Reservation>(
            "/reservations?customer_tid=" + std::to_string(tid), {}));
    // The oldest servers know no filter.
    std::erase_if(found, [tid](const auto& each) { return each.customer_tid != tid; });
    co_return found;
}

Task<Result<>> HttpCustomerApi::delete_reservation(std::int64_t id)
{
    CO_TRY(const auto tid, user_id());
    CO_TRY(const auto stored, co_await reservation(id));
    if (std::ranges::find(stored.signatures_delete, tid, &grid::SigningSignature::tid) !=
        stored.signatures_delete.end())
        co_return fail(
            Errc::exists, "reservation " + std::to_string(id) + " is being deleted already");
    co_return co_await sign(
        &legacy_,
        "/reservations/" + std::to_string(id) + "/sign/delete",
        grid::legacy::sign_text(stored));
}

Task<Result<>> HttpCustomerApi::consent_to_reservation(std::int64_t id)
{
    CO_TRY(const auto stored, co_await reservation(id));
    co_return co_await sign(
        &legacy_,
        "/reservations/" + std::to_string(id) + "/sign/provision",
        grid::legacy::sign_text(stored));
}

Result<std::int64_t> HttpCustomerApi::user_id() const
{
    const auto id = calls_.self().user_id();
    if (!id) return fail(Errc::invalid, "identity has no user id yet: create the user first");
    return *id;
}

std::string HttpCustomerApi::key_if_any() const
{
    const auto id = calls_.self().user_id();
    return id ? std::to_string(*id) : std::string{};
}

Task<Result<>> HttpCustomerApi::tell(Method method, std::string path, std::string body)
{
    CO_TRY_DO(co_await calls_.send(method, std::move(path), std::move(body), key_if_any()));
    co_return Result<>{};
}

Task<Result<>> HttpCustomerApi::sign(Calls* calls, std::string path, std::string text)
{
    grid::SigningSignature signature;
    CO_TRY(signature.tid, user_id());
    signature.signature = calls->self().sign_hex(text);
    signature.epoch = {unix_now()};
    CO_TRY_DO(co_await calls->send(
        Method::post, std::move(path), grid::to_json(signature), key_if_any()));
    co_return Result<>{};
}

}  // namespace znode::explorer
