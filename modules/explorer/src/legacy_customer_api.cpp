// A customer of the first era: each workload is a reservation of its own.

#include "customer_calls.hpp"

namespace znode::explorer {
namespace {

namespace legacy = grid::legacy;

/// The list of the reservation that the workload belongs into, with it as the only entry.
class Wrap {
public:
    Wrap(legacy::ReservationData& into, const grid::Workload& workload)
        : into_{into}, workload_{workload}
    {
    }

    Result<> operator()(const grid::Zdb& from)
    {
        auto& item = begin(into_.zdbs);
        item.size = from.size;
        item.mode = from.mode;
        item.password = from.password;
        item.disk_type = from.disk_type;
        item.is_public = from.is_public;
        return {};
    }
    Result<> operator()(const grid::Volume& from)
    {
        auto& item = begin(into_.volumes);
        item.size = from.size;
        item.type = from.type;
        return {};
    }
    Result<> operator()(const grid::Container& from)
    {
        auto& item = begin(into_.containers);
        item.flist = from.flist;
        item.hub_url = from.hub_url;
        item.environment = from.environment;
        item.secret_environment = from.secret_environment;
        item.entrypoint = from.entrypoint;
        item.interactive = from.interactive;
        item.volumes = from.volumes;
        for (const auto& connection : from.network_connection)
            item.network_connection.push_back(
                {connection.network_id, connection.ipaddress, connection.public_ip6});
        for (const auto& log : from.logs) {
            if (!log.data.secret_stdout.empty() || !log.data.secret_stderr.empty())
                return fail(
                    Errc::unsupported,
                    "an explorer of the reservations era keeps addresses of logs in the open: name "
                    "one without a password");
            item.logs.push_back({log.type, {log.data.stdout_url, log.data.stderr_url}});
        }
        item.capacity = {from.capacity.cpu, from.capacity.memory};
        return {};
    }
    Result<> operator()(const grid::NetworkResource& from)
    {
        into_.networks = grid::List<legacy::Network>::none();
        auto& network = into_.networks.emplace_back();
        network.workload_id = workload_.workload_id;
        network.name = from.name;
        network.iprange = from.network_iprange;
        network.stats_aggregator = grid::List<grid::RawJson>::none();
        auto& own = network.network_resources.emplace_back();
        own.node_id = workload_.node_id;
        own.wireguard_private_key_encrypted = from.wireguard_private_key_encrypted;
        own.wireguard_public_key = from.wireguard_public_key;
        own.wireguard_listen_port = from.wireguard_listen_port;
        own.iprange = from.iprange;
        own.peers = grid::List<legacy::Peer>::none();
        for (const auto& peer : from.peers)
            own.peers.push_back(
                {peer.public_key, peer.allowed_iprange, peer.endpoint, peer.iprange});
        return {};
    }
    template <class T>
    Result<> operator()(const T&)
    {
        return fail(
            Errc::unsupported,
            std::string{grid::to_string(grid::type_of(workload_.data))} +
                " cannot be ordered in the reservations era");
    }

private:
    template <class T>
    T& begin(grid::List<T>& list)
    {
        list = grid::List<T>::none();
        auto& item = list.emplace_back();
        item.workload_id = workload_.workload_id;
        item.node_id = workload_.node_id;
        item.stats_aggregator = grid::List<grid::RawJson>::none();
        return item;
    }

    legacy::ReservationData& into_;
    const grid::Workload& workload_;
};

/// The workloads of a reservation as the later era shows them.
std::vector<grid::Workload> workloads_of(const legacy::Reservation& reservation)
{
    std::vector<grid::Workload> workloads;
    for (const auto& entry : legacy::split(reservation, "")) {
        auto workload = legacy::to_workload(entry, entry.node_id);
        if (!workload) continue;
        workload->description = reservation.data.description;
        workload->next_action = reservation.next_action;
        workload->signatures_delete = reservation.signatures_delete;
        workload->signing_request_delete = reservation.data.signing_request_delete;
        workload->metadata = reservation.metadata;
        for (const auto& result : reservation.results)
            if (result.workload_id == entry.workload_id && result.node_id == entry.node_id)
                workload->result = result;
        workloads.push_back(*std::move(workload));
    }
    return workloads;
}

class ReservationsCustomerApi final : public HttpCustomerApi {
public:
    ReservationsCustomerApi(http::Client& client, const identity::Identity& self)
        : HttpCustomerApi{client, self, Era::reservations}
    {
    }

    Task<Result<grid::Prices>> prices() override { co_return no_pools(); }
    Task<Result<grid::PoolReply>> reserve_pool(grid::PoolData) override { co_return no_pools(); }
    Task<Result<grid::Pool>> pool(std::int64_t) override { co_return no_pools(); }
    Task<Result<std::vector<grid::Pool>>> pools() override { co_return no_pools(); }
    Task<Result<grid::Payment>> payment(std::int64_t) override { co_return no_pools(); }

    Task<Result<std::int64_t>> create_workload(grid::Workload workload) override
    {
        legacy::ReservationData data;
        data.description = workload.description;
        data.signing_request_provision.signers = grid::List<std::int64_t>::none();
        data.signing_request_delete = workload.signing_request_delete;
        data.currencies = grid::List<std::string>::none();
        CO_TRY_DO(std::visit(Wrap{data, workload}, workload.data));
        co_return co_await create_reservation(std::move(data));
    }
    Task<Result<grid::Workload>> workload(std::int64_t id) override
    {
        CO_TRY(const auto stored, co_await reservation(id));
        auto workloads = workloads_of(stored);
        if (workloads.empty())
            co_return fail(
                Errc::not_found, "reservation " + std::to_string(id) + " holds no workload");
        co_return std::move(workloads.front());
    }
    Task<Result<std::vector<grid::Workload>>> workloads(
        std::optional<grid::NextAction> action) override
    {
        CO_TRY(const auto mine, co_await reservations());
        std::vector<grid::Workload> all;
        for (const auto& each : mine) {
            if (action && each.next_action != *action) continue;
            std::ranges::move(workloads_of(each), std::back_inserter(all));
        }
        co_return all;
    }
    Task<Result<>> delete_workload(std::int64_t id) override { return delete_reservation(id); }
    Task<Result<>> consent(std::int64_t id) override { return consent_to_reservation(id); }
    Task<Result<std::vector<grid::Workload>>> convert() override { co_return no_pools(); }

private:
    static tl::unexpected<Error> no_pools()
    {
        return fail(
            Errc::unsupported,
            "this explorer is of the reservations era, which has no pools and no prices");
    }
};

}  // namespace

std::unique_ptr<CustomerApi> make_reservations_customer_api(
    http::Client& client, const identity::Identity& self)
{
    return std::make_unique<ReservationsCustomerApi>(client, self);
}

}  // namespace znode::explorer
