// An explorer whose era nobody has told: asked for, and asked for again.

#include "async/mutex.hpp"
#include "explorer/node_api.hpp"

namespace znode::explorer {
namespace {

using namespace std::chrono_literals;

constexpr Duration era_is_kept = 1h;

class AnyNodeApi final : public NodeApi {
public:
    AnyNodeApi(asio::io_context& loop, http::Client& client, const identity::Identity& self)
        : pools_{make_node_api(client, self, Era::pools)},
          reservations_{make_node_api(client, self, Era::reservations)},
          asking_{loop}
    {
    }

    Task<Result<>> register_node(grid::Node node) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->register_node(std::move(node));
    }
    Task<Result<grid::Node>> self() override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->self();
    }
    Task<Result<>> set_interfaces(std::vector<grid::Interface> interfaces) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->set_interfaces(std::move(interfaces));
    }
    Task<Result<>> set_ports(std::vector<std::int64_t> wireguard_ports) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->set_ports(std::move(wireguard_ports));
    }
    Task<Result<>> set_capacity(grid::CapacityReport report) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->set_capacity(std::move(report));
    }
    Task<Result<>> set_uptime(std::chrono::seconds uptime) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->set_uptime(uptime);
    }
    Task<Result<>> set_used(grid::UsedReport report) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->set_used(report);
    }
    Task<Result<PollPage>> poll(PollQuestion question) override
    {
        CO_TRY(auto* api, co_await chosen());
        auto page = co_await api->poll(std::move(question));
        // The path is unknown there: perhaps another explorer lives at this address now.
        if (!page && page.error().code == Errc::not_found) asked_.reset();
        co_return page;
    }
    Task<Result<>> put_result(grid::Gwid gwid, grid::WorkloadResult result) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->put_result(gwid, std::move(result));
    }
    Task<Result<>> report_deleted(grid::Gwid gwid) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->report_deleted(gwid);
    }
    Task<Result<grid::Workload>> workload(grid::Gwid gwid) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->workload(gwid);
    }
    Task<Result<grid::legacy::Reservation>> reservation(std::int64_t id) override
    {
        return reservations_->reservation(id);
    }
    Task<Result<grid::User>> user(std::int64_t tid) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->user(tid);
    }
    Task<Result<grid::Farm>> farm(std::int64_t id) override
    {
        CO_TRY(auto* api, co_await chosen());
        co_return co_await api->farm(id);
    }
    Task<Result<>> probe() override
    {
        CO_TRY_DO(co_await chosen());
        co_return Result<>{};
    }
    std::optional<Era> era() const noexcept override { return era_; }
    const ApiFailure& last_failure() const noexcept override { return *last_failure_; }

private:
    NodeApi& of(Era era) { return era == Era::pools ? *pools_ : *reservations_; }

    /// The API of the era that the explorer is known to speak.
    Task<Result<NodeApi*>> chosen()
    {
        // One question for all who wait for its answer.
        const auto turn = co_await asking_.lock();
        if (!era_ || !asked_ || Clock::now() - *asked_ >= era_is_kept) {
            const auto found = co_await find();
            // What was true an hour ago is the better guess than nothing.
            if (!found && !era_) co_return tl::unexpected(found.error());
            if (found) {
                era_ = *found;
                asked_ = Clock::now();
            }
        }
        last_failure_ = &of(*era_).last_failure();
        co_return &of(*era_);
    }

    Task<Result<Era>> find()
    {
        const auto pools = co_await pools_->probe();
        if (pools) co_return Era::pools;
        last_failure_ = &pools_->last_failure();
        // Without an answer, or with one that says "later", there is nothing to conclude: a server
        // that comes up between two questions would answer the second one in either era.
        const auto& failure = pools_->last_failure();
        if (failure.status == 0 || failure.status == 429 || failure.status >= 500)
            co_return tl::unexpected(pools.error());
        const auto reservations = co_await reservations_->probe();
        if (reservations) co_return Era::reservations;
        last_failure_ = &reservations_->last_failure();
        co_return fail(
            Errc::unavailable,
            "no explorer of either era answers: " + pools.error().message + "; " +
                reservations.error().message);
    }

    std::unique_ptr<NodeApi> pools_;
    std::unique_ptr<NodeApi> reservations_;
    Mutex asking_;
    std::optional<Era> era_;
    std::optional<Clock::time_point> asked_;
    const ApiFailure* last_failure_ = &nobody_asked_;
    static inline const ApiFailure nobody_asked_{};
};

}  // namespace

std::unique_ptr<NodeApi> make_any_node_api(
    asio::io_context& loop, http::Client& client, const identity::Identity& self)
{
    return std::make_unique<AnyNodeApi>(loop, client, self);
}

}  // namespace znode::explorer
