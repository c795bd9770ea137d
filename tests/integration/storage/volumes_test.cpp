#include "storage/volumes.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <limits>
#include <thread>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/btrfs.hpp"
#include "kernel/child.hpp"
#include "kernel/files.hpp"
#include "kernel/loop.hpp"
#include "temp_folder.hpp"

namespace znode::storage {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

/// Waits for a fact that the kernel brings about in the background.
template <class Fact>
bool comes_true(Fact fact, std::chrono::seconds patience = 60s)
{
    const auto end = Clock::now() + patience;
    while (Clock::now() < end) {
        if (fact()) return true;
        std::this_thread::sleep_for(10ms);
    }
    return fact();
}

class VolumesTest : public testing::Test {
protected:
    static void SetUpTestSuite()
    {
        // Before any thread exists: what is mounted here is seen by nobody else.
        ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
        ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
    }

    void TearDown() override
    {
        if (volumes) {
            const auto closed = run(loop, volumes->close());
            EXPECT_TRUE(closed) << closed.error().message;
        }
        const auto mounts = kernel::read_file("/proc/self/mountinfo");
        EXPECT_THAT(*mounts, testing::Not(HasSubstr(folder.path().string())));
        if (std::filesystem::exists(image())) {
            EXPECT_TRUE(comes_true([&] { return !*kernel::find_loop(image()); }))
                << "the loop device is still there";
        }
    }

    std::filesystem::path image() const { return folder.path() / "pool.img"; }
    std::filesystem::path pool_path() const { return folder.path() / "run/pool/pool"; }

    PoolConfig image_pool(std::uint64_t bytes = 512 * mib) const
    {
        return {.kind = PoolConfig::Kind::image, .path = image(), .bytes = bytes};
    }

    void given(std::vector<PoolConfig> pools)
    {
        if (volumes) run(loop, volumes->stop());
        Config config{
            .node_id = "node-a",
            .run_dir = folder.path() / "run",
            .state_dir = folder.path() / "state",
            .pools = std::move(pools),
            .log = silent_log()};
        volumes = make_volumes(std::move(config), loop, disks);
        run(loop, volumes->open());
    }

    static VolumeSpec spec(std::string name, std::uint64_t bytes, Purpose purpose = Purpose::volume)
    {
        return {
            .name = name,
            .gwid = name,
            .purpose = purpose,
            .media = Media::ssd,
            .bytes = bytes,
            .owner = "7"};
    }

    Result<Volume> ensure(VolumeSpec wanted)
    {
        return run(loop, volumes->ensure(std::move(wanted)));
    }
    /// Two pools; the file of the first lies on a disk of its own, which is gone when `absent`.
    void given_two(bool absent)
    {
        const auto disk = folder.path() / "disk";
        if (volumes) ASSERT_TRUE(run(loop, volumes->close()));
        if (absent && std::filesystem::exists(disk))
            std::filesystem::rename(disk, folder.path() / "unplugged");
        if (!absent && !std::filesystem::exists(disk))
            std::filesystem::rename(folder.path() / "unplugged", disk);
        PoolConfig first{.path = disk / "first.img", .bytes = 300 * mib, .sparse = true};
        PoolConfig second{.path = folder.path() / "second.img", .bytes = 512 * mib, .sparse = true};
        given({first, second});
    }
    /// A volume in the first pool, which is then absent.
    void given_an_absent_pool_with(const std::string& name)
    {
        std::filesystem::create_directory(folder.path() / "disk");
        given_two(false);
        auto wanted = spec(name, 32 * mib);
        wanted.pool = "first";
        ASSERT_TRUE(ensure(wanted));
        given_two(true);
        ASSERT_EQ(pool().state, PoolState::failed);
    }

    PoolInfo pool() { return run(loop, volumes->pools()).at(0); }
    std::size_t count() { return run(loop, volumes->list())->size(); }

