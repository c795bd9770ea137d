#pragma once
// Pools on real images in a mount namespace of the test's own.

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
#include "storage/volumes.hpp"
#include "temp_folder.hpp"

namespace znode::storage {

using namespace std::chrono_literals;
using testing::HasSubstr;

inline constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

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

}  // namespace znode::storage
