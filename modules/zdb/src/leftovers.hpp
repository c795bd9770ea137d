#pragma once

#include "catalog.hpp"

namespace znode::zdb {

/// At start, before the first new uid: folders that the catalog does not name are removed, or kept
/// as `.lost-<uid>` when it lost records, which may have named them.
Result<> settle_leftovers(const EngineConfig& config, Catalog& catalog, const Log& log);

}  // namespace znode::zdb