    /// Writes until the kernel refuses; the errno and how much it took.
    static std::pair<int, std::uint64_t> fill(const std::filesystem::path& file, std::uint64_t most)
    {
        const kernel::Fd fd{::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
        std::string block(256 * 1024, '\0');
        std::uint64_t written = 0;
        std::uint64_t noise = 88172645463325252ULL;
        while (written < most) {
            for (std::size_t i = 0; i + 8 <= block.size(); i += 8) {
                noise ^= noise << 13U, noise ^= noise >> 7U, noise ^= noise << 17U;
                std::memcpy(block.data() + i, &noise, 8);
            }
            const auto put = ::write(fd.get(), block.data(), block.size());
            if (put < 0) return {errno, written};
            written += static_cast<std::uint64_t>(put);
        }
        return {::fsync(fd.get()) == 0 ? 0 : errno, written};
    }

    test::TempFolder folder;
    asio::io_context loop{1};
    Blocking disks{2};
    std::unique_ptr<Volumes> volumes;
};

TEST_F(VolumesTest, WhatIsSetAsideIsHiddenKeptAndForgottenInTime)
{
    given({image_pool()});
    ASSERT_TRUE(ensure(spec("7-1", 64 * mib)));
    ASSERT_TRUE(ensure(spec("7-2", 64 * mib)));
    std::ofstream{pool_path() / "7-1" / "diary"} << "dear customer";
    const auto before = pool();

    ASSERT_TRUE(run(loop, volumes->set_aside("7-1")));
    ASSERT_TRUE(run(loop, volumes->set_aside("7-2")));
    ASSERT_TRUE(run(loop, volumes->set_aside("never-seen")));

    EXPECT_EQ(count(), 0U);
    EXPECT_FALSE(std::filesystem::exists(pool_path() / "7-1"));
    auto info = pool();
    EXPECT_EQ(info.promised, 0U);
    EXPECT_GE(info.free, before.free + 128 * mib) << "counts as free";
    ASSERT_EQ(info.kept.size(), 1U) << "of an empty one nothing is kept";
    EXPECT_EQ(*kernel::read_file(pool_path() / info.kept[0] / "diary"), "dear customer");
    EXPECT_TRUE(info.foreign.empty());

    given({image_pool()});
    info = pool();
    ASSERT_EQ(info.kept.size(), 1U) << "a restart changes nothing";
    EXPECT_EQ(*run(loop, volumes->forget(info.kept_since - 1)), 0U);
    EXPECT_EQ(*run(loop, volumes->forget(info.kept_since)), 1U);
    EXPECT_TRUE(pool().kept.empty());
}

TEST_F(VolumesTest, WhatIsSetAsideGivesWayToWhatIsOrdered)
{
    given({image_pool()});
    ASSERT_TRUE(ensure(spec("7-1", 200 * mib)));
    const auto [err, written] = fill(pool_path() / "7-1" / "data", 180 * mib);
    ASSERT_EQ(err, 0);
    ASSERT_TRUE(run(loop, volumes->set_aside("7-1")));
    ASSERT_TRUE(ensure(spec("7-2", 32 * mib)));
    EXPECT_EQ(pool().kept.size(), 1U) << "there is room beside it";

    ASSERT_TRUE(ensure(spec("7-3", pool().free)));
    EXPECT_TRUE(pool().kept.empty()) << written;
}

TEST_F(VolumesTest, VolumeOfAnAbsentPoolIsNeverMadeInAnother)
{
    given_an_absent_pool_with("7-1");

    const auto untold = ensure(spec("7-1", 32 * mib));
    ASSERT_FALSE(untold);
    EXPECT_EQ(untold.error().code, Errc::unavailable);
    EXPECT_THAT(untold.error().message, HasSubstr("pool first"));
    auto told = spec("7-1", 32 * mib);
    told.pool = "first";
    EXPECT_EQ(ensure(told).error().code, Errc::unavailable);
    EXPECT_EQ(run(loop, volumes->choose(spec("7-1", 32 * mib))).error().code, Errc::unavailable);
    EXPECT_EQ(run(loop, volumes->find("7-1")).error().code, Errc::unavailable);

    // What is told its pool is not held up by another one.
    auto other = spec("7-2", 32 * mib);
    other.pool = "second";
    EXPECT_TRUE(ensure(other));
    EXPECT_TRUE(ensure(spec("7-2", 32 * mib))) << "found, so it lies nowhere else";

    given_two(false);
    EXPECT_EQ(run(loop, volumes->find("7-1"))->pool, "first");
    EXPECT_EQ(*run(loop, volumes->choose(spec("7-1", 32 * mib))), "first");
}

TEST_F(VolumesTest, RemovalWaitsForAnAbsentPoolUnlessTheVolumeWasElsewhere)
{
    given_an_absent_pool_with("7-1");

    const auto removed = run(loop, volumes->remove("7-1"));
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, Errc::unavailable);
    EXPECT_THAT(removed.error().message, HasSubstr("pool first"));
    EXPECT_EQ(run(loop, volumes->set_aside("7-1")).error().code, Errc::unavailable);

