#include "volumes_fixture.hpp"

namespace znode::storage {

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

}  // namespace znode::storage
