#include "logs/shipper.hpp"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logs/folder_watch.hpp"
#include "redis/connection.hpp"
#include "redis_server.hpp"
#include "segment_writer.hpp"
#include "temp_folder.hpp"

namespace znode::logs {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr auto patience = 60s;

class MemoryCursors final : public Cursors {
public:
    Task<Result<std::optional<Noted>>> load(std::string key) override
    {
        const auto hit = all.find(key);
        if (hit == all.end()) co_return std::optional<Noted>{};
        co_return std::optional{hit->second};
    }
    Task<Result<>> store(std::string key, Cursor cursor) override
    {
        all[key].cursor = cursor;
        co_return Result<>{};
    }
    void note(const std::string& key, const Noted& noted) override { all[key] = noted; }
    Task<Result<>> forget(std::string prefix) override
    {
        std::erase_if(all, [&](const auto& entry) { return entry.first.starts_with(prefix); });
        co_return Result<>{};
    }
    std::map<std::string, Noted> all;
};

class ShipperTest : public testing::Test {
protected:
    void SetUp() override { renew(); }
    void TearDown() override
    {
        run(loop, shippers->stop());
        run(loop, watch.stop());
    }

    /// A new life of the agent.
    void renew()
    {
        if (shippers) run(loop, shippers->stop());
        shippers = make_shippers(
            loop,
            disks,
            watch,
            cursors,
            nullptr,
            silent_log(),
            {.patience = 10s, .first_retry = 5ms, .slowest_retry = 50ms});
    }

    std::string url(const std::string& password, const std::string& channel) const
    {
        return "redis://:" + password + "@127.0.0.1:" + server.port() + "/" + channel;
    }
    Result<> ensure(const std::string& password)
    {
        std::vector<LogTarget> targets{
            {Secret{url(password, "c-stdout")}, Secret{url(password, "c-stderr")}}};
        return run(loop, shippers->ensure("12-1", std::move(targets), path()));
    }

    /// Listens on both channels; further commands are sent by `configure`.
    void subscribe(const std::string& password)
    {
        redis::Server who{
            .endpoint = {.host = "127.0.0.1", .port = server.port()}, .password = Secret{password}};
        auto opened = run(loop, redis::Connection::open(who, 20s));
        ASSERT_TRUE(opened) << opened.error().message;
        subscriber = *std::move(opened);
        std::vector<std::string> words{"PSUBSCRIBE", "c-*"};
        ASSERT_TRUE(run(loop, subscriber->command(words, 20s)));
    }
    void configure(const std::string& password, std::vector<std::string> command)
    {
        redis::Server who{
            .endpoint = {.host = "127.0.0.1", .port = server.port()}, .password = Secret{password}};
        auto opened = run(loop, redis::Connection::open(who, 20s));
        ASSERT_TRUE(opened) << opened.error().message;
        ASSERT_TRUE(run(loop, (*opened)->command(std::move(command), 20s)));
    }

    /// The next lines that arrive, "c-stdout: text".
    std::vector<std::string> receive(std::size_t count)
    {
        std::vector<std::string> got;
        while (got.size() < count) {
            const auto reply = run(loop, subscriber->receive(patience));
            EXPECT_TRUE(reply) << reply.error().message;
            if (!reply || reply->items.size() != 4) break;
            got.push_back(
                std::next(reply->items.begin(), 2)->text + ": " + reply->items.back().text);
        }
        return got;
    }

    std::vector<ShipperStatus> status() { return run(loop, shippers->status()); }
    template <class Fact>
    bool comes_true(Fact fact)
    {
        const auto end = Clock::now() + patience;
        while (Clock::now() < end) {
            if (fact()) return true;
            run(loop, sleep_for(2ms));
        }
        return fact();
    }

    std::filesystem::path path() const { return folder.path() / "12-1"; }

