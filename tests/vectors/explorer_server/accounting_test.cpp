#include "explorer_server/accounting.hpp"

#include <gtest/gtest.h>

#include "vectors.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;

void check_step(grid::Pool& pool, std::int64_t& now, const Json& step)
{
    test::expect_known_members(
        step, {"after", "cu", "ipv4u", "op", "seconds_passed_before", "su", "workload"});
    now += step.at("seconds_passed_before").get<std::int64_t>();
    const grid::CloudUnits units{
        .cu = step.at("cu").get<double>(),
        .su = step.at("su").get<double>(),
        .ipv4u = step.at("ipv4u").get<double>()};
    const auto id = step.at("workload").get<std::int64_t>();
    const auto op = step.at("op").get<std::string>();
    if (op == "add_capacity")
        add_capacity(pool, units, now);
    else if (op == "add_workload")
        add_workload(pool, id, units, now);
    else if (op == "remove_workload")
        remove_workload(pool, id, units, now);
    else if (op == "sync")
        sync_pool(pool, now);
    else
        ADD_FAILURE() << "an operation that the test does not know: " << op;

    const auto& after = step.at("after");
    test::expect_known_members(
        after,
        {"active_cu",
         "active_ipv4",
         "active_su",
         "active_workload_ids",
         "cus",
         "empty_at_minus_last_updated",
         "ipv4us",
         "sus"});
    EXPECT_DOUBLE_EQ(pool.cus, after.at("cus").get<double>());
    EXPECT_DOUBLE_EQ(pool.sus, after.at("sus").get<double>());
    EXPECT_DOUBLE_EQ(pool.ipv4us, after.at("ipv4us").get<double>());
    EXPECT_DOUBLE_EQ(pool.active_cu, after.at("active_cu").get<double>());
    EXPECT_DOUBLE_EQ(pool.active_su, after.at("active_su").get<double>());
    EXPECT_DOUBLE_EQ(pool.active_ipv4, after.at("active_ipv4").get<double>());
    const auto& left = after.at("empty_at_minus_last_updated");
    if (left.is_string())
        EXPECT_EQ(pool.empty_at, grid::Pool::never);
    else
        EXPECT_EQ(pool.empty_at - pool.last_updated, left.get<std::int64_t>());
    auto active = std::vector<std::int64_t>(pool.active_workload_ids);
    auto wanted = after.at("active_workload_ids").get<std::vector<std::int64_t>>();
    std::ranges::sort(active);
    std::ranges::sort(wanted);
    EXPECT_EQ(active, wanted);
}

TEST(PoolVectors, AccountingGoesStepByStep)
{
    const auto file = test::vectors("pools.json");
    test::expect_known_members(file, {"accounting", "create", "create_errors"});
    std::size_t steps = 0;
    for (const auto& c : file.at("accounting")) {
        test::expect_known_members(c, {"name", "note", "steps"});
        SCOPED_TRACE(c.at("name").get<std::string>());
        std::int64_t now = 1'600'000'000;
        grid::Pool pool{.pool_id = 1, .last_updated = now};
        for (const auto& step : c.at("steps")) {
            SCOPED_TRACE("step " + std::to_string(steps++));
            check_step(pool, now, step);
        }
    }
    test::report_cases("pools.json (accounting)", file.at("accounting").size());
}

}  // namespace
}  // namespace znode::explorer_server
