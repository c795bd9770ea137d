#include <gtest/gtest.h>

#include "async/task_group.hpp"
#include "core.hpp"
#include "small_grid.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;
using test::SmallGrid;

http::Request user_named(const std::string& name, std::size_t length = 0)
{
    const auto email = name + std::string(length, 'x') + "@example.com";
    const Json body{{"name", name}, {"email", email}, {"pubkey", std::string(64, 'a')}};
    return {.method = http::Method::post, .target = "/api/v1/users", .body = body.dump()};
}

class TogetherTest : public testing::Test {
protected:
    TogetherTest()
    {
        Options options;
        options.data = folder.path() / "explorer";
        auto opened = Core::open(std::move(options), silent_log());
        if (!opened) throw std::runtime_error{opened.error().message};
        core = *std::move(opened);
    }

    std::vector<http::Reply> ask(const std::vector<http::Request>& requests)
    {
        std::vector<const http::Request*> all;
        for (const auto& request : requests) all.push_back(&request);
        std::vector<http::Reply> replies;
        for (auto& reply : core->handle_all(all, 1'600'000'000))
            replies.push_back(reply ? *std::move(reply) : http::Reply{.status = 0});
        return replies;
    }
    std::int64_t users() { return core->db.integer("SELECT count(*) FROM user").value().value(); }

    test::TempFolder folder;
    std::unique_ptr<Core> core;
};

TEST_F(TogetherTest, EachIsAnsweredForItself)
{
    const auto replies = ask(
        {user_named("alice"),
         user_named("alice"),
         {.target = "/api/v1/users/1"},
         {.method = http::Method::post, .target = "/api/v1/users", .body = "{"},
         user_named("bob"),
         {.target = "/api/v1/users?name=bob"}});

    ASSERT_EQ(replies.size(), 6U);
    EXPECT_EQ(replies[0].status, 201U);
    EXPECT_EQ(replies[1].status, 409U);
    EXPECT_EQ(replies[2].status, 200U);
    EXPECT_EQ(replies[3].status, 400U);
    EXPECT_EQ(replies[4].status, 201U);
    EXPECT_EQ(SmallGrid::json(replies[5]).size(), 1U);
    EXPECT_EQ(users(), 2);
}

TEST_F(TogetherTest, WhoReadsWaitsForTheNextVisitWhenAnswersAreMany)
{
    const http::Request list{.target = "/api/v1/users"};
    const auto first = user_named("alice");
    const auto second = user_named("bob");
    const auto replies = core->handle_all({&list, &list, &first, &second}, 1'600'000'000, 1);

    ASSERT_EQ(replies.size(), 4U);
    EXPECT_TRUE(replies[0]) << "at least one is answered";
    EXPECT_FALSE(replies[1]);
    ASSERT_TRUE(replies[2]);
    ASSERT_TRUE(replies[3]);
    EXPECT_EQ(replies[2]->status, 201U);
    EXPECT_EQ(replies[3]->status, 201U);
}

TEST_F(TogetherTest, WhenTheDiskIsFullWhoHasRoomIsTakenAndWhoHasNoneIsTold)
{
    const auto pages = core->db.integer("PRAGMA page_count").value().value();
    ASSERT_TRUE(
        core->db.query("PRAGMA max_page_count = " + std::to_string(pages + 4), {}, [](const auto&) {
            return true;
        }));
    std::vector<http::Request> requests;
    for (int i = 0; i < 8; ++i) requests.push_back(user_named("user" + std::to_string(i), 3000));
    requests.push_back({.target = "/api/v1/prices"});

    const auto replies = ask(requests);

    std::int64_t taken = 0;
    for (const auto& reply : replies) taken += reply.status == 201U ? 1 : 0;
    EXPECT_EQ(replies.back().status, 200U);
    EXPECT_GT(taken, 0);
    EXPECT_LT(taken, 8);
    EXPECT_EQ(users(), taken) << "who was told so is there, and nobody else";
}

TEST(TogetherServerTest, RequestsThatComeWhileTheDatabaseIsBusyAreAllAnswered)
{
    SmallGrid grid;
    TaskGroup group{grid.loop};
    std::map<unsigned, int> statuses;
    constexpr int many = 300;
    struct Asked {
        SmallGrid& grid;
        std::map<unsigned, int>& statuses;
    } asked{grid, statuses};
    for (int i = 0; i < many; ++i)
        group.spawn([](Asked* with, int number) -> Task<> {
            const auto request = user_named("user" + std::to_string(number / 2));
            const http::Peer peer{.address = "127.0.0.1"};
            const auto reply = co_await with->grid.server->answer(request, peer);
            ++with->statuses[reply.status];
        }(&asked, i));
    run(grid.loop, [](TaskGroup* all) -> Task<> {
        while (all->size() > 0) co_await sleep_for(std::chrono::milliseconds{1});
    }(&group));

    EXPECT_EQ(statuses[201], many / 2);
    EXPECT_EQ(statuses[409], many / 2);
}

TEST(TogetherServerTest, WhoIsCancelledWhileTheDatabaseHasHisRequestEndsWell)
{
    SmallGrid grid;
    {
        TaskGroup group{grid.loop};
        for (int i = 0; i < 50; ++i)
            group.spawn([](SmallGrid* at, int number) -> Task<> {
                const auto request = user_named("user" + std::to_string(number));
                const http::Peer peer{.address = "127.0.0.1"};
                (void)co_await at->server->answer(request, peer);
            }(&grid, i));
        run(grid.loop, [](TaskGroup* all) -> Task<> {
            co_await sleep_for(std::chrono::milliseconds{1});
            co_await all->drain();
        }(&group));
    }
    EXPECT_EQ(grid.get("/users").status, 200U);
}

}  // namespace
}  // namespace znode::explorer_server
