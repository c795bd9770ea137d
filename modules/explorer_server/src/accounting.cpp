#include "explorer_server/accounting.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace znode::explorer_server {
namespace {

/// Sums of thousandths leave dust behind, which must not count as use.
constexpr double dust = 0.00001;

void recompute_empty_at(grid::Pool& pool)
{
    pool.empty_at = grid::Pool::never;
    const auto consider = [&](double balance, double active) {
        if (active <= 0) return;
        const double seconds = balance / active;
        // Beyond the year 292 billion is never, and no integer.
        if (seconds >= 9.2e18) return;
        pool.empty_at =
            std::min(pool.empty_at, pool.last_updated + static_cast<std::int64_t>(seconds));
    };
    consider(pool.cus, pool.active_cu);
    consider(pool.sus, pool.active_su);
    consider(pool.ipv4us, pool.active_ipv4);
}

void subtract(double& active, double units)
{
    active -= units;
    if (active < dust) active = 0;
}

void charge(grid::Pool& pool, const grid::CloudUnits& units, std::int64_t now)
{
    sync_pool(pool, now);
    pool.active_cu += units.cu;
    pool.active_su += units.su;
    pool.active_ipv4 += units.ipv4u;
    recompute_empty_at(pool);
}

}  // namespace

void sync_pool(grid::Pool& pool, std::int64_t now)
{
    const auto passed = static_cast<double>(now - pool.last_updated);
    pool.cus = std::max(0.0, pool.cus - pool.active_cu * passed);
    pool.sus = std::max(0.0, pool.sus - pool.active_su * passed);
    pool.ipv4us = std::max(0.0, pool.ipv4us - pool.active_ipv4 * passed);
    pool.last_updated = now;
}

void add_capacity(grid::Pool& pool, const grid::CloudUnits& unit_seconds, std::int64_t now)
{
    sync_pool(pool, now);
    pool.cus += unit_seconds.cu;
    pool.sus += unit_seconds.su;
    pool.ipv4us += unit_seconds.ipv4u;
    recompute_empty_at(pool);
}

void add_workload(
    grid::Pool& pool, std::int64_t workload, const grid::CloudUnits& units, std::int64_t now)
{
    if (std::ranges::find(pool.active_workload_ids, workload) != pool.active_workload_ids.end())
        return;
    pool.active_workload_ids.push_back(workload);
    charge(pool, units, now);
}

void remove_workload(
    grid::Pool& pool, std::int64_t workload, const grid::CloudUnits& units, std::int64_t now)
{
    const auto found = std::ranges::find(pool.active_workload_ids, workload);
    if (found == pool.active_workload_ids.end()) return;
    pool.active_workload_ids.erase(found);
    sync_pool(pool, now);
    subtract(pool.active_cu, units.cu);
    subtract(pool.active_su, units.su);
    subtract(pool.active_ipv4, units.ipv4u);
    recompute_empty_at(pool);
}

bool would_last(
    grid::Pool pool, const grid::CloudUnits& units, std::int64_t now, std::int64_t seconds)
{
    charge(pool, units, now);
    return now + seconds < pool.empty_at;
}

std::int64_t next_end(const grid::Pool& pool, std::int64_t now)
{
    auto next = grid::Pool::never;
    const auto consider = [&](double balance, double active) {
        if (active <= 0 || balance <= 0 || balance / active >= 9.2e18) return;
        const auto end = pool.last_updated + static_cast<std::int64_t>(balance / active);
        next = std::min(next, std::max(end, now + 1));
    };
    consider(pool.cus, pool.active_cu);
    consider(pool.sus, pool.active_su);
    consider(pool.ipv4us, pool.active_ipv4);
    return next;
}

bool needs_exhausted(const grid::Pool& pool, const grid::CloudUnits& units)
{
    return (units.cu > 0 && pool.cus <= 0) || (units.su > 0 && pool.sus <= 0) ||
           (units.ipv4u > 0 && pool.ipv4us <= 0);
}

std::uint64_t public_price(const grid::PoolData& data, std::uint64_t divisor)
{
    // 10, 8 and 6 dollars for 30 days of a unit, at a tenth of a dollar per TFT.
    constexpr double cu = 385;
    constexpr double su = 308;
    constexpr double ipv4u = 231;
    const auto total = static_cast<long double>(data.cus) * cu +
                       static_cast<long double>(data.sus) * su +
                       static_cast<long double>(data.ipv4us) * ipv4u;
    // Nobody owns more than can be counted.
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();
    if (total >= static_cast<long double>(most)) return most;
    return static_cast<std::uint64_t>(total) / divisor;
}

}  // namespace znode::explorer_server
