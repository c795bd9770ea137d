#include "engine/overlays.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Paths = std::vector<std::filesystem::path>;

std::string root_with(const std::string& options)
{
    return "70 1 0:50 / /run/znode/root/12-1 rw,nodev - overlay overlay rw," + options + "\n";
}

TEST(OverlaysTest, TheLayerBelowEachRootIsFound)
{
    const auto text = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" +
                      root_with("lowerdir=/run/znode/flist/k1,upperdir=/p/upper,workdir=/p/work") +
                      "71 1 0:51 / /run/znode/flist/k2 ro - fuse.znode k2 ro,user_id=0\n" +
                      root_with("lowerdir=/run/znode/flist/k2,upperdir=/q/upper,workdir=/q/work");

    EXPECT_THAT(
        overlay_lowers(text),
        ElementsAre(Paths::value_type{"/run/znode/flist/k1"}, "/run/znode/flist/k2"));
}

TEST(OverlaysTest, SeveralLayersAreNamedInOneOptionOrInMany)
{
    const Paths wanted{"/a", "/b", "/c"};
    EXPECT_EQ(overlay_lowers(root_with("lowerdir=/a:/b:/c,upperdir=/u")), wanted);
    EXPECT_EQ(overlay_lowers(root_with("lowerdir=/a:/b::/c")), wanted) << "the last for data only";
    EXPECT_EQ(overlay_lowers(root_with("lowerdir+=/a,lowerdir+=/b,datadir+=/c")), wanted);
}

TEST(OverlaysTest, EscapesAreUndone)
{
    EXPECT_EQ(
        overlay_lowers(root_with("lowerdir=/with\\040space:/a\\072colon:/comma\\054:/end\\04")),
        (Paths{"/with space", "/a:colon", "/comma,", "/end\\04"}));
}

TEST(OverlaysTest, OtherMountsAndOptionsAreNotLookedAt)
{
    EXPECT_THAT(overlay_lowers(""), IsEmpty());
    EXPECT_THAT(overlay_lowers("nonsense\n70 1 0:50\n"), IsEmpty());
    EXPECT_THAT(overlay_lowers(root_with("upperdir=/u,workdir=/w,lowerdir")), IsEmpty());
    EXPECT_THAT(
        overlay_lowers("70 1 0:50 / /m rw - tmpfs lowerdir=/a rw,lowerdir=/b\n"), IsEmpty());
}

}  // namespace
}  // namespace znode::engine
