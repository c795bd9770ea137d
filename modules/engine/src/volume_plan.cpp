#include "base/failpoint.hpp"
#include "grid/document.hpp"
#include "planner.hpp"

namespace znode::engine {
namespace {

struct VolumeState {
    NodePlanner::Impl& node;
    storage::VolumeSpec spec;
};

Task<Result<>> make_volume(std::shared_ptr<VolumeState> state)
{
    CO_FP("engine.volume.make");
    CO_TRY_DO(co_await state->node.ensure_volume(state->spec));
    CO_FP("engine.volume.made");
    co_return Result<>{};
}

Task<Result<>> remove_volume(std::shared_ptr<VolumeState> state)
{
    CO_FP("engine.volume.remove");
    auto& node = state->node;
    const auto& name = state->spec.name;
    // Told by who signed it, or not kept here: gone at once. After a restart in between nobody
    // remembers a signature, and the data is kept, which is the smaller harm.
    const bool keep = node.keeps(name);
    CO_TRY_DO(co_await node.end_volume(name, keep));
    if (!keep) node.may_destroy.erase(name);
    co_return Result<>{};
}

}  // namespace

Result<std::unique_ptr<Plan>> NodePlanner::Impl::volume_plan(
    const Order& order, const grid::Workload& workload, Standing standing)
{
    const auto& volume = std::get<grid::Volume>(workload.data);
    if (standing == Standing::fresh && volume.type != grid::DiskType::ssd &&
        volume.type != grid::DiskType::hdd)
        return fail(Errc::invalid, "member type must be 0 (HDD) or 1 (SSD)");
    const bool ssd = volume.type == grid::DiskType::ssd;
    auto state = std::make_shared<VolumeState>(*this);
    state->spec.name = order.gwid;
    state->spec.gwid = order.gwid;
    state->spec.purpose = storage::Purpose::volume;
    state->spec.media = ssd ? storage::Media::ssd : storage::Media::hdd;
    state->spec.bytes = volume.size > 0 ? static_cast<std::uint64_t>(volume.size) * gib : 0;
    state->spec.owner = std::to_string(order.owner);
    state->spec.generation = static_cast<std::uint64_t>(std::max<std::int64_t>(workload.id, 0));

    auto plan = std::make_unique<Plan>();
    plan->provides.push_back("volume:" + order.gwid);
    (ssd ? plan->amounts.ssd : plan->amounts.hdd) = state->spec.bytes;
    add_step(*plan, "make the volume", state, make_volume, remove_volume);
    plan->data = [gwid = order.gwid] { return grid::to_json(grid::VolumeResult{gwid}); };
    return plan;
}

}  // namespace znode::engine
