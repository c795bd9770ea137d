#include "base/text.hpp"
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
        co_return co_await sign(
            &calls_,
            "/reservations/workloads/" + std::to_string(id) + "/sign/delete",
            grid::delete_message(stored, tid));
    }
    Task<Result<>> consent(std::int64_t id) override
    {
        CO_TRY(const auto tid, user_id());
        CO_TRY(const auto stored, co_await workload(id));
        co_return co_await sign(
            &calls_,
            "/reservations/workloads/" + std::to_string(id) + "/sign/provision",
            grid::provision_message(stored, tid));
    }
    Task<Result<std::vector<grid::Workload>>> convert() override
    {
        CO_TRY_DO(user_id());
        const std::string path = "/reservations/convert";
        CO_TRY(const auto reply, co_await calls_.send(Method::get, path, {}, key_if_any()));
        if (reply.status == 204) co_return std::vector<grid::Workload>{};
        auto offered = grid::list_from_json<grid::Workload>(reply.body);
        if (!offered)
            co_return tl::unexpected(std::move(offered).error().during("what is offered"));
        std::optional<grid::legacy::Reservation> known;
        for (auto& workload : *offered) {
            const auto older = grid::Gwid::parse(workload.reference);
            if (!older) co_return not_wished(workload);
            if (!known || known->id != older->id) {
                CO_TRY(known, co_await reservation(older->id));
            }
            if (!is_wished(workload, *known)) co_return not_wished(workload);
            workload.customer_signature = calls_.self().sign_hex(grid::create_message(workload));
        }
        if (!offered->empty())
            CO_TRY_DO(co_await tell(Method::post, path, grid::list_to_json(*offered)));
        co_return *std::move(offered);
    }

private:
    static tl::unexpected<Error> not_wished(const grid::Workload& workload)
    {
        return fail(
            Errc::denied,
            "the explorer offers " + printable(workload.reference) +
                " otherwise than it was reserved; nothing was signed");
    }

    /// Whether it is what the user has signed in the reservation, and nothing else.
    bool is_wished(const grid::Workload& workload, const grid::legacy::Reservation& reservation)
    {
        const auto key = calls_.self().public_key();
        const auto data = grid::from_json<grid::legacy::ReservationData>(reservation.json);
        if (!data ||
            !identity::verify_hex(
                key, grid::legacy::create_text(reservation), reservation.customer_signature))
            return false;
        grid::legacy::Reservation wish;
        wish.id = reservation.id;
        wish.customer_tid = calls_.self().user_id().value_or(0);
        wish.data = *data;
        for (const auto& entry : grid::legacy::split(wish, workload.node_id)) {
            if (entry.workload_id != workload.reference) continue;
            auto mine = grid::legacy::to_workload(entry, workload.node_id);
            if (!mine) return false;
            // What may be new: its pool and its words for people.
            mine->id = workload.id;
            mine->reference = workload.reference;
            mine->pool_id = workload.pool_id;
            mine->description = workload.description;
            mine->metadata = workload.metadata;
            if (auto* const container = std::get_if<grid::Container>(&mine->data))
                for (auto& mount : container->volumes)
                    if (mount.volume_id.starts_with('-'))
                        mount.volume_id.insert(0, std::to_string(wish.id));
            return grid::challenge(*mine, workload.epoch) == grid::challenge(workload);
        }
        return false;
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
    if (status == 0 || status == 429 || status >= 500) co_return tl::unexpected(prices.error());
    Calls reservations{*client, *self, Era::reservations};
    const auto nodes = co_await reservations.send(Method::get, "/nodes?page=1&size=1", {}, {});
    if (nodes && grid::list_from_json<grid::Node>(nodes->body)) co_return Era::reservations;
    co_return fail(Errc::unavailable, "no explorer answers there: " + prices.error().message);
}

}  // namespace znode::explorer
