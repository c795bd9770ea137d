#include "volumes_fixture.hpp"

namespace znode::storage {

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

TEST_F(VolumesTest, RemovalWaitsForTheToldPoolOnly)
{
    given_an_absent_pool_with("7-1");
    EXPECT_TRUE(run(loop, volumes->remove("8-1", "second")));
    EXPECT_FALSE(run(loop, volumes->remove("7-1", "first")));
    EXPECT_FALSE(run(loop, volumes->remove("9-1")));
    const auto found = run(loop, volumes->find("8-1", "second"));
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, Errc::not_found);
}

TEST_F(VolumesTest, PoolThatWasNeverUsedHoldsNothing)
{
    const auto plain = folder.path() / "plain";
    std::filesystem::create_directory(plain);
    given({image_pool()});
    given({image_pool(), {.kind = PoolConfig::Kind::directory, .path = plain}});
    const auto pools = run(loop, volumes->pools());
    ASSERT_EQ(pools.at(1).state, PoolState::failed);
    EXPECT_FALSE(pools.at(1).may_hold);

    const auto found = run(loop, volumes->find("7-1"));
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code, Errc::not_found);
    EXPECT_TRUE(run(loop, volumes->remove("7-1")));
    EXPECT_TRUE(ensure(spec("7-1", 32 * mib)));
}

TEST_F(VolumesTest, PoolThatIsAwayWhenNotesBeginIsWaitedForUntilItIsSeen)
{
    const auto plain = folder.path() / "plain";
    std::filesystem::create_directory(plain);
    const auto both = [&] {
        given({image_pool(), {.kind = PoolConfig::Kind::directory, .path = plain}});
    };
    for (int start = 1; start < 4; ++start) {
        both();
        ASSERT_EQ(run(loop, volumes->pools()).at(1).state, PoolState::failed);
        EXPECT_TRUE(run(loop, volumes->pools()).at(1).may_hold) << "start " << start;
        const auto made = ensure(spec("7-1", 32 * mib));
        ASSERT_FALSE(made) << "start " << start;
        EXPECT_EQ(made.error().code, Errc::unavailable);
    }
    EXPECT_EQ(count(), 0U);
}

TEST_F(VolumesTest, PoolIsTakenIntoUseOnlyIfThatCanBeNoted)
{
    given({image_pool()});
    // Neither the note can be written nor the file go that says that there is none to come.
    const auto second = folder.path() / "second.img";
    const auto state = folder.path() / "state";
    for (const auto& file : std::filesystem::directory_iterator{state}) {
        auto name = file.path().string();
        if (!name.ends_with("pool.img")) continue;
        name.replace(name.size() - 8, 8, "second.img.new");
        std::filesystem::create_directories(std::filesystem::path{name} / "in the way");
    }
    std::filesystem::remove(state / ".complete");
    std::filesystem::create_directories(state / ".complete" / "in the way");
    const auto both = [&] {
        given({image_pool(), {.path = second, .bytes = 300 * mib, .sparse = true}});
    };

    both();
    const auto refused = run(loop, volumes->pools()).at(1);
    EXPECT_EQ(refused.state, PoolState::failed);
    EXPECT_THAT(refused.problem, HasSubstr("note the use of the pool"));
    std::filesystem::remove_all(state / ".complete");
    run(loop, volumes->open());
    const auto open = run(loop, volumes->pools()).at(1);

    EXPECT_EQ(open.state, PoolState::ready) << open.problem;
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

TEST_F(VolumesTest, FullDiskBelowASparsePoolRefusesNewWorkAndHarmsNobody)
{
    const auto disk = folder.path() / "small";
    std::filesystem::create_directory(disk);
    ASSERT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=400m"), 0);
    PoolConfig config{
        .kind = PoolConfig::Kind::image, .path = disk / "pool.img", .bytes = 256 * mib};
    config.sparse = true;
    given({config});
    ASSERT_EQ(pool().state, PoolState::ready) << pool().problem;
    const auto before = ensure(spec("1-1", 32 * mib));
    ASSERT_TRUE(before) << before.error().message;

    // A few MiB are left, for what runs: btrfs dies of a disk that is full to the last byte.
    struct statvfs room{};
    ASSERT_EQ(::statvfs(disk.c_str(), &room), 0);
    kernel::Fd filler{::open((disk / "filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
    ASSERT_EQ(
        ::posix_fallocate(
            filler.get(), 0, static_cast<off_t>(room.f_bavail * room.f_bsize - 12 * mib)),
        0);

    EXPECT_EQ(pool().state, PoolState::full);
    EXPECT_THAT(pool().problem, HasSubstr("less than 5 % free"));
    EXPECT_FALSE(ensure(spec("2-1", 16 * mib)));
    EXPECT_EQ(fill(before->path / "x", mib).first, 0);

    ASSERT_EQ(::unlink((disk / "filler").c_str()), 0);
    filler.close();
    EXPECT_EQ(pool().state, PoolState::ready) << pool().problem;
    EXPECT_TRUE(ensure(spec("2-1", 16 * mib)));

    ASSERT_TRUE(run(loop, volumes->close()));
    volumes.reset();
    EXPECT_TRUE(comes_true([&] { return !*kernel::find_loop(config.path); }));
    // Who else had the loop device open may be the last one to close it.
    ASSERT_TRUE(comes_true([&] { return ::umount(disk.c_str()) == 0; }));
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

}  // namespace znode::storage
