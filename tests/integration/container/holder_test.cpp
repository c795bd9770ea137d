// The holder's namespace against the real kernel. Each test acts in children, since entering a
// mount namespace is for life.

#include "kernel/holder.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/child.hpp"
#include "kernel/files.hpp"
#include "kernel/mount.hpp"
#include "temp_folder.hpp"

namespace znode::kernel {
namespace {

namespace fs = std::filesystem;

/// Runs in a process of its own, as an agent does; true when `act` said so.
bool in_child(const std::function<bool()>& act)
{
    const pid_t child = ::fork();
    if (child == 0) ::_exit(act() ? 0 : 1);
    int how = 0;
    return ::waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0;
}

class HolderTest : public testing::Test {
protected:
    ~HolderTest() override
    {
        EXPECT_TRUE(stop_holder(run_dir));
        const auto mounts = read_mounts();
        for (const auto& mount : *mounts)
            EXPECT_FALSE(mount.target.string().starts_with(run_dir.string())) << mount.target;
    }
    Result<Holder> enter()
    {
        return enter_or_start_holder(
            {.run_dir = run_dir,
             .program = program,
             .cgroup_root = "/znode-" + node8,
             .managed = managed});
    }

    test::TempFolder folder;
    fs::path run_dir = folder.path() / "run";
    fs::path program = fs::path{ZNODE_BIN_DIR} / "znode-holder";
    bool managed = false;
    std::string node8 = "t" + std::to_string(::getpid());
};

TEST_F(HolderTest, SecondAgentFindsTheMountsOfTheFirst)
{
    EXPECT_TRUE(in_child([&] {
        const auto holder = enter();
        if (!holder || !holder->started) return false;
        if (!make_folders(run_dir / "pool")) return false;
        return ::mount("none", (run_dir / "pool").c_str(), "tmpfs", 0, nullptr) == 0 &&
               write_file_atomically(run_dir / "pool/mark", "here", 0600).has_value();
    }));
    EXPECT_FALSE(fs::exists(run_dir / "pool/mark")) << "the mount got out to the host";

    EXPECT_TRUE(in_child([&] {
        const auto holder = enter();
        return holder && !holder->started && fs::exists(run_dir / "pool/mark");
    }));
}

TEST_F(HolderTest, RuntimeSeesOneCgroupLayout)
{
    EXPECT_TRUE(in_child([&] {
        const auto holder = enter();
        if (!holder) return false;
        const auto cgroups = Cgroups::find(holder->cgroup_root);
        if (!cgroups) return false;
        return cgroups->layout() == CgroupLayout::v2 || !fs::exists("/sys/fs/cgroup/unified");
    }));
}

TEST_F(HolderTest, NewHolderJoinsAHelperThatOutlivedTheOld)
{
    pid_t helper = 0;
    ASSERT_TRUE(in_child([&] {
        const auto holder = enter();
        if (!holder) return false;
        const auto cgroups = Cgroups::find(holder->cgroup_root);
        const auto doors = cgroups->ensure("mon");
        if (!doors || !make_folders(run_dir / "pool")) return false;
        if (::mount("none", (run_dir / "pool").c_str(), "tmpfs", 0, nullptr) < 0) return false;
        if (!write_file_atomically(run_dir / "pool/mark", "here", 0600)) return false;
        const auto spawned =
            Child::spawn({.argv = {"sleep", "60"}, .new_session = true, .cgroup_procs = *doors});
        return spawned &&
               write_file_atomically(run_dir / "helper", std::to_string(spawned->pid()), 0600);
    }));
    helper = *to_number<pid_t>(*read_file(run_dir / "helper"));

    ASSERT_TRUE(stop_holder(run_dir));

    EXPECT_TRUE(in_child([&] {
        const auto holder = enter();
        return holder && holder->started && fs::exists(run_dir / "pool/mark");
    }));
    ::kill(helper, SIGKILL);
    const auto cgroups = *Cgroups::find("/znode-" + node8);
    while (!cgroups.pids("mon")->empty()) ::usleep(1000);
    EXPECT_TRUE(cgroups.remove("mon"));
    EXPECT_TRUE(cgroups.remove_root());
}

TEST_F(HolderTest, ManagedAgentStartsNoFirstHolder)
{
    managed = true;
    EXPECT_TRUE(in_child([&] {
        const auto holder = enter();
        return !holder &&
               holder.error().message.find("znode-workloads.service") != std::string::npos;
    }));
    EXPECT_FALSE(fs::exists(run_dir / "holder"));
}

TEST_F(HolderTest, MissingProgramIsNamed)
{
    program = "/nowhere/znode-holder";
    const auto holder = enter();

    ASSERT_FALSE(holder);
    EXPECT_THAT(holder.error().message, testing::HasSubstr("/nowhere/znode-holder"));
}

}  // namespace
}  // namespace znode::kernel
