#include <sched.h>
#include <sys/mount.h>

#include <gtest/gtest.h>

namespace znode::flist {
namespace {

/// A mount namespace of the tests' own: one that some other program copied from ours would keep a
/// tree mounted, and its server alive, after we unmounted it.
class PrivateMounts : public testing::Environment {
public:
    void SetUp() override
    {
        ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "root tests need root";
        ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
    }
};

const auto* const private_mounts = testing::AddGlobalTestEnvironment(new PrivateMounts);

}  // namespace
}  // namespace znode::flist
