#include "explorer/customer_api.hpp"

#include "calls.hpp"
#include "grid/challenge.hpp"
#include "http/url.hpp"

namespace znode::explorer {
namespace {

using http::Method;
using http::percent_encode;

/// Body of configure_free.
std::string free_body(bool free_to_use)
{
    return free_to_use ? R"({"free_to_use":true})" : R"({"free_to_use":false})";
}

class PoolsCustomerApi final : public CustomerApi {
public:
    PoolsCustomerApi(http::Client& client, const identity::Identity& self) : calls_{client, self} {}

    Task<Result<grid::User>> create_user(std::string name, std::string email) override
    {
        grid::User user;
        user.name = std::move(name);
        user.email = std::move(email);
        user.pubkey = calls_.self().public_key_hex();
        CO_TRY(user, co_await calls_.post<grid::User>("/users", grid::to_json(user), {}));
        if (user.id <= 0) co_return fail(Errc::unavailable, "explorer gave the user no id");
        co_return user;
    }
    Task<Result<grid::User>> user(std::int64_t id) override
    {
        return calls_.get<grid::User>("/users/" + std::to_string(id), {});
    }
    Task<Result<grid::User>> user_named(std::string name) override
    {
        CO_TRY(
            auto found,
            co_await calls_.list<grid::User>("/users?name=" + percent_encode(name), {}));
        for (auto& user : found) {
            if (user.name == name) co_return std::move(user);
        }
        co_return fail(Errc::not_found, "nobody is named " + name);
    }

    Task<Result<std::int64_t>> create_farm(grid::Farm farm) override
    {
        CO_TRY(
            const auto created,
            co_await calls_.post<grid::CreatedId>("/farms", grid::to_json(farm), key_if_any()));
        co_return created.id;
    }
    Task<Result<>> update_farm(grid::Farm farm) override
    {
        return tell(Method::put, "/farms/" + std::to_string(farm.id), grid::to_json(farm));
    }
    Task<Result<grid::Farm>> farm(std::int64_t id) override
    {
        return calls_.get<grid::Farm>("/farms/" + std::to_string(id), key_if_any());
    }
    Task<Result<std::vector<grid::Farm>>> farms(std::optional<std::int64_t> owner) override
    {
        const auto filter = owner ? "?owner=" + std::to_string(*owner) : std::string{};
        return calls_.list<grid::Farm>("/farms" + filter, key_if_any());
    }

    Task<Result<std::vector<grid::Node>>> nodes(NodeFilter filter) override
    {
        std::string query = "?proofs=false";
        if (filter.farm) query += "&farm=" + std::to_string(*filter.farm);
        if (!filter.city.empty()) query += "&city=" + percent_encode(filter.city);
        if (!filter.country.empty()) query += "&country=" + percent_encode(filter.country);
        const auto at_least = [&](std::string_view name, std::uint64_t amount) {
            if (amount > 0) query += "&" + std::string{name} + "=" + std::to_string(amount);
        };
        at_least("cru", filter.cru);
        at_least("mru", filter.mru);
        at_least("sru", filter.sru);
        at_least("hru", filter.hru);
        return calls_.list<grid::Node>("/nodes" + query, {});
    }
    Task<Result<grid::Node>> node(std::string node_id) override
    {
        return calls_.get<grid::Node>("/nodes/" + percent_encode(node_id), {});
    }
    Task<Result<>> set_public_config(std::string node_id, grid::PublicConfig config) override
    {
        return tell(
            Method::post,
            "/nodes/" + percent_encode(node_id) + "/configure_public",
            grid::to_json(config));
    }
    Task<Result<>> set_free(std::string node_id, bool free_to_use) override
    {
        return tell(
            Method::post,
            "/nodes/" + percent_encode(node_id) + "/configure_free",
            free_body(free_to_use));
    }

    Task<Result<grid::Prices>> prices() override { return calls_.get<grid::Prices>("/prices", {}); }

