#include "flist/flists.hpp"

#include <nlohmann/json.hpp>

#include "http/server.hpp"
#include "served.hpp"

namespace znode::flist {
namespace {

constexpr std::chrono::seconds moment{5};

/// A hub: paths to bytes.
struct Hub {
    std::map<std::string, std::string> files;
    bool slow = false;

    Task<http::Reply> answer(std::string target)
    {
        if (slow) co_await sleep_for(std::chrono::minutes{1});
        const auto found = files.find(target);
        http::Reply reply;
        reply.status = found == files.end() ? 404 : 200;
        if (found != files.end()) reply.body = found->second;
        co_return reply;
    }
};

class FlistsTest : public testing::Test {
protected:
    FlistsTest()
    {
        hub.files["/u/small.flist"] = kernel::read_file(test::data + "small.flist").value();
        hub.files["/u/small.flist.md5"] = md5 + "\n";
        server = http::make_server(
            loop,
            [this](const http::Request& request, const http::Peer&) {
                return hub.answer(request.target);
            },
            {},
            silent_log());
        auto listener = listen_tcp(loop, "127.0.0.1", 0).value();
        base = "http://127.0.0.1:" + std::to_string(listener->port());
        server->serve(std::move(listener));
        flists = fresh();
    }
    void TearDown() override
    {
        run(loop, flists->stop());
        run(loop, server->stop(std::chrono::seconds{0}));
        test::expect_nothing_mounted_below(folder.path());
    }

    std::unique_ptr<Flists> fresh(
        std::uint64_t flists_limit = std::uint64_t{1} << 30U,
        const std::string& program = test::program)
    {
        FlistsConfig config;
        config.flists_limit = flists_limit;
        config.cache_dir = folder.path() / "cache";
        config.run_dir = folder.path() / "run";
        config.program = program;
        return make_flists(loop, lane, config, silent_log());
    }
    FlistSpec spec(const std::string& path = "/u/small.flist") const
    {
        return {.url = base + path, .store_url = Secret{test::sample_store}};
    }
    Result<MountedFlist> ensure(FlistSpec wanted) { return run(loop, flists->ensure(wanted)); }
    Result<> remove(const std::string& key) { return run(loop, flists->remove(key)); }
    FlistStatus only() { return run(loop, flists->list()).value().at(0); }

    /// Read on a lane: what is read may hang until the loop has replaced a server.
    Task<std::string> read_on_lane(std::filesystem::path path)
    {
        auto content = co_await lane.run([&] { return kernel::read_file(path); });
        co_return content ? *content : content.error().message;
    }
    std::string read(const std::filesystem::path& path) { return run(loop, read_on_lane(path)); }

    Task<bool> until_replaced(std::uint64_t times)
    {
        for (int i = 0; i < 500; ++i) {
            const auto all = co_await flists->list();
            if (all->at(0).replaced >= times && all->at(0).alive) co_return true;
            co_await sleep_for(std::chrono::milliseconds{10});
        }
        co_return false;
    }

