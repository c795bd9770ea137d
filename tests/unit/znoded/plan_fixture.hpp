#pragma once
// A planner over parts that are not there, and the orders that it is asked to carry out.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_parts.hpp"
#include "grid/document.hpp"
#include "grid/workload.hpp"
#include "kernel/files.hpp"

namespace znode::engine {

using namespace std::chrono_literals;
using testing::HasSubstr;

inline constexpr std::uint64_t gib = std::uint64_t{1} << 30U;
inline constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

class PlanTest : public testing::Test {
protected:
    PlanTest()
    {
        node.volumes.pool = {{"a", {10 * gib}}, {"b", {5 * gib}}};
        container.flist = "http://hub.example/one.flist";
        container.network_connection.push_back({"net", *grid::Ip::parse("10.1.1.2")});
        container.capacity.cpu = 1;
        container.capacity.memory = 64;
    }

    Result<std::unique_ptr<Plan>> plan_of(
        const std::string& gwid, grid::Workload::Data data, Standing standing = Standing::fresh)
    {
        grid::Workload workload;
        workload.id = 12;
        workload.workload_id = 1;
        workload.workload_type = grid::type_of(data);
        workload.data = std::move(data);
        Order order;
        order.gwid = gwid;
        order.owner = 7;
        order.document = grid::to_json(workload);
        return node.planner->plan(order, standing);
    }
    std::unique_ptr<Plan> volume_plan(const std::string& gwid = "12-1")
    {
        grid::Volume volume;
        volume.size = 1;
        volume.type = grid::DiskType::ssd;
        auto plan = plan_of(gwid, volume);
        EXPECT_TRUE(plan) << plan.error().message;
        return *std::move(plan);
    }
    std::unique_ptr<Plan> container_plan(const std::string& gwid = "13-1")
    {
        auto plan = plan_of(gwid, container);
        EXPECT_TRUE(plan) << plan.error().message;
        return *std::move(plan);
    }
    std::unique_ptr<Plan> zdb_plan(const std::string& gwid = "15-1")
    {
        grid::Zdb zdb;
        zdb.size = 1;
        zdb.disk_type = grid::DiskType::ssd;
        auto plan = plan_of(gwid, zdb);
        EXPECT_TRUE(plan) << plan.error().message;
        return *std::move(plan);
    }
    /// The volume of a 0-db server of an earlier run.
    void given_server(const std::string& pool, const std::string& name)
    {
        storage::Volume volume;
        volume.name = name;
        volume.purpose = storage::Purpose::zdb;
        volume.pool = pool;
        volume.path = node.folder.path() / "pools" / name;
        std::filesystem::create_directories(volume.path);
        node.volumes.volumes.insert({name, volume});
    }
    /// The kernel has a container's root over each of these flists.
    void given_roots_over(const std::vector<std::string>& keys)
    {
        std::string text;
        for (const auto& key : keys)
            text +=
                "70 1 0:50 / /run/znode/root/x rw,nodev - overlay overlay "
                "rw,lowerdir=/run/znode/flist/" +
                key + ",upperdir=/p/upper,workdir=/p/work\n";
        ASSERT_TRUE(kernel::write_file_atomically(node.folder.path() / "mountinfo", text, 0600));
    }
    Result<> deploy(Plan& plan)
    {
        return run(node.loop, plan.deploy([](const std::string&) {}));
    }
    Result<> retire(Plan& plan) { return run(node.loop, plan.retire()); }
    /// The agent is killed; `running` go on.
    void restart(std::vector<std::string> running)
    {
        node.containers.running = std::move(running);
        node.planner = node.make_planner();
        ASSERT_TRUE(run(node.loop, node.planner->start()));
        run(node.loop, node.planner->stop());
    }
    std::string refusal()
    {
        const auto plan = plan_of("13-1", container);
        if (plan) return "";
        EXPECT_EQ(plan.error().code, Errc::invalid);
        return plan.error().message;
    }

    test::FakeNode node;
    grid::Container container;
};

}  // namespace znode::engine