    auto other = spec("7-2", 32 * mib);
    other.pool = "second";
    ASSERT_TRUE(ensure(other));
    EXPECT_TRUE(run(loop, volumes->remove("7-2")));
    EXPECT_TRUE(run(loop, volumes->remove("7-2"))) << "again";
    EXPECT_EQ(run(loop, volumes->find("7-2")).error().code, Errc::not_found);
    other.name = "7-3";
    other.bytes = 4096 * mib;
    EXPECT_EQ(ensure(other).error().code, Errc::exhausted);
    EXPECT_TRUE(run(loop, volumes->remove("7-3"))) << "it was refused, so it is nowhere";

    given_two(false);
    EXPECT_TRUE(run(loop, volumes->remove("7-1")));
    EXPECT_EQ(count(), 0U);
}

TEST_F(VolumesTest, MissingImageThatWasUsedIsNotMadeAnew)
{
    std::filesystem::create_directory(folder.path() / "disk");
    given_two(false);
    given_two(true);

    const auto info = pool();
    EXPECT_EQ(info.state, PoolState::failed);
    EXPECT_THAT(info.problem, HasSubstr("that this node has used is missing: mount its disk"));
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "disk"));

    for (const auto& note : std::filesystem::directory_iterator{folder.path() / "state"})
        if (note.path().string().ends_with("first.img")) std::filesystem::remove(note);
    run(loop, volumes->open());
    EXPECT_EQ(pool().state, PoolState::ready) << pool().problem;
}

TEST_F(VolumesTest, CancelledCallHoldsNoRoom)
{
    given({image_pool()});
    int cancelled = 0;
    for (int steps = 1; steps < 12; ++steps) {
        const auto name = "7-" + std::to_string(steps);
        asio::cancellation_signal signal;
        std::optional<bool> ended;
        asio::co_spawn(
            loop,
            volumes->ensure(spec(name, 8 * mib)),
            asio::bind_cancellation_slot(
                signal.slot(), [&](std::exception_ptr failed, Result<Volume>) {
                    cancelled += failed ? 1 : 0;
                    ended = true;
                }));
        loop.restart();
        for (int i = 0; i < steps && !ended; ++i) loop.run_one();
        signal.emit(asio::cancellation_type::terminal);
        while (!ended) loop.run_one();
        ASSERT_TRUE(run(loop, volumes->remove(name)));
        ASSERT_EQ(pool().promised, 0U) << "after " << steps << " steps";
    }
    EXPECT_GE(cancelled, 1);
}

