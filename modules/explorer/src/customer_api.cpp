#include "customer_calls.hpp"
#include "grid/challenge.hpp"

namespace znode::explorer {
namespace {

using http::Method;

class PoolsCustomerApi final : public HttpCustomerApi {
public:
    PoolsCustomerApi(http::Client& client, const identity::Identity& self)
        : HttpCustomerApi{client, self, Era::pools}
    {
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
};

}  // namespace

std::unique_ptr<CustomerApi> make_pools_customer_api(
    http::Client& client, const identity::Identity& self)
{
    return std::make_unique<PoolsCustomerApi>(client, self);
}

std::unique_ptr<CustomerApi> make_customer_api(
    http::Client& client, const identity::Identity& self, Era era)
{
    return era == Era::pools ? make_pools_customer_api(client, self)
                             : make_reservations_customer_api(client, self);
}

Task<Result<Era>> ask_era(http::Client* client, const identity::Identity* self)
{
    Calls pools{*client, *self, Era::pools};
    const auto prices = co_await pools.get<grid::Prices>("/prices", {});
    if (prices) co_return Era::pools;
    const auto status = pools.last_failure().status;
    if (status == 429 || status >= 500) co_return tl::unexpected(prices.error());
    Calls reservations{*client, *self, Era::reservations};
    const auto nodes = co_await reservations.send(Method::get, "/nodes?page=1&size=1", {}, {});
    if (nodes && grid::list_from_json<grid::Node>(nodes->body)) co_return Era::reservations;
    co_return fail(Errc::unavailable, "no explorer answers there: " + prices.error().message);
}

}  // namespace znode::explorer
