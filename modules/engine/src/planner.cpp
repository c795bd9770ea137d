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

std::string pool_fact(const std::string& name) { return "volume.pool." + name; }

/// Set when each volume of this node has a note of its pool: what has none is new.
constexpr auto all_are_noted = "volume.pools.noted";

/// For volumes of an agent that noted nothing, and for a database that was begun anew. Not while a
/// pool is away: what lies there cannot be seen.
Task<Result<>> note_pools(NodePlanner::Impl* node)
{
    auto& resources = node->resources;
    CO_TRY(const auto noted, co_await resources.fact(all_are_noted));
    if (noted && !noted->empty()) co_return Result<>{};
    for (const auto& pool : co_await resources.volumes.pools())
        if (pool.state == storage::PoolState::failed) co_return Result<>{};
    CO_TRY(const auto volumes, co_await resources.volumes.list());
    for (const auto& volume : volumes) {
        if (volume.purpose == storage::Purpose::zdb) continue;
        CO_TRY(const auto known, co_await resources.fact(pool_fact(volume.name)));
        if (known && !known->empty()) continue;
        CO_TRY_DO(co_await resources.set_fact(pool_fact(volume.name), volume.pool));
    }
    co_return co_await resources.set_fact(all_are_noted, "1");
}

}  // namespace

Task<Result<>> NodePlanner::start()
{
    CO_TRY(auto found, co_await impl_->resources.containers.list());
    std::vector<container::Found> alive;
    for (auto& container : found) {
        // What has ended is started from a mount of its own.
        if (container.exit)
            impl_->exits.post(*std::move(container.exit));
        else
            alive.push_back(std::move(container));
    }
    CO_TRY_DO(co_await impl_->find_flist_users(std::move(alive)));
    impl_->group.spawn(gather_exits(impl_.get()));
    CO_TRY_DO(co_await note_pools(impl_.get()));
    // While all pools are there: once one is away for good, nobody could tell what it holds.
    const auto servers = co_await impl_->find_zdb_servers();
    if (!servers)
        impl_->resources.log->warn(
            "0-db servers are not looked for error=\"{}\"", servers.error().message);
    co_return Result<>{};
}

Task<> NodePlanner::stop() { co_await impl_->group.drain(); }

Task<Result<std::size_t>> NodePlanner::forget_namespaces(std::int64_t until)
{
    return impl_->forget_namespaces(until);
}

Task<Result<>> NodePlanner::set_volume_aside(std::string name)
{
    return impl_->end_volume(std::move(name), true);
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

Result<std::unique_ptr<Plan>> NodePlanner::plan(const Order& order, Standing standing)
{
    auto read = grid::from_json<grid::Workload>(order.document);
    if (!read)
        return tl::unexpected(std::move(read).error().during("the reservation is not readable"));
    const auto& workload = *read;
    impl_->own_names.erase(order.gwid);  // Somebody has that very name now.
    switch (workload.workload_type) {
        case grid::WorkloadType::volume:
            return impl_->volume_plan(order, workload, standing);
        case grid::WorkloadType::zdb:
            return impl_->zdb_plan(order, workload);
        case grid::WorkloadType::network_resource:
            return impl_->network_plan(order, workload);
        case grid::WorkloadType::container:
            return impl_->container_plan(order, workload, standing);
        default:
            return fail(
                Errc::unsupported,
                "this node does not run workloads of type " +
                    std::string{grid::to_string(workload.workload_type)});
    }
}

namespace {

constexpr int most_choices = 8;

}  // namespace

Task<Result<storage::Volume>> NodePlanner::Impl::ensure_volume(storage::VolumeSpec spec)
{
    auto& volumes = resources.volumes;
    const auto key = pool_fact(spec.name);
    CO_TRY(const auto known, co_await resources.fact(key));
    spec.pool = known.value_or("");
    if (spec.pool.empty()) {
        // One that an agent made which noted nothing, or whose notes are lost.
        CO_TRY_DO(co_await note_pools(this));
        const auto there = co_await volumes.find(spec.name);
        CO_TRY(const auto noted, co_await resources.fact(all_are_noted));
        const bool absent =
            !there && there.error().code == Errc::unavailable && noted.value_or("") == "1";
        if (!there && !absent && there.error().code != Errc::not_found)
            co_return tl::unexpected(there.error());
        if (there) {
            spec.pool = there->pool;
            CO_TRY_DO(co_await resources.set_fact(key, spec.pool));
        }
    }
    const bool is_new = spec.pool.empty();
    for (int choices = 1;; ++choices) {
        if (spec.pool.empty()) {
            auto anywhere = spec;
            anywhere.name.clear();  // It lies nowhere.
            CO_TRY(spec.pool, co_await volumes.choose(std::move(anywhere)));
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

Task<Result<>> NodePlanner::Impl::end_volume(std::string name, bool keep)
{
    const auto key = pool_fact(name);
    CO_TRY(const auto known, co_await resources.fact(key));
    const auto pool = known.value_or("");
    auto gone = keep ? co_await resources.volumes.set_aside(name, pool)
                     : co_await resources.volumes.remove(name, pool);
    if (!gone && pool.empty() && gone.error().code == Errc::unavailable) {
        // Where all are noted, one without a note was never made.
        CO_TRY(const auto noted, co_await resources.fact(all_are_noted));
        if (noted.value_or("") == "1") gone = {};
    }
    CO_TRY_DO(std::move(gone));
    co_return co_await clear_fact(key);
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
