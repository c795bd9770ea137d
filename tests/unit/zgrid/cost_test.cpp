#include "cost.hpp"

#include <gtest/gtest.h>

namespace znode::zgrid {
namespace {

TEST(CostTest, PartsCostWhatTheExplorerCharges)
{
    Deployment deployment;
    VolumeWish data;
    data.name = "data";
    data.size = 40;
    data.type = grid::DiskType::ssd;
    deployment.volumes = {data};
    ZdbWish store;
    store.name = "data";
    store.size = 1000;
    store.type = grid::DiskType::hdd;
    deployment.zdbs = {store};
    ContainerWish hub;
    hub.name = "hub";
    hub.cpu = 2;
    hub.memory = 4096;
    hub.disk = 350;
    deployment.containers = {hub};

    EXPECT_EQ(units_text(units_of(deployment, "volume.data")->su), "0.133");
    EXPECT_EQ(units_text(units_of(deployment, "zdb.data")->su), "0.833");
    EXPECT_EQ(units_text(units_of(deployment, "container.hub")->cu), "1.000");
    EXPECT_EQ(units_text(units_of(deployment, "container.hub")->su), "0.000");
    EXPECT_EQ(units_text(units_of(deployment, "volume.nope")->su), "0.000");
}

TEST(CostTest, APoolLastsAsLongAsWhatRunsOutFirst)
{
    grid::Pool pool;
    pool.cus = 1000;
    pool.sus = 300;
    EXPECT_EQ(pool_lasts(pool, {}), -1) << "nothing uses it";
    EXPECT_EQ(pool_lasts(pool, {.cu = 1, .su = 0}), 1000);
    EXPECT_EQ(pool_lasts(pool, {.cu = 1, .su = 1}), 300);
    pool.active_su = 2;
    EXPECT_EQ(pool_lasts(pool, {.cu = 1, .su = 1}), 100);
    pool.sus = -5;
    EXPECT_EQ(pool_lasts(pool, {}), 0);
}

}  // namespace
}  // namespace znode::zgrid
