// A shipper that is killed, in a process of its own.

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "kernel/holder.hpp"
#include "logs/cursor_page.hpp"
#include "logs/folder_watch.hpp"
#include "logs/shipper.hpp"
#include "redis/connection.hpp"
#include "redis_server.hpp"
#include "segment_writer.hpp"
#include "temp_folder.hpp"

namespace znode::logs {
namespace {

using namespace std::chrono_literals;

/// Pages only, as an agent has them that is killed: nothing is stored in between.
class PageCursors final : public Cursors {
public:
    explicit PageCursors(std::filesystem::path folder) : folder_{std::move(folder)} {}
    Task<Result<std::optional<Noted>>> load(std::string key) override
    {
        co_return page(key).read();
    }
    Task<Result<>> store(std::string /*key*/, Cursor /*cursor*/) override { co_return Result<>{}; }
    void note(const std::string& key, const Noted& noted) override { page(key).write(noted); }
    Task<Result<>> forget(std::string /*prefix*/) override { co_return Result<>{}; }

private:
    CursorPage& page(std::string key)
    {
        std::ranges::replace(key, '/', '.');
        auto hit = pages_.find(key);
        if (hit == pages_.end())
            hit = pages_.emplace(key, CursorPage::open(folder_ / key).value()).first;
        return hit->second;
    }
    std::filesystem::path folder_;
    std::map<std::string, CursorPage> pages_;
};

/// No member here may have a thread: this process forks.
class KilledShipperTest : public testing::Test {
protected:
    void SetUp() override
    {
        server.start("pw");
        // It would take this process into its mounts.
        const auto starter = ::fork();
        if (starter == 0)
            ::_exit(
                kernel::enter_or_start_holder(
                    {.run_dir = run_dir,
                     .program = std::filesystem::path{ZNODE_BIN_DIR} / "znode-holder",
                     .cgroup_root = "/znode-t" + std::to_string(::getppid())})
                    ? 0
                    : 1);
        int status = -1;
        ::waitpid(starter, &status, 0);
        ASSERT_EQ(status, 0) << "no holder";

        redis::Server who{
            .endpoint = {.host = "127.0.0.1", .port = server.port()}, .password = Secret{"pw"}};
        auto opened = run(loop, redis::Connection::open(who, 20s));
        ASSERT_TRUE(opened) << opened.error().message;
        subscriber = *std::move(opened);
        std::vector<std::string> words{"SUBSCRIBE", "c-stdout"};
        ASSERT_TRUE(run(loop, subscriber->command(words, 20s)));
    }
    void TearDown() override
    {
        end_agent();
        EXPECT_TRUE(kernel::stop_holder(run_dir));
    }

    void begin_agent()
    {
        agent = ::fork();
        if (agent == 0) ship();
    }
    void end_agent()
    {
        if (agent <= 0) return;
        ::kill(agent, SIGKILL);
        ::waitpid(std::exchange(agent, 0), nullptr, 0);
    }

    /// One life of an agent; ends by a signal only.
    [[noreturn]] void ship() const
    {
        asio::io_context mine{1};
        Blocking disks{1};
        FolderWatch watch{mine};
        PageCursors cursors{folder.path()};
        const kernel::DescriptorStore kept{run_dir};
        const auto shippers = make_shippers(mine, disks, watch, cursors, &kept, silent_log());
        std::vector<LogTarget> targets{
            {Secret{"redis://:pw@127.0.0.1:" + server.port() + "/c-stdout"}, {}}};
        (void)run(mine, shippers->ensure("12-1", std::move(targets), logs_dir));
        for (;;) run(mine, sleep_for(1h));
    }

    /// The number of the next line that arrives; -1 when none does.
    int next_number()
    {
        const auto reply = run(loop, subscriber->receive(30s));
        if (!reply || reply->items.size() != 3) return -1;
        return std::stoi(reply->items.back().text);
    }

    /// The connections to log targets that the holder keeps. Its own socket and who asks at it are
    /// of another kind: those come and go while one looks.
    int tcp_sockets_of_holder() const
    {
        const auto holder = kernel::find_holder(run_dir);
        if (!holder) return -1;
        const auto of_holder = "/proc/" + std::to_string(holder->pid);
        std::set<std::string> held;
        for (const auto& entry : std::filesystem::directory_iterator{of_holder + "/fd"}) {
            std::error_code gone;
            held.insert(std::filesystem::read_symlink(entry.path(), gone).string());
        }
        int count = 0;
        for (const auto* family : {"/net/tcp", "/net/tcp6"}) {
            std::ifstream table{of_holder + family};
            std::string line;
            std::getline(table, line);  // Its heads.
            while (std::getline(table, line)) {
                std::istringstream words{line};
                std::string inode;
                for (int column = 0; column < 10; ++column) words >> inode;
                if (held.contains("socket:[" + inode + "]")) ++count;
            }
        }
        return count;
    }

    test::TempFolder folder;
    std::filesystem::path run_dir = folder.path() / "run";
    std::filesystem::path logs_dir = folder.path() / "12-1";
    test::RedisServer server{folder.path()};
    asio::io_context loop{1};
    std::unique_ptr<redis::Connection> subscriber;
    pid_t agent = 0;
};

TEST_F(KilledShipperTest, NoLineIsLostAndNoneComesTwice)
{
    constexpr int count = 120'000;
    constexpr int lives = 40;
    test::SegmentWriter writer{logs_dir};
    for (int i = 0; i < count; i += 100) {
        std::string text;
        for (int j = i; j < i + 100; ++j) text += std::to_string(j) + "\n";
        writer.out(text);
        // What the shipper of the other stream would send leaves no gap in this one.
        if (i % 700 == 0) writer.err("between\n");
    }
    const auto seed = std::random_device{}();
    std::mt19937 chance{seed};
    std::uniform_int_distribution<int> taken{0, count / lives};

    int expected = 0;
    for (int life = 0; life < lives; ++life) {
        begin_agent();
        const int until = life + 1 == lives ? count : std::min(count, expected + taken(chance));
        while (expected < until) {
            const int number = next_number();
            ASSERT_EQ(number, expected) << "in life " << life << " of seed " << seed;
            ++expected;
        }
        end_agent();
    }
    EXPECT_EQ(expected, count);
}

TEST_F(KilledShipperTest, RemovalEndsTheConnectionOfARunThatWasKilled)
{
    ASSERT_EQ(tcp_sockets_of_holder(), 0);
    test::SegmentWriter writer{logs_dir};
    writer.out("0\n");
    begin_agent();
    EXPECT_EQ(next_number(), 0);
    for (int wait = 0; wait < 10'000 && tcp_sockets_of_holder() == 0; ++wait) ::usleep(1000);
    end_agent();
    ASSERT_EQ(tcp_sockets_of_holder(), 1);

    // The next run removes the container before it has begun to send anything of it.
    Blocking disks{1};
    FolderWatch watch{loop};
    PageCursors cursors{folder.path()};
    const kernel::DescriptorStore kept{run_dir};
    const auto shippers = make_shippers(loop, disks, watch, cursors, &kept, silent_log());
    EXPECT_TRUE(run(loop, shippers->remove("12-1", 1s)));

    EXPECT_EQ(tcp_sockets_of_holder(), 0);
}

}  // namespace
}  // namespace znode::logs