    Task<Result<grid::PoolReply>> reserve_pool(grid::PoolData data) override
    {
        CO_TRY(const auto tid, user_id());
        grid::PoolReservation reservation;
        reservation.json = grid::to_json(data);
        reservation.data = std::move(data);
        reservation.customer_tid = tid;
        reservation.customer_signature = calls_.self().sign_hex(reservation.json);
        co_return co_await calls_.post<grid::PoolReply>(
            "/reservations/pools", grid::to_json(reservation), key_if_any());
    }
    Task<Result<grid::Pool>> pool(std::int64_t id) override
    {
        return calls_.get<grid::Pool>("/reservations/pools/" + std::to_string(id), {});
    }
    Task<Result<std::vector<grid::Pool>>> pools() override
    {
        CO_TRY(const auto tid, user_id());
        co_return co_await calls_.list<grid::Pool>(
            "/reservations/pools/owner/" + std::to_string(tid), {});
    }
    Task<Result<grid::Payment>> payment(std::int64_t reservation_id) override
    {
        return calls_.get<grid::Payment>(
            "/reservations/pools/payment/" + std::to_string(reservation_id), {});
    }

    Task<Result<std::int64_t>> create_workload(grid::Workload workload) override
    {
        CO_TRY(workload.customer_tid, user_id());
        if (workload.signing_request_delete.signers.empty()) {
            workload.signing_request_delete.signers = {workload.customer_tid};
            workload.signing_request_delete.quorum_min = 1;
        }
        workload.workload_type = grid::type_of(workload.data);
        workload.next_action = grid::NextAction::deploy;
        workload.epoch = {unix_now()};
        workload.customer_signature = calls_.self().sign_hex(grid::create_message(workload));
        CO_TRY(
            const auto created,
            co_await calls_.post<grid::CreateReply>(
                "/reservations/workloads", grid::to_json(workload), key_if_any()));
        co_return created.reservation_id;
    }
    Task<Result<grid::Workload>> workload(std::int64_t id) override
    {
        return calls_.get<grid::Workload>("/reservations/workloads/" + std::to_string(id), {});
    }
    Task<Result<std::vector<grid::Workload>>> workloads(
        std::optional<grid::NextAction> action) override
    {
        CO_TRY(const auto tid, user_id());
        auto query = "?customer_tid=" + std::to_string(tid);
        if (action) query += "&next_action=" + std::to_string(static_cast<unsigned>(*action));
        co_return co_await calls_.list<grid::Workload>("/reservations/workloads" + query, {});
    }
    Task<Result<>> delete_workload(std::int64_t id) override
    {
        CO_TRY(const auto tid, user_id());
        CO_TRY(const auto stored, co_await workload(id));
        for (const auto& signature : stored.signatures_delete) {
            if (signature.tid == tid)
                co_return fail(
                    Errc::exists, "workload " + std::to_string(id) + " is being deleted already");
        }
        grid::SigningSignature signature;
        signature.tid = tid;
        signature.signature = calls_.self().sign_hex(grid::delete_message(stored, tid));
        signature.epoch = {unix_now()};
        co_return co_await tell(
            Method::post,
            "/reservations/workloads/" + std::to_string(id) + "/sign/delete",
            grid::to_json(signature));
    }

private:
    Result<std::int64_t> user_id() const
    {
        const auto id = calls_.self().user_id();
        if (!id) return fail(Errc::invalid, "identity has no user id yet: create the user first");
        return *id;
    }
    /// Signs as the user where there is one.
    std::string key_if_any() const
    {
        const auto id = calls_.self().user_id();
        return id ? std::to_string(*id) : std::string{};
    }
    Task<Result<>> tell(Method method, std::string path, std::string body)
    {
        CO_TRY_DO(co_await calls_.send(method, std::move(path), std::move(body), key_if_any()));
        co_return Result<>{};
    }

    Calls calls_;
};

}  // namespace

std::unique_ptr<CustomerApi> make_customer_api(http::Client& client, const identity::Identity& self)
{
    return std::make_unique<PoolsCustomerApi>(client, self);
}

}  // namespace znode::explorer
