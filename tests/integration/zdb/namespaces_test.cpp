#include "zdb/namespaces.hpp"

#include <sys/stat.h>

#include <fstream>

#include "live_server.hpp"

namespace znode::zdb {
namespace {

class NamespacesTest : public testing::Test {
protected:
    NamespacesTest()
    {
        spec.pool = "p1";
        spec.data = folder.path() / "data";
        spec.index = folder.path() / "index";
        spec.socket = folder.path() / "run" / "zdb.sock";
        spec.log_file = "/dev/null";
        spec.address = "127.0.0.1";
        spec.port = 0;
        spec.program = std::string{ZNODE_BIN_DIR} + "/znode-zdb";
    }
    ~NamespacesTest() override
    {
        const auto stopped = run(loop, namespaces->stop_server("p1"));
        EXPECT_TRUE(stopped) << stopped.error().message;
        run(loop, namespaces->stop());
        // Whoever inherited it may not have reaped it yet.
        const auto stat = kernel::read_file("/proc/" + std::to_string(server.pid) + "/stat");
        EXPECT_TRUE(!stat || stat->find(") Z ") != std::string::npos);
    }
    void start()
    {
        const auto started = run(loop, namespaces->ensure_server(spec));
        ASSERT_TRUE(started) << started.error().message;
        server = *started;
    }

