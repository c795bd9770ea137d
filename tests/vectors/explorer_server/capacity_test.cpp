#include <gtest/gtest.h>

#include "explorer_server/accounting.hpp"
#include "grid/units.hpp"
#include "vectors.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;

double number(const Json& c, const char* name) { return c.at(name).get<double>(); }

void check_cloud_units(const Json& c)
{
    test::expect_known_members(c, {"cru", "mru", "hru", "sru", "ipu", "ipv4u", "cu", "su"});
    const grid::CloudUnits units = grid::cloud_units(
        {.cru = number(c, "cru"),
         .mru = number(c, "mru"),
         .hru = number(c, "hru"),
         .sru = number(c, "sru"),
         .ipv4u = number(c, "ipu")});
    EXPECT_DOUBLE_EQ(units.cu, number(c, "cu"));
    EXPECT_DOUBLE_EQ(units.su, number(c, "su"));
    EXPECT_DOUBLE_EQ(units.ipv4u, number(c, "ipv4u"));
}

void check_container(const Json& c)
{
    test::expect_known_members(
        c,
        {"cpu",
         "memory_mib",
         "disk_size_mib",
         "disk_type",
         "cru",
         "mru",
         "hru",
         "sru",
         "cu",
         "su"});
    grid::Workload workload;
    workload.workload_type = grid::WorkloadType::container;
    grid::Container container;
    container.capacity = {
        .cpu = c.at("cpu").get<std::int64_t>(),
        .memory = c.at("memory_mib").get<std::int64_t>(),
        .disk_size = c.at("disk_size_mib").get<std::uint64_t>(),
        .disk_type = static_cast<grid::DiskType>(c.at("disk_type").get<int>())};
    workload.data = std::move(container);
    const auto used = grid::resource_units(workload);
    ASSERT_TRUE(used) << used.error().message;
    EXPECT_DOUBLE_EQ(used->cru, number(c, "cru"));
    EXPECT_DOUBLE_EQ(used->mru, number(c, "mru"));
    EXPECT_DOUBLE_EQ(used->hru, number(c, "hru"));
    EXPECT_DOUBLE_EQ(used->sru, number(c, "sru"));
    EXPECT_DOUBLE_EQ(grid::cloud_units(*used).cu, number(c, "cu"));
    EXPECT_DOUBLE_EQ(grid::cloud_units(*used).su, number(c, "su"));
}

void check_kubernetes(const Json& c)
{
    test::expect_known_members(c, {"size", "error", "cru", "mru", "sru", "cu", "su"});
    grid::Workload workload;
    workload.workload_type = grid::WorkloadType::kubernetes;
    grid::Kubernetes machine;
    machine.size = c.at("size").get<std::int64_t>();
    workload.data = std::move(machine);
    const auto used = grid::resource_units(workload);
    if (c.contains("error")) {
        ASSERT_FALSE(used);
        EXPECT_EQ(used.error().message, c.at("error").get<std::string>());
        return;
    }
    ASSERT_TRUE(used) << used.error().message;
    EXPECT_DOUBLE_EQ(used->cru, number(c, "cru"));
    EXPECT_DOUBLE_EQ(used->mru, number(c, "mru"));
    EXPECT_DOUBLE_EQ(used->sru, number(c, "sru"));
    EXPECT_DOUBLE_EQ(used->hru, 0);
    EXPECT_DOUBLE_EQ(grid::cloud_units(*used).cu, number(c, "cu"));
    EXPECT_DOUBLE_EQ(grid::cloud_units(*used).su, number(c, "su"));
}

void check_price(const Json& c)
{
    test::expect_known_members(
        c, {"cus", "sus", "ipv4us", "mainnet_stropes", "testnet_stropes", "devnet_stropes"});
    const grid::PoolData data{
        .cus = c.at("cus").get<std::uint64_t>(),
        .sus = c.at("sus").get<std::uint64_t>(),
        .ipv4us = c.at("ipv4us").get<std::uint64_t>()};
    const auto stropes = [&](const char* name) { return c.at(name).get<std::uint64_t>(); };
    EXPECT_EQ(public_price(data, 1), stropes("mainnet_stropes"));
    EXPECT_EQ(public_price(data, 10), stropes("testnet_stropes"));
    EXPECT_EQ(public_price(data, 100), stropes("devnet_stropes"));
}

TEST(CapacityVectors, EveryCaseOfTheFile)
{
    const auto file = test::vectors("capacity.json");
    test::expect_known_members(
        file,
        {"cloud_units",
         "container_resource_units",
         "kubernetes_sizes_explorer",
         "pool_price",
         "price_per_unit_second_stropes",
         // What nodes call a network: the network's tests run these.
         "network_ids"});
    std::size_t cases = 0;
    const auto each = [&](const char* group, auto check) {
        SCOPED_TRACE(group);
        for (const auto& c : file.at(group)) {
            SCOPED_TRACE(c.dump());
            check(c);
            ++cases;
        }
    };
    each("cloud_units", check_cloud_units);
    each("container_resource_units", check_container);
    each("kubernetes_sizes_explorer", check_kubernetes);
    each("pool_price", check_price);

    const auto& unit = file.at("price_per_unit_second_stropes");
    test::expect_known_members(unit, {"cu", "su", "ipv4u"});
    EXPECT_EQ(public_price({.cus = 1}, 1), unit.at("cu").get<std::uint64_t>());
    EXPECT_EQ(public_price({.sus = 1}, 1), unit.at("su").get<std::uint64_t>());
    EXPECT_EQ(public_price({.ipv4us = 1}, 1), unit.at("ipv4u").get<std::uint64_t>());
    test::report_cases("capacity.json", cases + 3);
}

}  // namespace
}  // namespace znode::explorer_server
