#include "storage/placement.hpp"

#include <gtest/gtest.h>

namespace znode::storage {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30U;

PoolInfo pool(std::string name, Media media, std::uint64_t free)
{
    return {
        .name = std::move(name),
        .media = media,
        .state = PoolState::ready,
        .total = 20 * gib,
        .free = free};
}

TEST(RoomTest, MetadataIsKeptAndPromisesCountInFull)
{
    const auto room =
        room_of({.size = 200 * gib, .available = 90 * gib, .used = 10 * gib, .promised = 50 * gib});

    EXPECT_EQ(room.total, 97 * gib);
    EXPECT_EQ(room.free, 47 * gib);
    EXPECT_FALSE(room.host_full);
}

TEST(RoomTest, NeverBelowZero)
{
    EXPECT_EQ(room_of({.size = gib, .available = 0, .used = gib, .promised = 2 * gib}).free, 0U);
    EXPECT_EQ(room_of({}).total, 0U);
}

TEST(RoomTest, TheOperatorsCapHolds)
{
    const auto room = room_of({.size = 10 * gib, .available = 100 * gib});
    EXPECT_EQ(room.total, 10 * gib - 10 * gib / 100 * 3);
}

TEST(RoomTest, WhatOthersWroteIsNotForSale)
{
    // A shared file system of 100 GiB with 60 GiB of somebody else's data.
    const auto room =
        room_of({.size = 100 * gib, .available = 30 * gib, .used = 10 * gib, .promised = 20 * gib});
    EXPECT_LE(room.free + 20 * gib, 40 * gib);
}

TEST(RoomTest, SparseImagePromisesOnlyWhatTheHostHas)
{
    Measured measured{
        .size = 1000 * gib,
        .available = 1000 * gib,
        .promised = 10 * gib,
        .sparse = true,
        .host_size = 100 * gib,
        .host_available = 35 * gib};
    // 35 free, 5 kept, 10 outstanding, 3 % metadata.
    EXPECT_EQ(room_of(measured).free, 20 * gib - 20 * gib / 100 * 3);

    measured.host_available = 5 * gib;
    EXPECT_EQ(room_of(measured).free, 0U);
    EXPECT_TRUE(room_of(measured).host_full);
}

TEST(PlacementTest, MostFreeSpaceWinsNotTheBiggestDisk)
{
    std::vector pools{
        pool("a", Media::ssd, 5 * gib),
        pool("b", Media::ssd, 9 * gib),
        pool("c", Media::hdd, 20 * gib)};
    pools[0].total = 100 * gib;

    EXPECT_EQ(choose_pool(pools, Media::ssd, gib, ""), 1U);
    EXPECT_EQ(choose_pool(pools, Media::hdd, gib, ""), 2U);
    EXPECT_EQ(choose_pool(pools, Media::ssd, gib, "a"), 0U);
}

TEST(PlacementTest, RefusalHasNumbers)
{
    const std::vector pools{pool("a", Media::ssd, 18 * gib)};

    const auto refused = choose_pool(pools, Media::ssd, 40 * gib, "");

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::exhausted);
    EXPECT_EQ(refused.error().message, "asked 40 GiB, 18 GiB free of 20 GiB (ssd)");
}

TEST(PlacementTest, AClassThatIsNotThereIsSaidSo)
{
    const std::vector pools{pool("a", Media::ssd, gib)};
    EXPECT_EQ(
        choose_pool(pools, Media::hdd, gib, "").error().message, "this node has no hdd storage");
    EXPECT_EQ(choose_pool(pools, Media::ssd, gib, "b").error().code, Errc::not_found);
}

TEST(PlacementTest, FailedPoolIsAReasonToTryLater)
{
    std::vector pools{pool("a", Media::ssd, gib)};
    pools[0].state = PoolState::failed;
    pools[0].problem = "disk is on fire";

    const auto refused = choose_pool(pools, Media::ssd, 1, "");

    EXPECT_EQ(refused.error().code, Errc::unavailable);
    EXPECT_EQ(refused.error().message, "pool a: disk is on fire");
}

}  // namespace
}  // namespace znode::storage
