#include "explorer/node_api.hpp"

#include "base/text.hpp"
#include "calls.hpp"
#include "grid/challenge.hpp"

namespace znode::explorer {
namespace {

using http::Method;

/// Beyond the wait that the server was asked for: the way there and back.
constexpr std::chrono::seconds transport{15};

class PoolsNodeApi final : public NodeApi {
public:
    PoolsNodeApi(http::Client& client, const identity::Identity& self) : calls_{client, self} {}

    Task<Result<>> register_node(grid::Node node) override
    {
        node.node_id = id();
        node.public_key_hex = calls_.self().public_key_hex();
        return tell(Method::post, "/nodes", grid::to_json(node));
    }
    Task<Result<grid::Node>> self() override
    {
        return calls_.get<grid::Node>("/nodes/" + id() + "?proofs=false", id());
    }
    Task<Result<>> set_interfaces(std::vector<grid::Interface> interfaces) override
    {
        return tell(Method::post, own("/interfaces"), grid::list_to_json(interfaces));
    }
    Task<Result<>> set_ports(std::vector<std::int64_t> wireguard_ports) override
    {
        grid::PortsReport report;
        report.ports = grid::List<std::int64_t>{std::move(wireguard_ports)};
        return tell(Method::post, own("/ports"), grid::to_json(report));
    }
    Task<Result<>> set_capacity(grid::CapacityReport report) override
    {
        return tell(Method::post, own("/capacity"), grid::to_json(report));
    }
    Task<Result<>> set_uptime(std::chrono::seconds uptime) override
    {
        grid::UptimeReport report;
        report.uptime = static_cast<std::uint64_t>(std::max<std::int64_t>(uptime.count(), 0));
        return tell(Method::post, own("/uptime"), grid::to_json(report));
    }
    Task<Result<>> set_used(grid::UsedReport report) override
    {
        return tell(Method::post, own("/used_resources"), grid::to_json(report));
    }

    Task<Result<PollPage>> poll(PollQuestion question) override
    {
        http::Request request;
        request.target = std::string{prefix} + "/reservations/nodes/" + id() +
                         "/workloads?from=" + std::to_string(question.from);
        const auto wait = std::to_string(question.wait.count());
        request.headers.set("Prefer", "wait=" + wait);
        if (!question.etag.empty()) request.headers.set("If-None-Match", question.etag);
        request.patience = question.wait + transport;

        CO_TRY(const auto reply, co_await calls_.send(std::move(request), id()));
        PollPage page;
        page.waited = reply.headers.get("Preference-Applied").starts_with("wait");
        page.unchanged = reply.status == 304;
        page.etag = reply.headers.get("ETag");
        page.last_id = to_number<std::int64_t>(reply.headers.get("x-last-id")).value_or(0);
        if (page.unchanged) co_return page;

        auto entries = read_page(reply.body);
        if (!entries)
            co_return fail(
                Errc::unavailable, "poll: answer makes no sense: " + entries.error().message);
        page.entries = *std::move(entries);
        co_return page;
    }

    Task<Result<>> put_result(grid::Gwid gwid, grid::WorkloadResult result) override
    {
        result.workload_id = gwid.text();
        if (!result.epoch.is_set()) result.epoch = {unix_now()};
        result.signature = calls_.self().sign_hex(grid::result_signing_bytes(result));
        return tell(Method::put, own_workload(gwid), grid::to_json(result));
    }
    Task<Result<>> report_deleted(grid::Gwid gwid) override
    {
        return tell(Method::del, own_workload(gwid), {});
    }

    Task<Result<grid::Workload>> workload(grid::Gwid gwid) override
    {
        return calls_.get<grid::Workload>("/reservations/nodes/workloads/" + gwid.text(), id());
    }
    Task<Result<grid::User>> user(std::int64_t tid) override
    {
        return calls_.get<grid::User>("/users/" + std::to_string(tid), {});
    }
    Task<Result<grid::Farm>> farm(std::int64_t farm_id) override
    {
        return calls_.get<grid::Farm>("/farms/" + std::to_string(farm_id), {});
    }
    Task<Result<>> probe() override
    {
        CO_TRY_DO(co_await calls_.get<grid::Prices>("/prices", {}));
        co_return Result<>{};
    }
    const ApiFailure& last_failure() const noexcept override { return calls_.last_failure(); }

private:
    const std::string& id() const { return calls_.self().node_id(); }
    std::string own(std::string_view tail) const { return "/nodes/" + id() + std::string{tail}; }
    std::string own_workload(const grid::Gwid& gwid) const
    {
        return "/reservations/nodes/" + id() + "/workloads/" + gwid.text();
    }
    Task<Result<>> tell(Method method, std::string path, std::string body)
    {
        CO_TRY_DO(co_await calls_.send(method, std::move(path), std::move(body), id()));
        co_return Result<>{};
    }

    Calls calls_;
};

}  // namespace

std::unique_ptr<NodeApi> make_node_api(http::Client& client, const identity::Identity& self)
{
    return std::make_unique<PoolsNodeApi>(client, self);
}

}  // namespace znode::explorer
