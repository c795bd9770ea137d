#include "room.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode {
namespace {

using testing::HasSubstr;

/// /proc is a file system without room, which statvfs says of it.
TEST(RoomTest, AnyFullFolderIsNamedWithItsPurpose)
{
    asio::io_context loop;
    Blocking disks{1};
    Room room{disks, {{"state", "/tmp"}, {"flist cache", "/proc"}}};

    const auto looked = run(loop, room.look());

    ASSERT_FALSE(looked);
    EXPECT_EQ(looked.error().code, Errc::exhausted);
    EXPECT_THAT(looked.error().message, HasSubstr("flist cache (/proc) is full"));
    ASSERT_EQ(room.shortages().size(), 1U);
}

}  // namespace
}  // namespace znode
