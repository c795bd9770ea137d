#pragma once

#include "base/result.hpp"
#include "grid/node.hpp"
#include "grid/workload.hpp"

namespace znode::grid {

/// What a workload takes of a machine, as explorers charge it: memory and disks in GiB.
struct ResourceUnits {
    double cru = 0;
    double mru = 0;
    double hru = 0;
    double sru = 0;
    double ipv4u = 0;
};
/// What is paid: compute units, storage units, public addresses.
struct CloudUnits {
    double cu = 0;
    double su = 0;
    double ipv4u = 0;
};

/// Errc::invalid for an unknown disk type and a kubernetes size without meaning.
Result<ResourceUnits> resource_units(const Workload& workload);
ResourceUnits container_units(const ContainerCapacity& capacity);
Result<ResourceUnits> kubernetes_units(std::int64_t size);

/// CU = min(MRU/4, CRU/2), SU = HRU/1200 + SRU/300, rounded to three places.
CloudUnits cloud_units(const ResourceUnits& units);
CloudUnits cloud_units(const ResourceAmount& amount);

}  // namespace znode::grid