TEST_F(VolumesTest, RemovalsAtOnceLoseNoQuotaGroup)
{
    given({image_pool()});
    const auto quotas = [&] {
        const auto fd = kernel::open_file(pool_path().string(), O_RDONLY);
        return kernel::btrfs::quotas(fd->get())->size();
    };
    const auto before = quotas();
    constexpr int many = 24;
    for (int i = 0; i < many; ++i) ASSERT_TRUE(ensure(spec("7-" + std::to_string(i), mib)));

    int done = 0;
    for (int i = 0; i < many; ++i)
        asio::co_spawn(
            loop,
            volumes->remove("7-" + std::to_string(i)),
            [&](std::exception_ptr failed, Result<> removed) {
                EXPECT_TRUE(!failed && removed);
                ++done;
            });
    // Looked at meanwhile: what vanishes is no failure of the pool.
    while (done < many) {
        EXPECT_EQ(pool().state, PoolState::ready) << pool().problem;
    }

    EXPECT_TRUE(comes_true([&] {
        run(loop, sleep_for(50ms));
        return quotas() == before;
    }));
}

TEST_F(VolumesTest, WhatWasSetAsideByALostClockIsStampedAnew)
{
    given({image_pool()});
    ASSERT_TRUE(ensure(spec("7-1", 32 * mib)));
    std::ofstream{pool_path() / "7-1" / "diary"} << "dear customer";
    ASSERT_TRUE(run(loop, volumes->set_aside("7-1")));
    std::filesystem::rename(pool_path() / pool().kept.at(0), pool_path() / ".znode-kept-86400-7-1");
    const auto now = std::int64_t{std::time(nullptr)};

    EXPECT_EQ(*run(loop, volumes->forget(now - 3600)), 0U);

    ASSERT_EQ(pool().kept.size(), 1U);
    EXPECT_GE(pool().kept_since, now);
    EXPECT_EQ(*kernel::read_file(pool_path() / pool().kept[0] / "diary"), "dear customer");
}

TEST_F(VolumesTest, WhatAnotherNodeHasSetAsideIsLeftAlone)
{
    given({image_pool()});
    ASSERT_TRUE(ensure(spec("7-1", 32 * mib)));
    std::ofstream{pool_path() / "7-1" / "diary"} << "dear customer";
    ASSERT_TRUE(run(loop, volumes->set_aside("7-1")));
    const auto kept = pool().kept.at(0);
    {
        const auto fd = kernel::open_file((pool_path() / kept).string(), O_RDONLY);
        auto mark = *kernel::read_xattr(fd->get(), "trusted.znode");
        mark.replace(mark.find("node-a"), 6, "node-b");
        ASSERT_TRUE(kernel::set_xattr(fd->get(), "trusted.znode", mark));
    }

    EXPECT_EQ(*run(loop, volumes->forget(std::numeric_limits<std::int64_t>::max())), 0U);

    EXPECT_TRUE(std::filesystem::exists(pool_path() / kept / "diary"));
    EXPECT_TRUE(pool().kept.empty());
    EXPECT_THAT(pool().foreign, testing::ElementsAre(kept));
}

TEST_F(VolumesTest, ImagePoolIsAllocatedInFullAndMountedWithoutDevicesAndSetuid)
{
    given({image_pool()});

    const auto info = pool();
    EXPECT_EQ(info.state, PoolState::ready) << info.problem;
    EXPECT_EQ(info.name, "pool");
    EXPECT_GT(info.total, 300 * mib);
    EXPECT_LT(info.total, 512 * mib * 97 / 100 + 1);
    EXPECT_EQ(info.free, info.total);

    struct stat file{};
    ASSERT_EQ(::stat(image().c_str(), &file), 0);
    EXPECT_GE(static_cast<std::uint64_t>(file.st_blocks) * 512, 512 * mib) << "not sparse";
    struct statvfs mounted{};
    ASSERT_EQ(::statvfs(pool_path().c_str(), &mounted), 0);
    EXPECT_TRUE(mounted.f_flag & ST_NODEV);
    EXPECT_TRUE(mounted.f_flag & ST_NOSUID);
    struct stat at{};
    ASSERT_EQ(::stat(pool_path().c_str(), &at), 0);
    EXPECT_EQ(at.st_mode & 0777U, 0711U);

    // Freed blocks stay ours: nothing is punched into the image.
    ASSERT_TRUE(ensure(spec("1-1", 64 * mib)));
    EXPECT_EQ(fill(pool_path() / "1-1/x", 32 * mib).first, 0);
    ASSERT_TRUE(run(loop, volumes->remove("1-1")));
    ASSERT_TRUE(run(loop, volumes->close()));
    ASSERT_EQ(::stat(image().c_str(), &file), 0);
    EXPECT_GE(static_cast<std::uint64_t>(file.st_blocks) * 512, 512 * mib);
}

