// The holder's namespace against the real kernel. Each test acts in children, since entering a
// mount namespace is for life.

#include "kernel/holder.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/child.hpp"
#include "kernel/descriptor_store.hpp"
#include "kernel/files.hpp"
#include "kernel/mount.hpp"
#include "kernel/userns.hpp"
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

TEST_F(HolderTest, KeptDescriptorsAreDroppedByTheBeginOfTheirNames)
{
    ASSERT_TRUE(in_child([&] { return enter().has_value(); }));
    const DescriptorStore store{run_dir};
    const Fd null = *open_file("/dev/null", O_RDONLY);
    for (const char* name : {"log.1-1/a", "log.1-1/b", "log.1-12/a", "mount.1-1/a", "log.1-1/c"})
        ASSERT_TRUE(store.put(name, null));

    ASSERT_TRUE(store.drop_all("log.1-1/"));
    ASSERT_TRUE(store.drop_all("log.1-1/")) << "again is fine";

    for (const char* name : {"log.1-1/a", "log.1-1/b", "log.1-1/c"})
        EXPECT_EQ(store.get(name).error().code, Errc::not_found) << name;
    EXPECT_TRUE(store.get("log.1-12/a"));
    EXPECT_TRUE(store.get("mount.1-1/a"));
}

TEST_F(HolderTest, MissingProgramIsNamed)
{
    program = "/nowhere/znode-holder";
    const auto holder = enter();

    ASSERT_FALSE(holder);
    EXPECT_THAT(holder.error().message, testing::HasSubstr("/nowhere/znode-holder"));
}

#ifdef ZNODE_FAILPOINTS
/// The first child of a process, 0 when it has none.
pid_t child_of(pid_t parent)
{
    for (const auto& entry : fs::directory_iterator{"/proc"}) {
        const auto pid = to_number<pid_t>(entry.path().filename().native());
        const auto stat = pid ? read_file(entry.path() / "stat").value_or("") : "";
        const auto name_end = stat.rfind(") ");
        if (name_end == std::string::npos) continue;
        const auto fields = split(std::string_view{stat}.substr(name_end + 2), ' ');
        if (fields.size() > 2 && to_number<pid_t>(fields[1]) == parent) return *pid;
    }
    return 0;
}

/// Not a test: what the one below runs as an agent, with a failpoint of its own.
TEST(NamespaceKeeperTest, DISABLED_Agent)
{
    if (const char* const folder = std::getenv("ZNODE_TEST_PINS"))
        (void)make_user_and_network(
            1'000'000, 65536, fs::path{folder} / "user", fs::path{folder} / "net");
}

TEST(NamespaceKeeperTest, HoldsNothingOfTheAgentAndEndsWithIt)
{
    const test::TempFolder folder;
    // An agent that was not held up has pinned them.
    struct Unpin {
        const test::TempFolder& folder;
        ~Unpin()
        {
            for (const char* name : {"user", "net"}) (void)unpin(folder.path() / name);
        }
    } const unpinned{folder};
    // What it must not pass on.
    const Fd of_agent{::open("/dev/null", O_RDONLY)};
    const pid_t agent = ::fork();
    if (agent == 0) {
        ::setenv("ZNODE_FAILPOINTS", "userns.pin=delay:60000", 1);
        ::setenv("ZNODE_TEST_PINS", folder.path().c_str(), 1);
        ::execl(
            "/proc/self/exe",
            "test",
            "--gtest_filter=NamespaceKeeperTest.DISABLED_Agent",
            "--gtest_also_run_disabled_tests",
            nullptr);
        ::_exit(1);
    }
    // Whoever has the agent's descriptors has its locks as well, and the pipes of other keepers.
    std::vector<std::string> held;
    pid_t keeper = 0;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};
    while (held != std::vector<std::string>{"0", "1"} && std::chrono::steady_clock::now() < until) {
        ::usleep(1000);
        keeper = child_of(agent);
        if (keeper == 0) continue;
        held.clear();
        std::error_code gone;
        for (fs::directory_iterator it{"/proc/" + std::to_string(keeper) + "/fd", gone}, end;
             !gone && it != end;
             it.increment(gone))
            held.push_back(it->path().filename());
        std::ranges::sort(held);
    }
    EXPECT_EQ(held, (std::vector<std::string>{"0", "1"}));
    const Fd life{static_cast<int>(::syscall(SYS_pidfd_open, keeper, 0))};
    EXPECT_TRUE(life) << "no keeper";

    ::kill(agent, SIGKILL);
    ASSERT_EQ(::waitpid(agent, nullptr, 0), agent);
    pollfd gone{life.get(), POLLIN, 0};
    EXPECT_EQ(::poll(&gone, 1, 10'000), 1) << "the keeper lives on";
}
#endif

}  // namespace
}  // namespace znode::kernel