    test::TempFolder folder;
    test::RedisServer server{folder.path()};
    asio::io_context loop{1};
    Blocking disks{2};
    FolderWatch watch{loop};
    MemoryCursors cursors;
    std::unique_ptr<Shippers> shippers;
    std::unique_ptr<redis::Connection> subscriber;
};

TEST_F(ShipperTest, LinesArriveInOrderOnTheirChannelByteForByte)
{
    server.start("pw");
    subscribe("pw");
    test::SegmentWriter writer{path()};
    writer.out("before\n");
    ASSERT_TRUE(ensure("pw"));
    EXPECT_THAT(receive(1), ElementsAre("c-stdout: before\n"));

    const std::string odd{"\0\xff\r $9\r\n", 8};
    writer.out(odd + "second\n");
    EXPECT_THAT(receive(2), ElementsAre("c-stdout: " + odd, "c-stdout: second\n"));
    writer.rotate();
    writer.err("oops\n");
    EXPECT_THAT(receive(1), ElementsAre("c-stderr: oops\n"));

    EXPECT_TRUE(comes_true([&] { return status()[0].sent_lines + status()[1].sent_lines == 4; }));
    EXPECT_TRUE(comes_true([&] { return status()[0].pending_bytes == 0; }));
    EXPECT_EQ(status()[0].problem, "");
    EXPECT_THAT(status()[0].target, testing::Not(HasSubstr("pw")));
}

TEST_F(ShipperTest, OutageLosesNoLine)
{
    server.start("pw");
    subscribe("pw");
    test::SegmentWriter writer{path()};
    ASSERT_TRUE(ensure("pw"));
    writer.out("1\n");
    EXPECT_THAT(receive(1), ElementsAre("c-stdout: 1\n"));
    EXPECT_TRUE(comes_true([&] { return status()[1].sent_lines + status()[0].sent_lines == 1; }));

    server.kill();
    for (int i = 2; i <= 5000; ++i) {
        writer.out(std::to_string(i) + "\n");
        if (i % 1000 == 0) writer.rotate();
    }
    EXPECT_TRUE(comes_true([&] { return !status()[1].problem.empty(); }));
    EXPECT_GT(status()[1].pending_bytes, 0U);

    // Nobody listens when a server has just started: until then it refuses the shipper.
    server.start("other");
    subscribe("other");
    configure("other", {"CONFIG", "SET", "requirepass", "pw"});

    const auto got = receive(4999);
    ASSERT_EQ(got.size(), 4999U);
    for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_EQ(got[i], "c-stdout: " + std::to_string(i + 2) + "\n");
}

TEST_F(ShipperTest, WrongPasswordIsAProblemToSeeAndEndsWhenItIsRight)
{
    server.start("right");
    test::SegmentWriter writer{path()};
    writer.out("waits\n");
    ASSERT_TRUE(ensure("wrong"));

    EXPECT_TRUE(comes_true([&] { return !status()[1].problem.empty(); }));
    EXPECT_THAT(status()[1].problem, HasSubstr("password"));
    EXPECT_THAT(status()[1].problem, testing::Not(HasSubstr("wrong")));
    EXPECT_FALSE(status()[1].connected);

    subscribe("right");
    ASSERT_TRUE(ensure("right"));
    EXPECT_THAT(receive(1), ElementsAre("c-stdout: waits\n"));
    EXPECT_TRUE(comes_true([&] { return status()[1].problem.empty(); }));
}

TEST_F(ShipperTest, BrokenConnectionsRepeatAtMostAndLeaveOutNothing)
{
    server.start("pw");
    subscribe("pw");
    test::SegmentWriter writer{path()};
    constexpr int count = 30'000;
    for (int i = 0; i < count; i += 100) {
        std::string text;
        for (int j = i; j < i + 100; ++j) text += std::to_string(j) + "\n";
        writer.out(text);
    }
    ASSERT_TRUE(ensure("pw"));

    int expected = 0;
    int kills = 0;
    std::size_t taken = 0;
    while (expected < count) {
        const auto got = receive(1);
        ASSERT_EQ(got.size(), 1U);
        const int number = std::stoi(got[0].substr(got[0].find(' ')));
        ASSERT_LE(number, expected) << "a line was left out";
        if (number == expected) ++expected;
        if (++taken % 5000 == 0 && kills < 4) {
            ++kills;
            configure("pw", {"CLIENT", "KILL", "TYPE", "normal"});
        }
    }
    EXPECT_GT(kills, 0);
}

TEST_F(ShipperTest, NextRunOfTheAgentGoesOnAtTheCursor)
{
    server.start("pw");
    subscribe("pw");
    test::SegmentWriter writer{path()};
    writer.out("1\n2\n");
    ASSERT_TRUE(ensure("pw"));
    EXPECT_EQ(receive(2).size(), 2U);
    EXPECT_TRUE(comes_true([&] { return status()[1].sent_lines + status()[0].sent_lines == 2; }));

    renew();
    writer.out("3\n");
    ASSERT_TRUE(ensure("pw"));
    EXPECT_THAT(receive(1), ElementsAre("c-stdout: 3\n"));
    ASSERT_TRUE(ensure("pw")) << "again";
    EXPECT_EQ(status().size(), 2U);
}

TEST_F(ShipperTest, RemovalSendsTheLastLinesAndForgets)
{
    server.start("pw");
    subscribe("pw");
    test::SegmentWriter writer{path()};
    ASSERT_TRUE(ensure("pw"));
    writer.out("last\n");
    ASSERT_TRUE(run(loop, shippers->remove("12-1", 30s)));

    EXPECT_THAT(receive(1), ElementsAre("c-stdout: last\n"));
    EXPECT_TRUE(cursors.all.empty());
    EXPECT_TRUE(status().empty());
    EXPECT_TRUE(run(loop, shippers->remove("12-1", 0s)));
}

TEST_F(ShipperTest, LinesAboveAMebibyteGoOutInPieces)
{
    server.start("pw");
    subscribe("pw");
    test::SegmentWriter writer{path()};
    const std::string part(max_payload, 'x');
    for (int i = 0; i < 40; ++i) {
        const std::uint8_t continues = i == 0 ? 0 : flag_continues;
        writer.out(part, continues | flag_open);
    }
    writer.out("end\n", flag_continues);
    ASSERT_TRUE(ensure("pw"));

    std::string whole;
    std::size_t pieces = 0;
    while (!whole.ends_with('\n')) {
        const auto got = receive(1);
        ASSERT_EQ(got.size(), 1U);
        ASSERT_LE(got[0].size(), (1U << 20U) + 10);
        whole += got[0].substr(10);
        ++pieces;
    }
    EXPECT_EQ(pieces, 3U);
    EXPECT_EQ(whole.size(), 40 * std::size_t{max_payload} + 4);
}

TEST_F(ShipperTest, TargetThatMakesNoSenseIsRefusedWithoutShowingIt)
{
    std::vector<LogTarget> targets{{Secret{"redis://:hush@host"}, Secret{}}};
    const auto refused = run(loop, shippers->ensure("12-1", std::move(targets), path()));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::invalid);
    EXPECT_THAT(refused.error().message, HasSubstr("no channel"));
    EXPECT_THAT(refused.error().message, testing::Not(HasSubstr("hush")));
}

TEST_F(ShipperTest, ManyLinesTakeLittleTime)
{
    server.start("pw");
    test::SegmentWriter writer{path()};
    constexpr std::uint64_t count = 200'000;
    const std::string line = std::string(99, 'x') + "\n";
    std::string text;
    for (int i = 0; i < 600; ++i) text += line;
    std::uint64_t written = 0;
    for (; written < count; written += 600) writer.out(text);

    const auto begin = Clock::now();
    ASSERT_TRUE(ensure("pw"));
    ASSERT_TRUE(comes_true([&] { return status()[1].sent_lines == written; }));
    const auto took = std::chrono::duration<double>(Clock::now() - begin).count();
    std::printf("shipped %.0f lines/s\n", static_cast<double>(written) / took);
}

}  // namespace
}  // namespace znode::logs