TEST_F(VolumesTest, FullVolumeIsItsUsersProblemOnly)
{
    given({image_pool()});
    const auto small = ensure(spec("1-1", 32 * mib));
    const auto other = ensure(spec("1-2", 64 * mib));
    ASSERT_TRUE(small) << small.error().message;
    ASSERT_TRUE(other) << other.error().message;

    const auto [err, written] = fill(small->path / "x", 64 * mib);

    EXPECT_EQ(err, EDQUOT);
    EXPECT_GE(written, 32 * mib * 99 / 100);
    EXPECT_LE(written, 32 * mib);
    EXPECT_EQ(fill(other->path / "y", 16 * mib).first, 0);
    std::filesystem::remove(small->path / "x");
    ::sync();
    EXPECT_EQ(fill(small->path / "z", 8 * mib).first, 0);
    EXPECT_TRUE(comes_true([&] { return run(loop, volumes->find("1-2"))->used >= 16 * mib; }));
}

TEST_F(VolumesTest, DeletionLeavesNoSubvolumeAndNoQuotaGroup)
{
    given({image_pool()});
    const auto quotas = [&] {
        const auto fd = kernel::open_file(pool_path().string(), O_RDONLY);
        return kernel::btrfs::quotas(fd->get())->size();
    };
    const auto before = quotas();
    const auto made = ensure(spec("1-1", 32 * mib));
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(quotas(), before + 1);
    {
        // What a customer may do inside: subvolumes of their own.
        const auto fd = kernel::open_file(made->path.string(), O_RDONLY);
        ASSERT_TRUE(kernel::btrfs::create_subvolume(fd->get(), "a"));
        const auto inner = kernel::open_file((made->path / "a").string(), O_RDONLY);
        ASSERT_TRUE(kernel::btrfs::create_subvolume(inner->get(), "b"));
    }
    std::ofstream{made->path / "a" / "b" / "file"} << "x";

    ASSERT_TRUE(run(loop, volumes->remove("1-1")));

    EXPECT_FALSE(std::filesystem::exists(made->path));
    EXPECT_EQ(count(), 0U);
    EXPECT_TRUE(comes_true([&] {
        run(loop, sleep_for(50ms));  // The loop turns: that is where the clean-up runs.
        return quotas() == before;
    }));
    const auto fd = kernel::open_file(pool_path().string(), O_RDONLY);
    EXPECT_TRUE(comes_true([&] {
        run(loop, sleep_for(50ms));
        return kernel::read_xattr(fd->get(), "trusted.znode.dying")->empty();
    }));
    EXPECT_TRUE(run(loop, volumes->remove("1-1"))) << "again";
    EXPECT_TRUE(run(loop, volumes->remove("never-seen")));
}

TEST_F(VolumesTest, RootOfAContainerHasItsTwoFolders)
{
    given({image_pool()});
    auto wanted = spec("3-1", 32 * mib, Purpose::rootfs);
    wanted.uid = wanted.gid = 1'000'000;

    const auto root = ensure(wanted);

    ASSERT_TRUE(root) << root.error().message;
    struct stat upper{};
    struct stat work{};
    struct stat top{};
    ASSERT_EQ(::stat((root->path / "upper").c_str(), &upper), 0);
    ASSERT_EQ(::stat((root->path / "work").c_str(), &work), 0);
    ASSERT_EQ(::stat(root->path.c_str(), &top), 0);
    EXPECT_EQ(upper.st_uid, 1'000'000U);
    EXPECT_EQ(upper.st_gid, 1'000'000U);
    EXPECT_EQ(upper.st_mode & 07777U, 0755U);
    EXPECT_EQ(work.st_uid, 0U);
    EXPECT_EQ(work.st_mode & 07777U, 0700U);
    EXPECT_EQ(top.st_mode & 07777U, 0700U);
}

