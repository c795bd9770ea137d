// Whole containers on the real kernel: crun, namespaces, cgroups, log segments. The tests run in a
// child of the test binary that lives in a holder's namespace, as the agent does; the parent checks
// that nothing is left.

#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/blocking.hpp"
#include "base/text.hpp"
#include "container/containers.hpp"
#include "container/monitor_page.hpp"
#include "kernel/child.hpp"
#include "kernel/files.hpp"
#include "kernel/holder.hpp"
#include "kernel/mount.hpp"
#include "logs/segment_format.hpp"
#include "temp_folder.hpp"

namespace znode::container {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr std::uint32_t first_id = 1'000'000;

/// All that a container printed, by stream, out of its segments.
struct Printed {
    std::string out;
    std::string err;
    std::vector<std::string> marks;
    int segments = 0;
};

Printed printed(const fs::path& logs)
{
    Printed all;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator{logs}) files.push_back(entry.path());
    std::ranges::sort(files);
    for (const auto& file : files) {
        ++all.segments;
        const auto bytes = *kernel::read_file(file, std::size_t{1} << 30U);
        logs::SegmentHeader head;
        std::memcpy(&head, bytes.data(), sizeof head);
        EXPECT_TRUE(logs::is_valid(head)) << file;
        for (std::size_t at = head.header_bytes; at < bytes.size();) {
            logs::RecordHeader record;
            std::memcpy(&record, bytes.data() + at, sizeof record);
            EXPECT_TRUE(logs::is_valid(record)) << file << " at " << at;
            if (!logs::is_valid(record)) return all;
            at += sizeof record;
            const auto payload = bytes.substr(at, record.length);
            EXPECT_EQ(record.payload_sum, logs::checksum(payload.data(), payload.size()));
            if (record.kind == logs::Kind::out)
                all.out += payload;
            else if (record.kind == logs::Kind::err)
                all.err += payload;
            else
                all.marks.push_back(payload);
            at += record.length;
        }
    }
    return all;
}

/// The agent's side: everything that a restarted agent makes anew.
struct Agent {
    explicit Agent(
        const fs::path& folder,
        const kernel::Holder& holder,
        const fs::path& runtime = "/usr/bin/crun")
        : containers{*make_crun_containers(
              ContainersConfig{
                  .run_dir = folder / "run",
                  .log_dir = folder / "logs",
                  .monitor_program = fs::path{ZNODE_BIN_DIR} / "znode-monitor",
                  .init_program = fs::path{ZNODE_BIN_DIR} / "znode-init",
                  .runtime = runtime,
                  .node8 = "test",
                  .start_patience = seconds{20},
              },
              *kernel::Cgroups::find(holder.cgroup_root),
              loop,
              blocking,
              make_log("test", "warn"))}
    {
    }
    ~Agent() { run(loop, containers->drain()); }
    template <class T>
    T get(Task<T> task)
    {
        return run(loop, std::move(task));
    }

    asio::io_context loop{1};
    Blocking blocking{2};
    std::unique_ptr<Containers> containers;
};

class ContainerTest : public testing::Test {
protected:
    /// Runs the test's body in the holder's namespace and then looks for what was left.
    void inside(const std::function<void()>& body)
    {
        const pid_t child = ::fork();
        if (child == 0) {
            auto entered = kernel::enter_or_start_holder(
                {.run_dir = folder.path() / "run",
                 .program = fs::path{ZNODE_BIN_DIR} / "znode-holder",
                 .cgroup_root = "/znode-" + node8});
            EXPECT_TRUE(entered) << entered.error().message;
            if (entered) {
                holder = *entered;
                make_root();
                body();
            }
            std::cout.flush();
            ::_exit(HasFailure() ? 1 : 0);
        }
        int how = 0;
        ASSERT_EQ(::waitpid(child, &how, 0), child);
        EXPECT_TRUE(WIFEXITED(how) && WEXITSTATUS(how) == 0) << "the body failed, see above";
    }