    const std::string md5 = "6b109da967e8046f282cc3e30ef1b325";
    znode::test::TempFolder folder;
    asio::io_context loop{1};
    Blocking lane{2};
    Hub hub;
    std::unique_ptr<http::Server> server;
    std::string base;
    std::unique_ptr<Flists> flists;
};

TEST_F(FlistsTest, AFlistIsDownloadedMountedFoundAgainAndRemoved)
{
    const auto mounted = ensure(spec());
    ASSERT_TRUE(mounted) << mounted.error().message;
    EXPECT_EQ(mounted->md5, md5);
    EXPECT_EQ(mounted->entry_point, (std::vector<std::string>{"/bin/sh", "-c", "echo hi"}));
    EXPECT_EQ(mounted->environment.at("FOO"), "bar");
    EXPECT_EQ(read(mounted->path / "files/hello.txt"), "hello world\n");

    const auto again = ensure(spec());
    ASSERT_TRUE(again);
    EXPECT_EQ(again->path, mounted->path);
    auto shifted_spec = spec();
    shifted_spec.uid_shift = 1'000'000;
    const auto shifted = ensure(shifted_spec);
    ASSERT_TRUE(shifted);
    EXPECT_NE(shifted->key, mounted->key);
    EXPECT_EQ(run(loop, flists->list())->size(), 2U);

    const auto pid = only().server;
    EXPECT_TRUE(remove(mounted->key));
    EXPECT_TRUE(remove(mounted->key));
    EXPECT_TRUE(remove(shifted->key));
    EXPECT_FALSE(kernel::start_time_of(pid));
    EXPECT_TRUE(std::filesystem::is_empty(folder.path() / "run/flist"));
    EXPECT_TRUE(std::filesystem::is_empty(folder.path() / "run/flist-state"));
}

TEST_F(FlistsTest, TwoFirstUsersOfAFlistHaveItLookedAtInTurn)
{
    // Takes its time with a flist, and notes that it was asked.
    const auto slow = folder.path() / "slow";
    const auto asked = folder.path() / "asked";
    std::ofstream{slow} << "#!/bin/sh\nif [ \"$1\" = info ]; then echo x >> " << asked.string()
                        << "; sleep 0.3; fi\nexec " << test::program << " \"$@\"\n";
    std::filesystem::permissions(slow, std::filesystem::perms::owner_all);
    run(loop, flists->stop());
    flists = fresh(std::uint64_t{1} << 30U, slow);

    std::vector<Result<MountedFlist>> both;
    for (const std::uint32_t shift : {0U, 1'000'000U}) {
        auto one = spec();
        one.uid_shift = shift;
        asio::co_spawn(
            loop,
            flists->ensure(one),
            [&](const std::exception_ptr& failed, Result<MountedFlist> got) {
                if (failed) std::rethrow_exception(failed);
                both.push_back(std::move(got));
                if (both.size() == 2) loop.stop();
            });
    }
    loop.restart();
    loop.run();

    ASSERT_EQ(both.size(), 2U);
    for (const auto& mounted : both) {
        ASSERT_TRUE(mounted) << mounted.error().message;
        EXPECT_EQ(mounted->environment.at("FOO"), "bar");
    }
    EXPECT_NE(both[0]->key, both[1]->key);
    EXPECT_EQ(kernel::read_file(asked).value(), "x\n") << "the second reads what the first wrote";
    for (const auto& mounted : both) EXPECT_TRUE(remove(mounted->key));
}

TEST_F(FlistsTest, WhereAStoreMayBeIsTheLastOrdersWord)
{
    const auto mounted = ensure(spec()).value();
    const auto pid = only().server;
    const auto written = [&] {
        const auto state = folder.path() / "run/flist-state" / mounted.key;
        return nlohmann::json::parse(kernel::read_file(state / "mount.json").value())
            .at("remote_store")
            .get<bool>();
    };
    EXPECT_FALSE(written());

    auto elsewhere = spec();
    elsewhere.remote_store = true;
    const auto again = ensure(elsewhere);

    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->key, mounted.key);
    EXPECT_TRUE(written()) << "for the servers to come";
    EXPECT_EQ(only().server, pid);
    ASSERT_TRUE(ensure(spec()));
    EXPECT_FALSE(written());
    EXPECT_TRUE(remove(mounted.key));
}

TEST_F(FlistsTest, AKilledServerIsReplacedUnderItsUsers)
{
    const auto mounted = ensure(spec()).value();
    const auto before = only().server;

    ASSERT_EQ(::kill(before, SIGKILL), 0);

    EXPECT_EQ(read(mounted.path / "files/hello.txt"), "hello world\n");
    EXPECT_TRUE(run(loop, until_replaced(1)));
    EXPECT_NE(only().server, before);
    EXPECT_TRUE(remove(mounted.key));
}

TEST_F(FlistsTest, TheNextAgentAdoptsTheMountAndCanReplaceItsServer)
{
    const auto mounted = ensure(spec()).value();
    const auto pid = only().server;
    run(loop, flists->stop());

    flists = fresh();
    ASSERT_TRUE(run(loop, flists->recover()));

    EXPECT_EQ(only().server, pid);
    EXPECT_TRUE(only().alive);
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    EXPECT_EQ(read(mounted.path / "links/target"), read(mounted.path / "links/rel"));
    EXPECT_TRUE(run(loop, until_replaced(1)));
    EXPECT_TRUE(remove(mounted.key));
}

TEST_F(FlistsTest, AMountWhoseAgentAndServerDiedIsClearedAwayAndMadeAnew)
{
    const auto mounted = ensure(spec()).value();
    const auto pid = only().server;
    run(loop, flists->stop());
    const auto server_process = kernel::Child::adopt(pid, *kernel::start_time_of(pid)).value();
    ASSERT_EQ(::kill(pid, SIGKILL), 0);
    (void)server_process.wait(moment);

    flists = fresh();
    ASSERT_TRUE(run(loop, flists->recover()));
    EXPECT_TRUE(run(loop, flists->list())->empty());
    test::expect_nothing_mounted_below(folder.path());

    const auto anew = ensure(spec());
    ASSERT_TRUE(anew) << anew.error().message;
    EXPECT_EQ(read(anew->path / "files/hello.txt"), "hello world\n");
    EXPECT_TRUE(remove(mounted.key));
}

TEST_F(FlistsTest, AServerWhoseStartWasNeverWrittenDownIsAdopted)
{
    const auto mounted = ensure(spec()).value();
    const auto pid = only().server;
    run(loop, flists->stop());
    const auto file = folder.path() / "run/flist-state" / mounted.key / "mount.json";
    auto record = nlohmann::json::parse(kernel::read_file(file).value());
    record["pid"] = 0;
    record["start_time"] = 0;
    std::ofstream{file, std::ios::trunc} << record.dump();

    flists = fresh();
    ASSERT_TRUE(run(loop, flists->recover()));

    EXPECT_EQ(only().server, pid);
    EXPECT_TRUE(only().alive);
    EXPECT_EQ(read(mounted.path / "files/hello.txt"), "hello world\n");
    EXPECT_TRUE(remove(mounted.key));
    EXPECT_FALSE(kernel::start_time_of(pid));
}

TEST_F(FlistsTest, AnAbandonedDownloadDoesNotBlockTheNextOne)
{
    hub.slow = true;
    const auto abandoned =
        run(loop, with_deadline(std::chrono::milliseconds{300}, "first", flists->ensure(spec())));
    ASSERT_FALSE(abandoned);
    hub.slow = false;

    const auto next =
        run(loop, with_deadline(std::chrono::seconds{20}, "next", flists->ensure(spec())));

    ASSERT_TRUE(next) << next.error().message;
    EXPECT_TRUE(remove(next->key));
}

TEST_F(FlistsTest, WhatNobodyUsesIsDroppedOldestFirstAtTheNextStart)
{
    const auto mounted = ensure(spec()).value();
    run(loop, flists->stop());
    const auto kept = folder.path() / "cache/flists";
    const auto make = [&](const std::string& name, const std::string& content, int hours) {
        std::ofstream{kept / name} << content;
        std::filesystem::last_write_time(
            kept / name, std::filesystem::file_time_type::clock::now() - std::chrono::hours{hours});
    };
    const std::string oldest(32, 'a');
    const std::string older(32, 'b');
    const std::string young(32, 'c');
    make(md5 + ".flist", kernel::read_file(test::data + "small.flist").value(), 99);
    make(oldest + ".flist", std::string(60'000, 'x'), 50);
    make(oldest + ".info", "{}", 50);
    make(older + ".flist", std::string(20'000, 'x'), 40);
    make(young + ".flist", std::string(20'000, 'x'), 0);
    make("url-1", oldest, 50);
    make("url-2", older, 50);
    make("tmp.999999999.1", "half", 2);
    make("tmp.1.1", "half", 2);
    const auto used = std::filesystem::file_size(kept / (md5 + ".flist"));

    flists = fresh(used + 50'000);
    ASSERT_TRUE(run(loop, flists->recover()));

    for (const auto* gone : {".flist", ".info"})
        EXPECT_FALSE(std::filesystem::exists(kept / (oldest + gone)));
    EXPECT_FALSE(std::filesystem::exists(kept / "url-1"));
    EXPECT_FALSE(std::filesystem::exists(kept / "tmp.999999999.1"));
    for (const auto& there : {md5 + ".flist", older + ".flist", young + ".flist"})
        EXPECT_TRUE(std::filesystem::exists(kept / there)) << there;
    EXPECT_TRUE(std::filesystem::exists(kept / "url-2"));
    EXPECT_TRUE(std::filesystem::exists(kept / "tmp.1.1"));  // That process lives.
    EXPECT_TRUE(remove(mounted.key));
}

TEST_F(FlistsTest, AKnownFlistIsMountedWithoutTheHub)
{
    const auto mounted = ensure(spec()).value();
    EXPECT_TRUE(remove(mounted.key));
    run(loop, server->stop(std::chrono::seconds{0}));

    const auto offline = ensure(spec());

    ASSERT_TRUE(offline) << offline.error().message;
    EXPECT_TRUE(remove(offline->key));
}

TEST_F(FlistsTest, WhatIsWrongWithAFlistIsSaid)
{
    hub.files["/u/garbage.flist"] = "this is no flist, whatever its name says";
    hub.files["/u/other.flist"] = "x";
    hub.files["/u/other.flist.md5"] = md5;

    const auto missing = ensure(spec("/u/missing.flist"));
    const auto garbage = ensure(spec("/u/garbage.flist"));
    const auto other = ensure(spec("/u/other.flist"));
    auto by_ftp = spec();
    by_ftp.url = "ftp://hub/x.flist";
    const auto unknown = ensure(by_ftp);

    ASSERT_FALSE(missing || garbage || other || unknown);
    EXPECT_EQ(missing.error().code, Errc::not_found) << missing.error().message;
    EXPECT_EQ(garbage.error().code, Errc::corrupt) << garbage.error().message;
    EXPECT_EQ(unknown.error().code, Errc::invalid) << unknown.error().message;
    EXPECT_TRUE(std::filesystem::is_empty(folder.path() / "run/flist"));
}

TEST_F(FlistsTest, AFlistWithAnotherHashThanAnnouncedIsRefused)
{
    hub.files["/u/small.flist.md5"] = std::string(32, 'a');

    const auto refused = ensure(spec());

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::corrupt);
    EXPECT_NE(refused.error().message.find(md5), std::string::npos) << refused.error().message;
}

}  // namespace
}  // namespace znode::flist
