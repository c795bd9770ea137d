#include "grid/units.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace znode::grid {
namespace {

/// This much of a container's root disk, in GiB, is free of charge.
constexpr double free_disk = 50;
constexpr double mib_per_gib = 1024;

double rounded(double value, double steps) { return std::round(value * steps) / steps; }

Result<ResourceUnits> disk_units(DiskType type, double gib)
{
    ResourceUnits units;
    if (type == DiskType::hdd)
        units.hru = gib;
    else if (type == DiskType::ssd)
        units.sru = gib;
    else
        return fail(
            Errc::invalid,
            "disk type " + std::to_string(static_cast<unsigned>(type)) + " is unknown");
    return units;
}

}  // namespace

ResourceUnits container_units(const ContainerCapacity& capacity)
{
    ResourceUnits units;
    units.cru = static_cast<double>(capacity.cpu);
    units.mru = rounded(static_cast<double>(capacity.memory) / mib_per_gib, 10'000);
    const auto disk = std::max(
        0.0, rounded(static_cast<double>(capacity.disk_size) / mib_per_gib, 10'000) - free_disk);
    if (capacity.disk_type == DiskType::hdd) units.hru = disk;
    if (capacity.disk_type == DiskType::ssd) units.sru = disk;
    return units;
}

Result<ResourceUnits> kubernetes_units(std::int64_t size)
{
    // CPUs, GiB of memory, GiB of SSD; size 1 is the first.
    static constexpr std::array<std::array<double, 3>, 18> sizes{{
        {1, 2, 50},
        {2, 4, 100},
        {2, 8, 25},
        {2, 5, 50},
        {2, 8, 200},
        {4, 16, 50},
        {4, 16, 100},
        {4, 16, 400},
        {8, 32, 100},
        {8, 32, 200},
        {8, 32, 800},
        {1, 64, 200},
        {1, 64, 400},
        {1, 64, 800},
        {1, 2, 25},
        {2, 4, 50},
        {4, 8, 50},
        {1, 1, 25},
    }};
    if (size < 1 || size > static_cast<std::int64_t>(sizes.size()))
        return fail(Errc::invalid, "K8S VM size " + std::to_string(size) + " is not supported");
    const auto& [cpus, memory, disk] = sizes[static_cast<std::size_t>(size - 1)];
    ResourceUnits units;
    units.cru = cpus;
    units.mru = memory;
    units.sru = disk;
    return units;
}

Result<ResourceUnits> resource_units(const Workload& workload)
{
    if (const auto* container = std::get_if<Container>(&workload.data))
        return container_units(container->capacity);
    if (const auto* volume = std::get_if<Volume>(&workload.data))
        return disk_units(volume->type, static_cast<double>(volume->size));
    if (const auto* zdb = std::get_if<Zdb>(&workload.data))
        return disk_units(zdb->disk_type, static_cast<double>(zdb->size));
    if (const auto* kubernetes = std::get_if<Kubernetes>(&workload.data))
        return kubernetes_units(kubernetes->size);
    ResourceUnits units;
    if (std::holds_alternative<PublicIp>(workload.data)) units.ipv4u = 1;
    return units;
}

CloudUnits cloud_units(const ResourceUnits& units)
{
    CloudUnits cloud;
    cloud.cu = rounded(std::min(units.mru / 4, units.cru / 2), 1000);
    cloud.su = rounded(units.hru / 1200 + units.sru / 300, 1000);
    cloud.ipv4u = units.ipv4u;
    return cloud;
}

CloudUnits cloud_units(const ResourceAmount& amount)
{
    ResourceUnits units;
    units.cru = static_cast<double>(amount.cru);
    units.mru = amount.mru;
    units.hru = amount.hru;
    units.sru = amount.sru;
    return cloud_units(units);
}

}  // namespace znode::grid
