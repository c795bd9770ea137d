#pragma once
// A pool's account: unit seconds that were bought, and the workloads that use them up. Pure; times
// are unix seconds and given in.

#include <cstdint>

#include "grid/pool.hpp"
#include "grid/units.hpp"

namespace znode::explorer_server {

/// Takes off what was used since `last_updated`. Balances never go below zero.
void sync_pool(grid::Pool& pool, std::int64_t now);

/// Credits capacity that was bought.
void add_capacity(grid::Pool& pool, const grid::CloudUnits& unit_seconds, std::int64_t now);

/// Starts charging for a workload. Nothing happens for one that is charged already.
void add_workload(
    grid::Pool& pool, std::int64_t workload, const grid::CloudUnits& units, std::int64_t now);

/// Stops charging. Nothing happens for a workload that is not charged.
void remove_workload(
    grid::Pool& pool, std::int64_t workload, const grid::CloudUnits& units, std::int64_t now);

/// Whether the pool, with this workload added, would still last longer than `seconds`.
bool would_last(
    grid::Pool pool, const grid::CloudUnits& units, std::int64_t now, std::int64_t seconds);

/// When the next of the units that are not used up yet will be, after `now`; `Pool::never` when
/// there is none (synced before).
std::int64_t next_end(const grid::Pool& pool, std::int64_t now);

/// Whether the workload needs a unit of which the pool has nothing left (synced before).
bool needs_exhausted(const grid::Pool& pool, const grid::CloudUnits& units);

/// What the public grids asked for a pool, in ten millionths of a TFT; test networks divided it by
/// 10 and 100. Nobody asks for it here.
std::uint64_t public_price(const grid::PoolData& data, std::uint64_t divisor);

}  // namespace znode::explorer_server