    test::TempFolder folder;
    asio::io_context loop{1};
    std::unique_ptr<Namespaces> namespaces = make_namespaces(loop, silent_log());
    ServerSpec spec;
    RunningServer server;
};

TEST_F(NamespacesTest, AServerOutlivesItsAgentAndIsAdopted)
{
    start();
    EXPECT_FALSE(server.adopted);
    run(loop, namespaces->stop());
    namespaces = make_namespaces(loop, silent_log());
    const auto first = server.pid;
    start();
    EXPECT_TRUE(server.adopted);
    EXPECT_EQ(server.pid, first);
}

TEST_F(NamespacesTest, AKilledServerIsStartedAgainWithItsNamespaces)
{
    start();
    NamespaceSpec wanted{.name = "1-1", .mode = Mode::sequential, .size = 1 << 20};
    ASSERT_TRUE(run(loop, namespaces->ensure("p1", wanted)));
    ::kill(server.pid, SIGKILL);
    const auto born = kernel::start_time_of(server.pid);
    start();
    EXPECT_FALSE(server.adopted);
    const auto listed = run(loop, namespaces->list("p1"));
    ASSERT_TRUE(listed);
    ASSERT_EQ(listed->size(), 1U);
    EXPECT_EQ(listed->front().name, "1-1");
    EXPECT_EQ(listed->front().size, 1U << 20U);
    EXPECT_EQ(listed->front().mode, Mode::sequential);
}

TEST_F(NamespacesTest, ADeadServerIsStartedAgainWithoutBeingAskedFor)
{
    start();
    const auto first = server.pid;
    ASSERT_TRUE(run(loop, namespaces->ensure("p1", {.name = "1-1", .size = 1 << 20})));
    for (int again = 0; again < 3; ++again) {
        const auto before = server.pid;
        ::kill(before, SIGKILL);
        for (int i = 0; i < 400 && server.pid == before; ++i) {
            run(loop, sleep_for(std::chrono::milliseconds{25}));
            const auto text = kernel::read_file(spec.socket + ".pid");
            if (text && run(loop, namespaces->list("p1"))) server.pid = std::stoi(*text);
        }
        ASSERT_NE(server.pid, before);
    }
    EXPECT_NE(server.pid, first);
    EXPECT_EQ(run(loop, namespaces->list("p1"))->size(), 1U);
}

TEST_F(NamespacesTest, AServerThatDoesNotAnswerIsReplaced)
{
    start();
    const auto first = server.pid;
    ::kill(first, SIGSTOP);
    start();
    EXPECT_NE(server.pid, first);
    EXPECT_FALSE(server.adopted);
}

TEST_F(NamespacesTest, ANamespaceIsPrivateWithItsPasswordAndSize)
{
    start();
    NamespaceSpec wanted{
        .name = "12-4",
        .mode = Mode::sequential,
        .size = 10,
        .password = Secret{"secret"},
        .public_access = false};
    for (int again = 0; again < 2; ++again) {
        const auto made = run(loop, namespaces->ensure("p1", wanted));
        ASSERT_TRUE(made) << made.error().message;
        EXPECT_EQ(made->name, "12-4");
        Talk talk{spec.socket};
        EXPECT_EQ(talk.ask({"SELECT", "12-4"}), "-Namespace protected and private\r\n");
        EXPECT_EQ(talk.ask({"SELECT", "12-4", "wrong"}), "-Access denied\r\n");
        EXPECT_EQ(talk.ask({"SELECT", "12-4", "secret"}), "+OK\r\n");
        if (again == 0)
            EXPECT_EQ(
                talk.ask({"SET", "", "12345"}), std::string("$8\r\n\0\0\0\0\0\0\0\0\r\n", 14));
        EXPECT_EQ(talk.ask({"SET", "", "123456"}), "-No space left on this namespace\r\n");
    }
    wanted.mode = Mode::user;
    EXPECT_EQ(run(loop, namespaces->ensure("p1", wanted)).error().code, Errc::exists);

    EXPECT_TRUE(run(loop, namespaces->remove("p1", "12-4")));
    EXPECT_TRUE(run(loop, namespaces->remove("p1", "12-4")));
    EXPECT_TRUE(run(loop, namespaces->list("p1"))->empty());
}

TEST_F(NamespacesTest, OneThatCouldNotBeLoadedIsListedAsSuch)
{
    start();
    for (const char* name : {"1-1", "1-2"}) {
        ASSERT_TRUE(run(loop, namespaces->ensure("p1", {.name = name, .size = 1 << 20})));
        Talk talk{spec.socket};
        ASSERT_EQ(talk.ask({"SELECT", name}), "+OK\r\n");
        ASSERT_EQ(talk.ask({"SET", "k", "value"}), "$1\r\nk\r\n");
    }
    Talk talk{spec.socket};
    const auto info = talk.ask({"NSINFO", "1-1"});
    const auto path = info.find("data_active: ") + 13;
    const std::filesystem::path segment{info.substr(path, info.find('\n', path) - path)};
    ASSERT_TRUE(run(loop, namespaces->stop_server("p1")));
    {
        std::fstream file{segment, std::ios::in | std::ios::out | std::ios::binary};
        file.seekp(20);
        ASSERT_TRUE(file.write("damage", 6).flush());
    }
    start();

    const auto listed = run(loop, namespaces->list("p1"));

    ASSERT_TRUE(listed);
    ASSERT_EQ(listed->size(), 2U);
    EXPECT_EQ(listed->front().name, "1-1");
    EXPECT_TRUE(listed->front().failed);
    EXPECT_FALSE(listed->back().failed);
    EXPECT_EQ(listed->back().entries, 1U);
}

TEST_F(NamespacesTest, WrongWishesAreRefusedWithWords)
{
    start();
    const NamespaceSpec long_password{.name = "x", .password = Secret{std::string(64, 'p')}};
    EXPECT_EQ(run(loop, namespaces->ensure("p1", long_password)).error().code, Errc::invalid);
    const NamespaceSpec bad_name{.name = "a/b"};
    EXPECT_EQ(run(loop, namespaces->ensure("p1", bad_name)).error().code, Errc::invalid);
    const NamespaceSpec fine{.name = "x"};
    EXPECT_EQ(run(loop, namespaces->ensure("p2", fine)).error().code, Errc::not_found);
    EXPECT_TRUE(run(loop, namespaces->list("p1"))->empty());

    auto other = spec;
    other.pool = "p3";
    other.socket = folder.path() / "run3" / "zdb.sock";
    const auto second = run(loop, namespaces->ensure_server(other));
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("another server has this folder"), std::string::npos)
        << second.error().message;
}

TEST_F(NamespacesTest, AnotherUserServesWhatRootHasServed)
{
    // Its user must reach the program, wherever this test was built.
    ASSERT_EQ(::chmod(folder.path().c_str(), 0711), 0);
    const auto program = folder.path() / "znode-zdb";
    std::filesystem::copy_file(spec.program, program);
    spec.program = program;
    spec.data = folder.path() / "volume" / "data";
    spec.index = folder.path() / "volume" / "index";
    spec.socket = folder.path() / "run" / "p1" / "zdb.sock";
    spec.log_file = folder.path() / "run" / "p1" / "log";
    start();
    ASSERT_TRUE(run(loop, namespaces->ensure("p1", {.name = "1-1", .size = 1 << 20})));
    ASSERT_TRUE(run(loop, namespaces->stop_server("p1")));

    constexpr uid_t user = 54321;
    spec.uid = user;
    spec.gid = user;
    for (int again = 0; again < 2; ++again) {
        start();
        struct stat info{};
        ASSERT_EQ(::stat(("/proc/" + std::to_string(server.pid)).c_str(), &info), 0);
        EXPECT_EQ(info.st_uid, user);
        const auto listed = run(loop, namespaces->list("p1"));
        ASSERT_TRUE(listed) << listed.error().message;
        EXPECT_EQ(listed->size(), 1U);
        for (const auto& file : std::filesystem::recursive_directory_iterator{spec.data}) {
            ASSERT_EQ(::lstat(file.path().c_str(), &info), 0);
            EXPECT_EQ(info.st_uid, user) << file.path();
        }
        ASSERT_TRUE(run(loop, namespaces->ensure("p1", {.name = "1-2", .size = 1 << 20})));
        ASSERT_TRUE(run(loop, namespaces->remove("p1", "1-2")));
        ASSERT_TRUE(run(loop, namespaces->stop_server("p1")));
    }
}

TEST_F(NamespacesTest, NobodyWritesIntoDefault)
{
    for (int again = 0; again < 2; ++again) {
        start();
        Talk talk{spec.socket};
        EXPECT_EQ(talk.ask({"PING"}), "+PONG\r\n");
        EXPECT_EQ(
            talk.ask({"SET", "key", "value"}),
            "-Namespace is temporarily frozen (read-write disabled)\r\n");
        ::kill(server.pid, SIGKILL);
    }
    start();
}

TEST_F(NamespacesTest, TheSocketIsForTheOwnerOnly)
{
    start();
    struct stat status{};
    ASSERT_EQ(::stat(spec.socket.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

}  // namespace
}  // namespace znode::zdb
