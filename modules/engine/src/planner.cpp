#include "planner.hpp"

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "grid/document.hpp"
#include "network/addressing.hpp"

namespace znode::engine {

void ExitBoard::post(container::ContainerExit exit)
{
    const auto gwid = exit.gwid;
    exits_.insert_or_assign(gwid, std::move(exit));
    if (const auto waiter = waiters_.find(gwid); waiter != waiters_.end()) waiter->second->notify();
}

std::optional<container::ContainerExit> ExitBoard::take(const std::string& gwid)
{
    const auto found = exits_.find(gwid);
    if (found == exits_.end()) return std::nullopt;
    auto exit = std::move(found->second);
    exits_.erase(found);
    return exit;
}

Task<container::ContainerExit> ExitBoard::wait(std::string gwid)
{
    auto& slot = waiters_[gwid];
    if (!slot) slot = std::make_shared<znode::Event>(loop_);
    const auto waiter = slot;
    for (;;) {
        if (auto exit = take(gwid)) co_return *std::move(exit);
        co_await waiter->wait();
    }
}

NodePlanner::NodePlanner(Resources resources, PlanConfig config)
    : impl_{std::make_unique<Impl>(std::move(resources), std::move(config))}
{
}
NodePlanner::~NodePlanner() = default;

namespace {

Task<> gather_exits(NodePlanner::Impl* impl)
{
    for (;;) impl->exits.post(co_await impl->resources.containers.next_exit());
}

}  // namespace

Task<Result<>> NodePlanner::start()
{
    CO_TRY(auto found, co_await impl_->resources.containers.list());
    for (auto& container : found)
        if (container.exit) impl_->exits.post(*std::move(container.exit));
    impl_->group.spawn(gather_exits(impl_.get()));
    co_return Result<>{};
}

Task<> NodePlanner::stop() { co_await impl_->group.drain(); }

Task<Result<std::size_t>> NodePlanner::forget_namespaces(std::int64_t until)
{
    return impl_->forget_namespaces(until);
}

Task<Result<>> NodePlanner::forget_pool_of(std::string volume)
{
    return impl_->forget_pool_of(std::move(volume));
}

void NodePlanner::renamed(const std::string& gwid, const std::string& name)
{
    impl_->own_names.insert_or_assign(name, gwid);
}

void NodePlanner::may_destroy(const std::string& gwid) { impl_->may_destroy.insert(gwid); }

std::map<std::string, std::vector<std::string>> NodePlanner::flist_users() const
{
    std::map<std::string, std::vector<std::string>> users;
    for (const auto& [key, gwids] : impl_->flist_users)
        users.emplace(key, std::vector<std::string>{gwids.begin(), gwids.end()});
    return users;
}

Result<std::unique_ptr<Plan>> NodePlanner::plan(const Order& order)
{
    auto read = grid::from_json<grid::Workload>(order.document);
    if (!read)
        return tl::unexpected(std::move(read).error().during("the reservation is not readable"));
    const auto& workload = *read;
    impl_->own_names.erase(order.gwid);  // Somebody has that very name now.
    switch (workload.workload_type) {
        case grid::WorkloadType::volume:
            return impl_->volume_plan(order, workload);
        case grid::WorkloadType::zdb:
            return impl_->zdb_plan(order, workload);
        case grid::WorkloadType::network_resource:
            return impl_->network_plan(order, workload);
        case grid::WorkloadType::container:
            return impl_->container_plan(order, workload);
        default:
            return fail(
                Errc::unsupported,
                "this node does not run workloads of type " +
                    std::string{grid::to_string(workload.workload_type)});
    }
}

namespace {

constexpr int most_choices = 8;

std::string pool_fact(const std::string& name) { return "volume.pool." + name; }

}  // namespace

Task<Result<storage::Volume>> NodePlanner::Impl::ensure_volume(storage::VolumeSpec spec)
{
    auto& volumes = resources.volumes;
    const auto key = pool_fact(spec.name);
    CO_TRY(const auto known, co_await resources.fact(key));
    spec.pool = known.value_or("");
    if (spec.pool.empty()) {
        // One that an agent made which noted nothing, or whose notes are lost.
        const auto there = co_await volumes.find(spec.name);
        if (!there && there.error().code != Errc::not_found)
            co_return tl::unexpected(there.error());
        if (there) {
            spec.pool = there->pool;
            CO_TRY_DO(co_await resources.set_fact(key, spec.pool));
        }
    }
    const bool is_new = spec.pool.empty();
    for (int choices = 1;; ++choices) {
        if (spec.pool.empty()) {
            CO_TRY(spec.pool, co_await volumes.choose(spec));
            CO_TRY_DO(co_await resources.set_fact(key, spec.pool));
            CO_FP("engine.volume.chosen");
        }
        auto made = co_await volumes.ensure(spec);
        if (made) co_return made;
        const auto code = made.error().code;
        // Others took the room between the choice and now: there may be some elsewhere.
        if (is_new && code == Errc::exhausted && choices < most_choices) {
            spec.pool.clear();
            continue;
        }
        if (code == Errc::not_found)
            co_return fail(
                Errc::unavailable,
                "volume " + spec.name + " lies in pool " + spec.pool +
                    ", which is not there: " + made.error().message);
        co_return made;
    }
}

Task<Result<>> NodePlanner::Impl::forget_pool_of(std::string name)
{
    return clear_fact(pool_fact(name));
}

Task<Result<>> NodePlanner::Impl::clear_fact(std::string key)
{
    CO_TRY(const auto known, co_await resources.fact(key));
    if (!known || known->empty()) co_return Result<>{};
    co_return co_await resources.set_fact(std::move(key), "");
}

Task<Result<Secret>> NodePlanner::Impl::decrypt(
    std::string hex, std::int64_t version, std::int64_t owner)
{
    if (hex.empty()) co_return Secret{};
    std::optional<identity::PublicKey> sender;
    if (version >= 1) {
        CO_TRY(sender, co_await resources.user_key(owner));
    }
    co_return resources.identity.decrypt(hex, static_cast<int>(version), sender);
}

std::string network_key(std::int64_t owner, std::string_view name)
{
    return "network:" + network::network_id(std::to_string(owner), name);
}

}  // namespace znode::engine
