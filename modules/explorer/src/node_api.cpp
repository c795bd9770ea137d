#include "explorer/node_api.hpp"

#include "base/text.hpp"
#include "calls.hpp"
#include "grid/challenge.hpp"
#include "page.hpp"

namespace znode::explorer {
namespace {

using http::Method;

/// Beyond the wait that the server was asked for: the way there and back.
constexpr std::chrono::seconds transport{15};
/// Text of workloads that is taken at once; what goes beyond comes with the next question.
constexpr std::size_t page_room = std::size_t{1} << 20U;

/// What both eras have in common: the directory, and how a result is made.
class HttpNodeApi : public NodeApi {
public:
    HttpNodeApi(http::Client& client, const identity::Identity& self, Era era)
        : calls_{client, self, era}, era_{era}
    {
    }

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

    Task<Result<grid::legacy::Reservation>> reservation(std::int64_t reservation_id) override
    {
        http::Request request;
        request.target = std::string{prefix_of(Era::reservations)} + "/reservations/" +
                         std::to_string(reservation_id);
        CO_TRY(const auto reply, co_await calls_.send(std::move(request), id()));
        auto read = grid::from_json<grid::legacy::Reservation>(reply.body);
        if (!read)
            co_return fail(
                Errc::unavailable, "reservation: answer makes no sense: " + read.error().message);
        co_return std::move(*read);
    }
    Task<Result<grid::User>> user(std::int64_t tid) override
    {
        return calls_.get<grid::User>("/users/" + std::to_string(tid), {});
    }
    Task<Result<grid::Farm>> farm(std::int64_t farm_id) override
    {
        return calls_.get<grid::Farm>("/farms/" + std::to_string(farm_id), {});
    }
    std::optional<Era> era() const noexcept override { return era_; }
    const ApiFailure& last_failure() const noexcept override { return calls_.last_failure(); }

protected:
    const std::string& id() const { return calls_.self().node_id(); }
    std::string own(std::string_view tail) const { return "/nodes/" + id() + std::string{tail}; }
    virtual std::string own_workload(const grid::Gwid& gwid) const = 0;
    Task<Result<>> tell(Method method, std::string path, std::string body)
    {
        CO_TRY_DO(co_await calls_.send(method, std::move(path), std::move(body), id()));
        co_return Result<>{};
    }

    /// Asks at `path` and reads what an answer says beside its entries; these are read by `read`.
    Task<Result<PollPage>> poll_at(std::string path, PollQuestion question, ReadEntry read)
    {
        http::Request request;
        request.target =
            std::string{calls_.prefix()} + path + "?from=" + std::to_string(question.from);
        request.headers.set("Prefer", "wait=" + std::to_string(question.wait.count()));
        if (!question.etag.empty()) request.headers.set("If-None-Match", question.etag);
        request.patience = question.wait + transport;

        PageReader reader{std::move(read), page_room};
        CO_TRY(
            const auto reply,
            co_await calls_.fetch(std::move(request), id(), [&reader](std::string_view bytes) {
                return reader.feed(bytes);
            }));
        PollPage page;
        page.era = era_;
        page.waited = reply.headers.get("Preference-Applied").starts_with("wait");
        page.unchanged = reply.status == 304;
        page.etag = reply.headers.get("ETag");
        page.last_id = to_number<std::int64_t>(reply.headers.get("x-last-id")).value_or(0);
        if (page.unchanged) co_return page;

        if (auto whole = reader.end(); !whole)
            co_return fail(
                Errc::unavailable, "poll: answer makes no sense: " + whole.error().message);
        page.entries = std::move(reader.entries);
        page.left_out_from = reader.left_out_from;
        co_return page;
    }

    Calls calls_;
    const Era era_;
};

class PoolsNodeApi final : public HttpNodeApi {
public:
    PoolsNodeApi(http::Client& client, const identity::Identity& self)
        : HttpNodeApi{client, self, Era::pools}
    {
    }
    Task<Result<>> set_used(grid::UsedReport report) override
    {
        return tell(Method::post, own("/used_resources"), grid::to_json(report));
    }
    Task<Result<PollPage>> poll(PollQuestion question) override
    {
        return poll_at(
            "/reservations/nodes/" + id() + "/workloads", std::move(question), read_entry);
    }
    Task<Result<grid::Workload>> workload(grid::Gwid gwid) override
    {
        return calls_.get<grid::Workload>("/reservations/nodes/workloads/" + gwid.text(), id());
    }
    Task<Result<>> probe() override
    {
        CO_TRY_DO(co_await calls_.get<grid::Prices>("/prices", {}));
        co_return Result<>{};
    }

private:
    std::string own_workload(const grid::Gwid& gwid) const override
    {
        return "/reservations/nodes/" + id() + "/workloads/" + gwid.text();
    }
};

class ReservationsNodeApi final : public HttpNodeApi {
public:
    ReservationsNodeApi(http::Client& client, const identity::Identity& self)
        : HttpNodeApi{client, self, Era::reservations}
    {
    }
    Task<Result<>> set_used(grid::UsedReport report) override
    {
        return tell(
            Method::post, own("/used_resources"), grid::to_json(grid::legacy::used_of(report)));
    }
    Task<Result<PollPage>> poll(PollQuestion question) override
    {
        const auto from = question.from;
        CO_TRY(
            auto page,
            co_await poll_at(
                "/reservations/workloads/" + id(),
                std::move(question),
                [this](const grid::json::Value& entry) { return read_legacy_entry(entry, id()); }));
        if (page.last_id > 0 || page.unchanged) co_return page;
        // Early servers name no last id: the cursor is what was seen, and never goes back.
        page.last_id = std::max<std::int64_t>(from - 1, 0);
        for (const auto& entry : page.entries)
            if (entry.gwid) page.last_id = std::max(page.last_id, entry.gwid->id);
        co_return page;
    }
    Task<Result<grid::Workload>> workload(grid::Gwid gwid) override
    {
        CO_TRY(
            const auto entry,
            co_await calls_.get<grid::legacy::ReservationWorkload>(
                "/reservations/workloads/" + gwid.text(), id()));
        CO_TRY(auto workload, grid::legacy::to_workload(entry, id()));
        if (entry.result && !entry.result->empty()) workload.result = entry.result->front();
        co_return workload;
    }
    Task<Result<>> probe() override
    {
        CO_TRY(const auto reply, co_await calls_.send(Method::get, "/nodes?page=1&size=1", {}, {}));
        auto nodes = grid::list_from_json<grid::Node>(reply.body);
        if (!nodes) co_return fail(Errc::unavailable, "GET /explorer/nodes: no list of nodes");
        co_return Result<>{};
    }

private:
    std::string own_workload(const grid::Gwid& gwid) const override
    {
        return "/reservations/workloads/" + gwid.text() + "/" + id();
    }
};

}  // namespace

std::unique_ptr<NodeApi> make_node_api(
    http::Client& client, const identity::Identity& self, Era era)
{
    if (era == Era::reservations) return std::make_unique<ReservationsNodeApi>(client, self);
    return std::make_unique<PoolsNodeApi>(client, self);
}

}  // namespace znode::explorer