    ~ContainerTest() override
    {
        const auto cgroups = *kernel::Cgroups::find("/znode-" + node8);
        for (int wait = 0; wait < 20'000 && !cgroups.pids({})->empty(); ++wait) ::usleep(1000);
        EXPECT_TRUE(cgroups.pids({})->empty()) << "processes left";
        const auto names = *cgroups.names();
        EXPECT_TRUE(names.empty() || names == std::vector<std::string>{"mon"})
            << testing::PrintToString(names);
        (void)cgroups.remove("mon");
        EXPECT_TRUE(cgroups.remove_root());
        EXPECT_TRUE(kernel::stop_holder(folder.path() / "run"));
    }

    /// A root with busybox alone.
    void make_root()
    {
        ASSERT_TRUE(kernel::make_folders(folder.path() / "lower/bin"));
        ::chmod(folder.path().c_str(), 0711);
        fs::copy_file(
            "/bin/busybox",
            folder.path() / "lower/bin/busybox",
            fs::copy_options::overwrite_existing);
        for (const char* name :
             {"sh",
              "cat",
              "id",
              "sleep",
              "dd",
              "mount",
              "unshare",
              "seq",
              "head",
              "ps",
              "true",
              "ls",
              "df",
              "grep",
              "stat",
              "wc"}) {
            std::error_code exists;
            fs::create_symlink("busybox", folder.path() / "lower/bin" / name, exists);
        }
        // The layers of a shifted root belong to the container's ids.
        for (const auto& entry : fs::recursive_directory_iterator{folder.path() / "lower"})
            ASSERT_EQ(::lchown(entry.path().c_str(), first_id, first_id), 0);
        ASSERT_EQ(::chown((folder.path() / "lower").c_str(), first_id, first_id), 0);
        ASSERT_TRUE(kernel::make_folders(folder.path() / "layer"));
    }

    ContainerSpec spec(const std::string& script)
    {
        ContainerSpec wanted;
        wanted.gwid = "12-1";
        wanted.owner = R"({"gwid": "12-1"})";
        wanted.ids = {first_id, 65536};
        wanted.root = {{folder.path() / "lower"}, folder.path() / "layer"};
        wanted.entry_point = "/bin/sh -c '" + script + "'";
        wanted.limits = {.cpus = 0.5, .memory_bytes = std::uint64_t{64} << 20U, .pids = 32};
        return wanted;
    }

    Agent agent() const { return Agent{folder.path(), holder}; }
    /// Waits until `text` is in the log. Looks at raw bytes: the monitor may be in a record's
    /// middle.
    void printed_by_now(std::string_view text) const
    {
        for (int wait = 0; wait < 10000; ++wait, ::usleep(1000))
            for (const auto& entry : fs::directory_iterator{folder.path() / "logs/12-1"})
                if (kernel::read_file(entry.path(), std::size_t{1} << 30U)->find(text) !=
                    std::string::npos)
                    return;
        ADD_FAILURE() << "not printed within 10 s: " << text;
    }
    Printed log() const { return printed(folder.path() / "logs/12-1"); }
    void expect_nothing_left()
    {
        const auto run_dir = folder.path() / "run";
        const auto mounts = *kernel::read_mounts();
        for (const auto& mount : mounts)
            EXPECT_FALSE(mount.target.string().starts_with((run_dir / "").string()))
                << mount.target;
        for (const char* kind : {"c", "root", "ns", "crun"})
            EXPECT_TRUE(!fs::exists(run_dir / kind) || fs::is_empty(run_dir / kind)) << kind;
    }

    test::TempFolder folder;
    kernel::Holder holder;
    std::string node8 = "c" + std::to_string(::getpid());
};

TEST_F(ContainerTest, RunsConfinedAndKeepsItsExitCode)
{
    inside([&] {
        auto one = agent();
        auto wanted = spec(
            "id -u; cat /proc/self/uid_map; grep -E \"Seccomp:|NoNewPrivs|CapEff\" "
            "/proc/self/status; "
            "echo $NAME $KEY; echo oops >&2; cat /etc/resolv.conf; mount -t tmpfs x /mnt || echo "
            "nomount; "
            "unshare -U true || echo nouserns; exit 7");
        wanted.environment["NAME"] = "ours";
        wanted.secret_environment["KEY"] = Secret{"s3cret"};
        wanted.dns_servers = {"192.0.2.53"};
        const auto before = std::chrono::steady_clock::now();
        const auto running = one.get(one.containers->ensure(wanted));
        const auto took = std::chrono::steady_clock::now() - before;

        ASSERT_TRUE(running) << running.error().message;
        std::cout << "start to running: "
                  << std::chrono::duration_cast<std::chrono::microseconds>(took).count() << " us\n";
        const auto exit = one.get(one.containers->next_exit());
        EXPECT_EQ(exit.kind, ContainerExit::Kind::exited);
        EXPECT_EQ(exit.number, 7);
        EXPECT_EQ(exit.text(), "exit code 7");
        EXPECT_FALSE(exit.last_lines.empty());
        const auto all = log();
        EXPECT_THAT(all.out, HasSubstr("0\n         0    1000000      65536\n"));
        EXPECT_THAT(all.out, HasSubstr("Seccomp:\t2\n"));
        EXPECT_THAT(all.out, HasSubstr("NoNewPrivs:\t1\n"));
        EXPECT_THAT(all.out, HasSubstr("CapEff:\t00000000800405fb\n"));
        EXPECT_THAT(all.out, HasSubstr("ours s3cret\nnameserver 192.0.2.53\nnomount\nnouserns\n"));
        EXPECT_THAT(all.err, HasSubstr("oops\n"));
        EXPECT_EQ(all.marks.back(), "code=7");
        ASSERT_TRUE(one.get(one.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, MissingEntryPointIsNamedAndLeavesNothing)
{
    inside([&] {
        auto one = agent();
        auto wanted = spec("");
        wanted.entry_point = "/no/such --thing";
        const auto running = one.get(one.containers->ensure(wanted));

        ASSERT_FALSE(running);
        EXPECT_EQ(running.error().code, Errc::invalid);
        EXPECT_THAT(running.error().message, HasSubstr("\"/no/such\" does not exist in the root"));
        ASSERT_TRUE(one.get(one.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

/// The monitor of the test's container; 0 while there is no page, or an unfinished one.
pid_t monitor_of(const fs::path& folder)
{
    const auto bytes = kernel::read_file(folder / "run/c/12-1/phase").value_or("");
    pid_t pid = 0;
    if (bytes.size() < sizeof(MonitorPage)) return 0;
    std::memcpy(&pid, bytes.data() + offsetof(MonitorPage, monitor_pid), sizeof pid);
    return pid;
}

bool kill_monitor(const fs::path& folder)
{
    const pid_t pid = monitor_of(folder);
    return pid > 0 && ::kill(pid, SIGKILL) == 0;
}

TEST_F(ContainerTest, LinesSurviveTheMonitorAndTheAgent)
{
    inside([&] {
        pid_t pid = 0;
        constexpr int lines = 200000;
        {
            auto one = agent();
            const auto running = one.get(
                one.containers->ensure(spec("seq 1 " + std::to_string(lines) + "; exit 3")));
            ASSERT_TRUE(running) << running.error().message;
            pid = running->pid;
            ASSERT_TRUE(kill_monitor(folder.path()));
        }
        // The agent is gone as well; what follows is its successor.
        auto two = agent();
        const auto found = two.get(two.containers->list());
        ASSERT_TRUE(found);
        ASSERT_EQ(found->size(), 1U);
        EXPECT_EQ(found->front().owner, R"({"gwid": "12-1"})");
        if (found->front().running) {
            EXPECT_EQ(found->front().running->pid, pid);
            const auto exit = two.get(two.containers->next_exit());
            EXPECT_EQ(exit.number, 3);
        } else {
            EXPECT_EQ(found->front().exit->number, 3);
        }
        std::string expected;
        for (int i = 1; i <= lines; ++i) expected += std::to_string(i) + "\n";
        EXPECT_TRUE(log().out == expected) << log().out.size() << " of " << expected.size();
        ASSERT_TRUE(two.get(two.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, MonitorsKilledWhileTheContainerPrints)
{
    inside([&] {
        auto one = agent();
        constexpr int lines = 300000;
        const auto running =
            one.get(one.containers->ensure(spec("seq 1 " + std::to_string(lines))));
        ASSERT_TRUE(running) << running.error().message;
        std::optional<ContainerExit> exit;
        asio::co_spawn(
            one.loop, one.containers->next_exit(), [&](std::exception_ptr, ContainerExit ended) {
                exit = std::move(ended);
            });
        int kills = 0;
        one.loop.restart();
        while (!exit) {
            one.loop.run_for(milliseconds{20});
            if (!exit && kills < 30 && kill_monitor(folder.path())) ++kills;
        }
        EXPECT_GT(kills, 0);
        std::cout << "monitors killed: " << kills << "\n";
        EXPECT_EQ(exit->text(), "exit code 0");
        std::string expected;
        for (int i = 1; i <= lines; ++i) expected += std::to_string(i) + "\n";
        EXPECT_TRUE(log().out == expected) << log().out.size() << " of " << expected.size();
        ASSERT_TRUE(one.get(one.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, LimitsHold)
{
    inside([&] {
        auto one = agent();
        auto hog = spec(
            "head -c 200000000 /dev/zero | tail > /dev/null; echo hog $?; i=0; "
            "while [ $i -lt 60 ]; do sleep 3 & i=$((i+1)); done; wait");
        hog.limits.pids = 20;
        hog.entry_point =
            "/bin/sh -c '" +
            std::string{"x=$(head -c 200000000 /dev/zero | busybox tr \"\\000\" x); echo never"} +
            "'";
        auto running = one.get(one.containers->ensure(hog));
        ASSERT_TRUE(running) << running.error().message;
        auto exit = one.get(one.containers->next_exit());
        EXPECT_TRUE(exit.out_of_memory) << exit.text();

        auto forks = spec("i=0; while [ $i -lt 60 ]; do sleep 9 & i=$((i+1)); done; wait");
        forks.limits.pids = 20;
        running = one.get(one.containers->ensure(forks));
        ASSERT_TRUE(running) << running.error().message;
        exit = one.get(one.containers->next_exit());
        EXPECT_TRUE(exit.out_of_pids) << exit.text();
        EXPECT_THAT(log().err, HasSubstr("can't fork"));

        const auto quota =
            kernel::read_file("/sys/fs/cgroup/cpu" + holder.cgroup_root + "/12-1/cpu.cfs_quota_us");
        if (quota) {
            EXPECT_EQ(trim(*quota), "50000") << "half a CPU";
        }
        ASSERT_TRUE(one.get(one.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, SmallestOneStartsAndMayForkOnce)
{
    inside([&] {
        auto one = agent();
        auto wanted = spec("sleep 0; echo up; sleep 0; echo still; exit 3");
        wanted.limits = {.cpus = 0.1, .memory_bytes = std::uint64_t{8} << 20U, .pids = 2};
        const auto running = one.get(one.containers->ensure(wanted));
        ASSERT_TRUE(running) << running.error().message;

        const auto exit = one.get(one.containers->next_exit());
        EXPECT_EQ(exit.text(), "exit code 3");
        EXPECT_EQ(log().out, "up\nstill\n");
        ASSERT_TRUE(one.get(one.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, StopPassesTheSignalOnAndThenKills)
{
    inside([&] {
        auto one = agent();
        ASSERT_TRUE(one.get(one.containers->ensure(
            spec("trap \"echo bye; exit 5\" TERM; echo hears; while :; do sleep 1; done"))));
        const auto again = one.get(one.containers->ensure(spec("exit 1")));
        ASSERT_TRUE(again) << "runs already, and is left alone";
        printed_by_now("hears");
        auto ended = one.get(one.containers->stop("12-1", seconds{10}));
        ASSERT_TRUE(ended) << ended.error().message;
        EXPECT_EQ(ended->text(), "exit code 5");

        ASSERT_TRUE(one.get(
            one.containers->ensure(spec("trap \"\" TERM; echo deaf; while :; do sleep 1; done"))));
        printed_by_now("deaf");
        ended = one.get(one.containers->stop("12-1", milliseconds{200}));
        ASSERT_TRUE(ended) << ended.error().message;
        EXPECT_EQ(ended->text(), "killed by signal 9");

        ASSERT_TRUE(one.get(one.containers->remove("12-1", false)));
        ASSERT_TRUE(one.get(one.containers->remove("12-1", false))) << "again is fine";
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, OneThatIsStillStartingIsStopped)
{
    inside([&] {
        const auto runtime = folder.path() / "slow-crun";
        ASSERT_TRUE(kernel::write_file_atomically(
            runtime, "#!/bin/sh\nsleep 2\nexec /usr/bin/crun \"$@\"\n", 0755));
        const pid_t first = ::fork();
        if (first == 0) {
            Agent one{folder.path(), holder, runtime};
            (void)one.get(one.containers->ensure(spec("sleep 600")));
            ::_exit(0);
        }
        pid_t monitor = 0;
        for (int wait = 0; wait < 10000 && monitor == 0; ++wait, ::usleep(1000))
            monitor = monitor_of(folder.path());
        ::kill(first, SIGKILL);
        ASSERT_EQ(::waitpid(first, nullptr, 0), first);
        ASSERT_NE(monitor, 0) << "no start within 10 s";

        auto two = agent();
        const auto ended = two.get(two.containers->stop("12-1", seconds{5}));
        ASSERT_TRUE(ended) << ended.error().message;
        EXPECT_EQ(ended->kind, ContainerExit::Kind::signaled) << ended->text();
        ASSERT_TRUE(two.get(two.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, SegmentThatIsRemovedCostsNoProgramItsLife)
{
    inside([&] {
        auto one = agent();
        const auto running = one.get(
            one.containers->ensure(spec("echo first; while :; do sleep 1; echo later; done")));
        ASSERT_TRUE(running) << running.error().message;
        printed_by_now("first");
        fs::remove(folder.path() / "logs/12-1/0000000001.seg");
        ASSERT_TRUE(kill_monitor(folder.path()));
        for (int wait = 0; wait < 100 && !fs::exists(folder.path() / "logs/12-1/0000000002.seg");
             ++wait) {
            one.loop.restart();
            one.loop.run_for(milliseconds{100});
        }
        printed_by_now("later");
        const auto again = one.get(one.containers->ensure(spec("exit 1")));
        ASSERT_TRUE(again);
        EXPECT_EQ(again->pid, running->pid) << "it was started anew";
        ASSERT_TRUE(one.get(one.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, VolumeIsMountedInsideOfTheRootOnly)
{
    inside([&] {
        auto one = agent();
        ASSERT_TRUE(kernel::make_folders(folder.path() / "volume"));
        // A hostile root: the mount point is a link out of it.
        fs::create_symlink("../../../../../tmp", folder.path() / "lower/data");
        fs::create_directory(folder.path() / "lower/tmp");
        auto wanted =
            spec("echo kept > /data/file; stat -c %u /data/file; echo written; sleep 600");
        wanted.volumes = {{folder.path() / "volume", "/data", false}};
        const auto running = one.get(one.containers->ensure(wanted));

        ASSERT_TRUE(running) << running.error().message;
        printed_by_now("written");
        ASSERT_TRUE(one.get(one.containers->stop("12-1", seconds{0})));
        EXPECT_EQ(kernel::read_file(folder.path() / "volume/file").value_or("none"), "kept\n");
        struct stat info{};
        ASSERT_EQ(::stat((folder.path() / "volume/file").c_str(), &info), 0);
        EXPECT_EQ(info.st_uid, 0U) << "id-mapped: on disk the volume knows no tenant's range";
        ASSERT_TRUE(one.get(one.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

TEST_F(ContainerTest, ProcessesWithoutAPageAreFoundBeforeAStart)
{
    inside([&] {
        pid_t first = 0;
        {
            auto one = agent();
            const auto running = one.get(one.containers->ensure(spec("exec sleep 600")));
            ASSERT_TRUE(running) << running.error().message;
            first = running->pid;
            ASSERT_TRUE(kill_monitor(folder.path()));
        }
        // Everything that is known of it vanishes; only the processes and cgroups are left.
        fs::remove_all(folder.path() / "run/c/12-1");
        fs::remove_all(folder.path() / "run/crun/12-1");
        auto two = agent();
        const auto running = two.get(two.containers->ensure(spec("exec sleep 600")));

        ASSERT_TRUE(running) << running.error().message;
        EXPECT_NE(running->pid, first);
        const auto stat = kernel::read_file("/proc/" + std::to_string(first) + "/stat");
        EXPECT_TRUE(!stat || stat->find(") Z ") != std::string::npos) << "the first copy runs";
        ASSERT_TRUE(two.get(two.containers->remove("12-1", false)));
        expect_nothing_left();
    });
}

}  // namespace
}  // namespace znode::container
