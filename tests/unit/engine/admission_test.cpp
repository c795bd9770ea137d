#include "engine/admission.hpp"

#include <gtest/gtest.h>

namespace znode::engine {
namespace {

constexpr std::uint64_t gib = 1ULL << 30U;

TEST(AdmissionTest, RefusesWithNumbers)
{
    const Machine machine{.cpus = 2, .memory = 8 * gib, .memory_reserve = gib, .cpu_overcommit = 4};
    const Amounts taken{.cpus = 6, .memory = 5 * gib, .ssd = 0, .hdd = 0};

    EXPECT_TRUE(admit({.cpus = 2, .memory = 2 * gib}, taken, machine));
    EXPECT_EQ(
        admit({.cpus = 1, .memory = 4 * gib}, taken, machine).error().message,
        "asked for 4 GiB of memory, 2 GiB free of 7 GiB");
    EXPECT_EQ(
        admit({.cpus = 3}, taken, machine).error().message, "asked for 3 CPUs, the node has 2");
    EXPECT_EQ(
        admit({.cpus = 2}, {.cpus = 7}, machine).error().message,
        "asked for 2 CPUs, 1 are free of 8");
}

TEST(AdmissionTest, VolumesPassOnAFullMachine)
{
    const Machine machine{.cpus = 2, .memory = gib, .memory_reserve = 2 * gib};
    EXPECT_TRUE(admit({.ssd = gib}, {.cpus = 100, .memory = 100 * gib}, machine));
    EXPECT_FALSE(admit({.memory = 1}, {}, machine));
}

}  // namespace
}  // namespace znode::engine
