// The agent is killed at every step of making a pool and a volume, of setting it aside and of
// removing it; the next run must come to the same end. The victim is this program again, in a
// process of its own.

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include <cstdlib>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/failpoint.hpp"
#include "kernel/child.hpp"
#include "kernel/files.hpp"
#include "storage/volumes.hpp"
#include "temp_folder.hpp"

namespace znode::storage {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;
constexpr auto folder_variable = "ZNODE_TEST_FOLDER";

/// What one run of the agent does.
class Agent {
public:
    explicit Agent(const std::filesystem::path& folder)
    {
        Config config{
            .node_id = "node-a",
            .run_dir = folder / "run",
            .state_dir = folder / "state",
            .log = silent_log()};
        config.pools = {{.path = folder / "pool.img", .bytes = 300 * mib}};
        volumes = make_volumes(std::move(config), loop, disks);
        run(loop, volumes->open());
    }
    ~Agent() { run(loop, volumes->stop()); }
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    Result<Volume> ensure()
    {
        return run(
            loop,
            volumes->ensure(
                {.name = "1-1",
                 .gwid = "1-1",
                 .purpose = Purpose::rootfs,
                 .bytes = 32 * mib,
                 .owner = "7",
                 .uid = 1000,
                 .gid = 1000}));
    }
    Result<> set_aside() { return run(loop, volumes->set_aside("1-1")); }
    Result<> remove() { return run(loop, volumes->remove("1-1")); }
    Result<std::size_t> forget()
    {
        return run(loop, volumes->forget(std::numeric_limits<std::int64_t>::max()));
    }

    asio::io_context loop{1};
    Blocking disks{1};
    std::unique_ptr<Volumes> volumes;
};

TEST(StorageVictim, LivesThroughItAllUnlessKilled)
{
    const char* folder = std::getenv(folder_variable);
    if (folder == nullptr) return;  // Not called by the test below.
    Agent agent{folder};
    ASSERT_TRUE(agent.ensure());
    ASSERT_TRUE(agent.set_aside());
    ASSERT_TRUE(agent.ensure());
    ASSERT_TRUE(agent.remove());
}

TEST(StorageCrashTest, KilledAtAnyStepTheNextRunComesToTheSameEnd)
{
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
    const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
    int killed = 0;
    for (const auto& point : failpoints()) {
        if (!point.starts_with("storage.") || point.starts_with("storage.directory.")) continue;
        // Reached only by a second call, and only after the kernel's clean-up.
        if (point == "storage.volume.resized" || point == "storage.sweep.group") continue;
        const test::TempFolder folder;
        kernel::ChildSpec victim;
        victim.argv = {self, "--gtest_filter=StorageVictim.*"};
        victim.environment = {
            std::string{folder_variable} + "=" + folder.path().string(),
            "ZNODE_FAILPOINTS=" + point + "=kill"};
        const auto output = kernel::run_program(victim, "", std::chrono::seconds{60});
        ASSERT_TRUE(output) << output.error().message;
        EXPECT_EQ(output->exit.signal, SIGKILL) << point << " was not reached: " << output->out;
        ++killed;

        {
            Agent agent{folder.path()};
            const auto made = agent.ensure();
            ASSERT_TRUE(made) << point << ": " << made.error().message;
            EXPECT_TRUE(std::filesystem::exists(made->path / "upper")) << point;
            EXPECT_TRUE(std::filesystem::exists(made->path / "work")) << point;
            const auto all = run(agent.loop, agent.volumes->list());
            EXPECT_EQ(all->size(), 1U) << point;
            ASSERT_TRUE(agent.remove());
            ASSERT_TRUE(agent.forget());
        }
        Agent last{folder.path()};
        const auto pool = run(last.loop, last.volumes->pools()).at(0);
        EXPECT_EQ(pool.promised, 0U) << point;
        EXPECT_TRUE(pool.foreign.empty()) << point;
        std::vector<std::string> left;
        for (const auto& entry : std::filesystem::directory_iterator{pool.path})
            left.push_back(entry.path().filename());
        EXPECT_THAT(left, testing::IsEmpty()) << point;
        EXPECT_FALSE(std::filesystem::exists(folder.path() / "pool.img.znode-new")) << point;
        const auto closed = run(last.loop, last.volumes->close());
        EXPECT_TRUE(closed) << point << ": " << closed.error().message;
    }
    EXPECT_GE(killed, 8);
}

}  // namespace
}  // namespace znode::storage