TEST_F(VolumesTest, RepeatingChangesNothingAndNewSizeIsApplied)
{
    given({image_pool()});
    ASSERT_TRUE(ensure(spec("1-1", 32 * mib)));
    std::ofstream{pool_path() / "1-1" / "kept"} << "x";

    ASSERT_TRUE(ensure(spec("1-1", 32 * mib)));
    EXPECT_TRUE(std::filesystem::exists(pool_path() / "1-1" / "kept"));
    EXPECT_EQ(pool().promised, 32 * mib);

    const auto grown = ensure(spec("1-1", 48 * mib));
    ASSERT_TRUE(grown) << grown.error().message;
    EXPECT_EQ(pool().promised, 48 * mib);
    const auto [err, written] = fill(pool_path() / "1-1/x", 100 * mib);
    EXPECT_EQ(err, EDQUOT);
    EXPECT_GT(written, 47 * mib);

    const auto too_big = ensure(spec("1-1", 4096 * mib));
    ASSERT_FALSE(too_big);
    EXPECT_EQ(too_big.error().code, Errc::exhausted);
}

TEST_F(VolumesTest, SumOfQuotasNeverExceedsWhatCanBeWritten)
{
    given({image_pool()});
    const auto total = pool().total;
    ASSERT_TRUE(ensure(spec("1-1", total - 40 * mib)));

    const auto refused = ensure(spec("1-2", 64 * mib));

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::exhausted);
    EXPECT_THAT(refused.error().message, HasSubstr("asked 64 MiB, "));
    EXPECT_THAT(refused.error().message, HasSubstr(" free of "));
    EXPECT_EQ(count(), 1U);
    // And what was sold can be written.
    const auto [err, written] = fill(pool_path() / "1-1/x", total - 41 * mib);
    EXPECT_EQ(err, 0) << std::strerror(err) << " after " << written / mib << " MiB";
}

TEST_F(VolumesTest, TwoCallsAtOnceAreNotGivenTheSameRoom)
{
    given({image_pool()});
    const auto most = pool().total * 2 / 3;

    int made = 0;
    std::optional<Result<Volume>> first;
    asio::co_spawn(loop, volumes->ensure(spec("1-1", most)), [&](auto, auto got) { first = got; });
    const auto second = ensure(spec("1-2", most));
    while (!first) loop.restart(), loop.run_for(10ms);
    made += *first ? 1 : 0;
    made += second ? 1 : 0;

    EXPECT_EQ(made, 1);
}

TEST_F(VolumesTest, NextRunOfTheAgentAdoptsWhatIsThere)
{
    given({image_pool()});
    ASSERT_TRUE(ensure(spec("1-1", 32 * mib)));

    given({image_pool()});

    EXPECT_EQ(pool().state, PoolState::ready) << pool().problem;
    const auto found = run(loop, volumes->list());
    ASSERT_EQ(found->size(), 1U);
    EXPECT_EQ(found->at(0).gwid, "1-1");
    EXPECT_EQ(found->at(0).owner, "7");
    EXPECT_EQ(found->at(0).bytes, 32 * mib);

    // And after a reboot, when nothing is mounted.
    ASSERT_TRUE(run(loop, volumes->close()));
    given({image_pool()});
    EXPECT_EQ(count(), 1U);
}

