#pragma once
// What a deployment costs, before anything is ordered. Asks nobody.

#include <string>

#include "deployment.hpp"
#include "grid/pool.hpp"
#include "grid/units.hpp"

namespace znode::zgrid {

/// What the explorer will charge for a part of the file, such as "volume.data"; nothing for a name
/// that is not there. Errc::invalid: it cannot be computed.
Result<grid::CloudUnits> units_of(const Deployment& deployment, const std::string& key);

/// Seconds until the pool is empty with all that uses it now and this beside it; -1: for ever.
std::int64_t pool_lasts(const grid::Pool& pool, const grid::CloudUnits& more);

/// With three places, as units are rounded.
std::string units_text(double units);

}  // namespace znode::zgrid
