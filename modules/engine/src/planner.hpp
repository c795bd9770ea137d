#pragma once

#include <deque>
#include <set>

#include "async/event.hpp"
#include "async/mutex.hpp"
#include "engine/planner.hpp"
#include "grid/workload.hpp"

namespace znode::engine {

/// Where the ends of containers arrive, and are fetched by whoever watches one.
class ExitBoard {
public:
    explicit ExitBoard(asio::io_context& loop) : loop_{loop} {}

    void post(container::ContainerExit exit);
    /// Forgets what is known of it: it is about to be started.
    void clear(const std::string& gwid) { exits_.erase(gwid); }
    std::optional<container::ContainerExit> take(const std::string& gwid);
    Task<container::ContainerExit> wait(std::string gwid);

private:
    asio::io_context& loop_;
    std::map<std::string, container::ContainerExit> exits_;
    std::map<std::string, std::shared_ptr<znode::Event>> waiters_;
};

/// Shared by all plans of a node.
struct NodePlanner::Impl {
    Impl(Resources r, PlanConfig c)
        : resources{std::move(r)},
          config{std::move(c)},
          exits{resources.loop},
          group{resources.loop},
          flist_turn{resources.loop},
          zdb_turn{resources.loop}
    {
    }

    Resources resources;
    PlanConfig config;
    ExitBoard exits;
    TaskGroup group;
    std::map<std::string, std::set<std::string>> flist_users;  ///< Key of the mount, gwids.
    /// Containers of earlier runs of which nobody knows which mount they use.
    std::set<std::string> unsure_users;
    int mounting = 0;    ///< Containers that are about to get a mount.
    bool swept = false;  ///< No mount is left that nobody uses.
    /// Held while a mount goes; its key stands in the set meanwhile.
    Mutex flist_turn;
    std::set<std::string> leaving_flists;
    std::map<std::string, std::string> own_names;  ///< Explorer's name, gwid; where they differ.
    std::set<std::string> may_destroy;             ///< Whose end their customer has signed.
    Mutex zdb_turn;  ///< Servers of a pool are made, grown and ended by one workload at a time.
    std::map<std::string, std::map<std::string, std::uint64_t>> zdb_sold;  ///< Pool, gwid, bytes.

    /// Whether what the customer has stored in this volume or namespace outlives its end.
    bool keeps(const std::string& gwid) const
    {
        return config.keep_removed && !may_destroy.contains(gwid);
    }
    Task<Result<std::size_t>> forget_namespaces(std::int64_t until);

    // zdb_plan.cpp
    /// Notes the servers of all pools, for a database that was begun anew; once that is done for
    /// every pool, what has no note is new. The pools that could not be looked into, and of whose
    /// server nothing is known.
    Task<Result<std::vector<storage::PoolInfo>>> find_zdb_servers();

    // container_flist.cpp
    /// Which mounts the containers of earlier runs use that have not ended: those that were just
    /// being started too. Before any plan is carried out.
    Task<Result<>> find_flist_users(std::vector<container::Found> containers);
    /// Unmounts flists that nobody uses: left by an agent that died between two steps.
    Task<Result<>> sweep_flists();

    /// Makes the volume in the pool that was chosen for it once, now or by an earlier run: its data
    /// lies there, and an empty one elsewhere would look as if it were lost. Errc::unavailable
    /// while that pool is not there.
    Task<Result<storage::Volume>> ensure_volume(storage::VolumeSpec spec);
    /// Makes the volume not exist, or sets it aside; its successor may lie anywhere. Waits for the
    /// pool that was chosen for it and for no other.
    Task<Result<>> end_volume(std::string name, bool keep);
    /// Clears a fact that was set; one that was not costs no write.
    Task<Result<>> clear_fact(std::string key);

    /// Opens a secret of a workload of this version. "" stays empty.
    Task<Result<Secret>> decrypt(std::string hex, std::int64_t version, std::int64_t owner);

    Result<std::unique_ptr<Plan>> volume_plan(
        const Order& order, const grid::Workload& workload, Standing standing);
    Result<std::unique_ptr<Plan>> zdb_plan(const Order& order, const grid::Workload& workload);
    Result<std::unique_ptr<Plan>> network_plan(const Order& order, const grid::Workload& workload);
    Result<std::unique_ptr<Plan>> container_plan(
        const Order& order, const grid::Workload& workload, Standing standing);
};

/// A step out of two coroutine functions. They must not capture: what they need is in `State`,
/// which the steps of a plan share.
template <class State>
class StepOf : public Step {
public:
    using Work = Task<Result<>> (*)(std::shared_ptr<State>);
    StepOf(std::string name, std::shared_ptr<State> state, Work apply, Work revert)
        : name_{std::move(name)}, state_{std::move(state)}, apply_{apply}, revert_{revert}
    {
    }
    std::string name() const override { return name_; }
    Task<Result<>> apply() override { return apply_(state_); }
    Task<Result<>> revert() override { return revert_(state_); }

private:
    std::string name_;
    std::shared_ptr<State> state_;
    Work apply_;
    Work revert_;
};

template <class State>
void add_step(
    Plan& plan,
    std::string name,
    std::shared_ptr<State> state,
    typename StepOf<State>::Work apply,
    typename StepOf<State>::Work revert)
{
    plan.add(std::make_unique<StepOf<State>>(std::move(name), std::move(state), apply, revert));
}

/// For steps that leave nothing in the world.
template <class State>
Task<Result<>> nothing(std::shared_ptr<State>)
{
    co_return Result<>{};
}

constexpr std::uint64_t gib = std::uint64_t{1} << 30U;
constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

}  // namespace znode::engine
