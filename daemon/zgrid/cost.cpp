#include "cost.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "container_order.hpp"

namespace znode::zgrid {

Result<grid::CloudUnits> units_of(const Deployment& deployment, const std::string& key)
{
    grid::Workload workload;
    for (const auto& wish : deployment.volumes)
        if ("volume." + wish.name == key) workload.data = volume_of(wish);
    for (const auto& wish : deployment.zdbs)
        if ("zdb." + wish.name == key) {
            grid::Zdb zdb;
            zdb.size = wish.size;
            zdb.disk_type = wish.type;
            workload.data = zdb;
        }
    for (const auto& wish : deployment.containers)
        if ("container." + wish.name == key) {
            grid::Container container;
            container.capacity = {
                wish.cpu, wish.memory, static_cast<std::uint64_t>(wish.disk), wish.disk_type};
            workload.data = container;
        }
    workload.workload_type = grid::type_of(workload.data);
    TRY(const auto units, grid::resource_units(workload));
    return grid::cloud_units(units);
}

std::int64_t pool_lasts(const grid::Pool& pool, const grid::CloudUnits& more)
{
    double least = -1;
    const auto until_empty = [&](double balance, double used) {
        if (used <= 0) return;
        const auto seconds = std::max(balance, 0.0) / used;
        if (least < 0 || seconds < least) least = seconds;
    };
    until_empty(pool.cus, pool.active_cu + more.cu);
    until_empty(pool.sus, pool.active_su + more.su);
    return static_cast<std::int64_t>(least);
}

std::string units_text(double units)
{
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.3f", units);
    return text.data();
}

}  // namespace znode::zgrid