TEST_F(VolumesTest, WhatIsNotOursIsLeftAloneAndReported)
{
    given({image_pool()});
    const auto fd = kernel::open_file(pool_path().string(), O_RDONLY);
    ASSERT_TRUE(kernel::btrfs::create_subvolume(fd->get(), "9-9"));
    std::filesystem::create_directory(pool_path() / "zdbx");

    EXPECT_EQ(ensure(spec("9-9", 32 * mib)).error().code, Errc::exists);
    EXPECT_TRUE(run(loop, volumes->remove("9-9")));
    EXPECT_TRUE(run(loop, volumes->remove("zdbx")));

    EXPECT_TRUE(std::filesystem::exists(pool_path() / "9-9"));
    EXPECT_TRUE(std::filesystem::exists(pool_path() / "zdbx"));
    EXPECT_THAT(pool().foreign, testing::UnorderedElementsAre("9-9", "zdbx"));
    EXPECT_EQ(count(), 0U);
}

TEST_F(VolumesTest, ForeignFileInThePlaceOfTheImageIsNotTouched)
{
    std::ofstream{image()} << "my holiday photos";

    given({image_pool()});

    EXPECT_EQ(pool().state, PoolState::failed);
    EXPECT_THAT(pool().problem, HasSubstr("holds something that this agent did not make"));
    EXPECT_EQ(*kernel::read_file(image()), "my holiday photos");
    EXPECT_EQ(ensure(spec("1-1", mib)).error().code, Errc::unavailable);
}

TEST_F(VolumesTest, ForeignFileSystemInThePlaceOfTheImageIsNotTouched)
{
    {
        std::ofstream{image()};
    }
    std::filesystem::resize_file(image(), 256 * mib);
    ASSERT_TRUE(kernel::run_checked({"mkfs.btrfs", "-q", "-L", "private", image().string()}));

    given({image_pool()});

    EXPECT_EQ(pool().state, PoolState::failed);
    EXPECT_FALSE(std::filesystem::exists(pool_path() / "x"));
    const auto fd = kernel::open_file(image().string(), O_RDONLY);
    EXPECT_EQ(kernel::btrfs::read_superblock(fd->get())->label, "private");
}

TEST_F(VolumesTest, ImageLargerThanTheDiskIsRefusedWithNumbers)
{
    given({image_pool(std::uint64_t{1} << 50U)});

    EXPECT_EQ(pool().state, PoolState::failed);
    EXPECT_THAT(pool().problem, HasSubstr("asks for 1 PiB, the disk below has "));
    EXPECT_FALSE(std::filesystem::exists(image()));
    EXPECT_FALSE(std::filesystem::exists(image().string() + ".znode-new"));
}

TEST_F(VolumesTest, HalfMadeImageOfAKilledRunIsMadeAnew)
{
    std::ofstream{image().string() + ".znode-new"} << "half";
    given({image_pool()});
    EXPECT_EQ(pool().state, PoolState::ready) << pool().problem;
    EXPECT_FALSE(std::filesystem::exists(image().string() + ".znode-new"));
}

TEST_F(VolumesTest, SparseImageTakesNothingBeforeItIsUsed)
{
    auto config = image_pool(2048 * mib);
    config.sparse = true;
    given({config});

    EXPECT_EQ(pool().state, PoolState::ready) << pool().problem;
    struct stat file{};
    ASSERT_EQ(::stat(image().c_str(), &file), 0);
    EXPECT_LT(static_cast<std::uint64_t>(file.st_blocks) * 512, 300 * mib);
}

