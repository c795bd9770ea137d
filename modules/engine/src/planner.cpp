#include "planner.hpp"

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
