#include "capacity/disks.hpp"

#include <fstream>

#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace znode::capacity {
namespace {

class DisksTest : public testing::Test {
protected:
    void given(const std::string& name, const std::string& file, const std::string& text)
    {
        const auto path = folder.path() / "block" / name / file;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream{path} << text;
    }
    test::TempFolder folder;
};

TEST_F(DisksTest, WholeDisksWithTheirClassAndSize)
{
    given("sda", "size", "3907029168\n");
    given("sda", "queue/rotational", "1\n");
    given("sda", "device/model", "WDC WD20EFRX    \n");
    given("nvme0n1", "size", "1953525168\n");
    given("nvme0n1", "queue/rotational", "0\n");

    const auto disks = list_disks(folder.path());

    ASSERT_TRUE(disks) << disks.error().message;
    ASSERT_EQ(disks->size(), 2U);
    EXPECT_EQ(disks->at(0).device, "/dev/nvme0n1");
    EXPECT_FALSE(disks->at(0).rotating);
    EXPECT_EQ(disks->at(0).bytes, 1'000'204'886'016U);
    EXPECT_EQ(disks->at(1).model, "WDC WD20EFRX");
    EXPECT_TRUE(disks->at(1).rotating);
}

TEST_F(DisksTest, WhatOnlyLooksLikeADiskIsLeftOut)
{
    for (const auto* name : {"loop0", "zram0", "dm-1", "md127", "sr0", "nbd3", "ram1"})
        given(name, "size", "2048\n");
    given("sdb", "size", "0\n");
    given("sdc", "removable", "1\n");

    EXPECT_TRUE(list_disks(folder.path())->empty());
}

TEST_F(DisksTest, NoSysfsIsAnError) { EXPECT_FALSE(list_disks(folder.path() / "none")); }

}  // namespace
}  // namespace znode::capacity