TEST_F(VolumesTest, DirectoryPoolNeedsQuotasOrTheRightToTurnThemOn)
{
    const auto disk = folder.path() / "disk";
    const auto file = folder.path() / "disk.img";
    std::filesystem::create_directory(disk);
    {
        std::ofstream{file};
    }
    std::filesystem::resize_file(file, 512 * mib);
    ASSERT_TRUE(kernel::run_checked({"mkfs.btrfs", "-q", file.string()}));
    {
        const auto device = kernel::attach_loop(file);
        ASSERT_TRUE(device) << device.error().message;
        ASSERT_EQ(::mount(device->path.c_str(), disk.c_str(), "btrfs", 0, nullptr), 0);
    }
    std::ofstream{disk / "somebody elses"} << "data";
    PoolConfig config{.kind = PoolConfig::Kind::directory, .path = disk / "pool"};

    given({config});
    EXPECT_EQ(pool().state, PoolState::failed);
    EXPECT_THAT(pool().problem, HasSubstr("quota = \"enable\""));
    ASSERT_TRUE(run(loop, volumes->close()));

    config.enable_quota = true;
    config.bytes = 256 * mib;
    given({config});
    EXPECT_EQ(pool().state, PoolState::ready) << pool().problem;
    EXPECT_LE(pool().total, 256 * mib);
    const auto made = ensure(spec("1-1", 32 * mib));
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(made->path, pool_path() / "1-1");
    EXPECT_EQ(fill(made->path / "x", 64 * mib).first, EDQUOT);

    // By its own path, where setuid counts, nobody but root comes to a customer's program.
    struct stat closed{};
    ASSERT_EQ(::stat((disk / "pool/.znode").c_str(), &closed), 0);
    EXPECT_EQ(closed.st_mode & 07777U, 0700U);
    EXPECT_TRUE(std::filesystem::exists(disk / "pool/.znode/volumes/1-1/x"));
    EXPECT_FALSE(std::filesystem::exists(disk / "pool/1-1"));
    struct stat at{};
    ASSERT_EQ(::stat(pool_path().c_str(), &at), 0);
    EXPECT_EQ(at.st_mode & 07777U, 0711U) << "others come by the bind";
    struct statvfs mounted{};
    ASSERT_EQ(::statvfs(pool_path().c_str(), &mounted), 0);
    EXPECT_TRUE(mounted.f_flag & ST_NOSUID);

    given({config});
    EXPECT_EQ(count(), 1U);
    EXPECT_EQ(pool().problem, "");

    // As earlier versions made it.
    ASSERT_TRUE(run(loop, volumes->close()));
    std::filesystem::rename(disk / "pool/.znode/volumes/1-1", disk / "pool/1-1");
    std::filesystem::remove_all(disk / "pool/.znode");
    for (int i = 0; i < 2; ++i) {
        given({config});
        EXPECT_EQ(count(), 1U);
        EXPECT_THAT(pool().problem, HasSubstr("close a folder above"));
    }
    ASSERT_TRUE(run(loop, volumes->remove("1-1")));
    ASSERT_TRUE(run(loop, volumes->close()));

    // The mount point of a disk that is missing, on a disk that would do.
    std::filesystem::rename(disk / "pool", disk / "other");
    given({config});
    EXPECT_THAT(pool().problem, HasSubstr("that this node has used is missing"));
    EXPECT_FALSE(std::filesystem::exists(disk / "pool"));
    {
        const auto fd = kernel::open_file(disk.string(), O_RDONLY);
        ASSERT_TRUE(kernel::btrfs::create_subvolume(fd->get(), "pool"));
    }
    run(loop, volumes->open());
    EXPECT_THAT(pool().problem, HasSubstr("that this node has used is missing"));
    volumes.reset();
    ASSERT_EQ(::umount(disk.c_str()), 0);
    EXPECT_TRUE(comes_true([&] { return !*kernel::find_loop(file); }));
}

TEST_F(VolumesTest, DirectoryThatIsNotOnBtrfsIsRefused)
{
    ASSERT_EQ(::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, nullptr), 0);
    given({{.kind = PoolConfig::Kind::directory, .path = folder.path() / "d"}});

    EXPECT_THAT(pool().problem, HasSubstr("is not on btrfs"));

    ASSERT_TRUE(run(loop, volumes->close()));
    volumes.reset();
    ASSERT_EQ(::umount(folder.path().c_str()), 0);
}

}  // namespace
}  // namespace znode::storage
