#include "reload.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <cstdlib>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include "async/task_group.hpp"
#include "kernel/fd.hpp"
#include "temp_folder.hpp"

namespace znode::agent {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

/// What systemd would hear.
class Manager {
public:
    Manager()
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const auto path = (folder_.path() / "notify").string();
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        EXPECT_EQ(
            ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    ~Manager() { ::unsetenv("NOTIFY_SOCKET"); }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    std::string heard()
    {
        char buffer[256];
        const auto got = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        return got < 0 ? "" : std::string{buffer, static_cast<std::size_t>(got)};
    }

private:
    test::TempFolder folder_;
    kernel::Fd socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

class ReloadTest : public testing::Test {
protected:
    ReloadTest() { log->set_level(spdlog::level::info); }

    asio::io_context loop;
    Blocking disks{1};
    std::ostringstream said;
    Log log = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(said, true));
    Result<Config> file;
    Reloader reloader{{loop, disks, Config{}, [this] { return file; }, log}};
};

TEST_F(ReloadTest, TheLogLevelChangesAndTheRestIsNamed)
{
    file->node.log_level = "debug";
    file->node.farm_id = 8;
    file->storage.undelete = 1h;

    ASSERT_TRUE(run(loop, reloader.reload()));

    EXPECT_EQ(log->level(), spdlog::level::debug);
    EXPECT_THAT(said.str(), HasSubstr("node.log_level is debug"));
    EXPECT_THAT(said.str(), HasSubstr("node.farm_id has changed and needs a restart"));
    EXPECT_THAT(said.str(), HasSubstr("storage.undelete has changed and needs a restart"));
    EXPECT_THAT(said.str(), Not(HasSubstr("node.log_level has changed")));
}

TEST_F(ReloadTest, AWrongFileChangesNothing)
{
    file = fail(Errc::invalid, "z.toml:3: node.farm_id must be a whole number");

    EXPECT_FALSE(run(loop, reloader.reload()));

    EXPECT_EQ(log->level(), spdlog::level::info);
    EXPECT_THAT(said.str(), HasSubstr("the old one stays in force"));
    EXPECT_THAT(said.str(), HasSubstr("z.toml:3"));
}

TEST_F(ReloadTest, ASignalReloadsAndTheManagerHearsOfIt)
{
    Manager manager;
    file->node.log_level = "warn";
    TaskGroup group{loop};
    group.spawn(reloader.run());

    for (int twice = 0; twice < 2; ++twice) {
        ::raise(SIGHUP);
        std::string first;
        std::string second;
        for (int i = 0; i < 200 && second.empty(); ++i) {
            run(loop, sleep_for(10ms));
            if (first.empty()) first = manager.heard();
            if (!first.empty()) second = manager.heard();
        }
        EXPECT_THAT(first, testing::StartsWith("RELOADING=1\nMONOTONIC_USEC="));
        EXPECT_EQ(second, "READY=1");
    }
    EXPECT_EQ(log->level(), spdlog::level::warn);
    run(loop, group.drain());
}

}  // namespace
}  // namespace znode::agent
