// Engine, link and poller against a real explorer (without sockets between), and against what
// strikes real ones.
#include <ctime>

#include "engine/explorer_link.hpp"
#include "engine_fixture.hpp"
#include "grid/legacy.hpp"
#include "small_grid.hpp"

namespace znode::engine {
namespace {

using http::Method;
using test::Json;

/// The way to the explorer, on which anything may happen.
class Wire : public http::Client {
public:
    explicit Wire(test::SmallGrid& grid) : grid_{grid} {}

    Task<Result<http::Reply>> send(http::Request request) override
    {
        ++asked;
        if (away) co_return fail(Errc::unavailable, "connection refused");
        if (instead) {
            if (auto reply = instead(request)) co_return *std::move(reply);
        }
        if (first_era_only && request.target.starts_with("/api/v1")) co_return page_not_found();
        const http::Peer peer{.address = "127.0.0.1"};
        auto reply = co_await grid_.server->answer(request, peer);
        if (is_answer_lost && is_answer_lost(request))
            co_return http::Reply{.status = 502, .body = "bad gateway"};
        co_return reply;
    }
    Task<Result<http::Reply>> fetch(http::Request request, http::ChunkSink sink) override
    {
        CO_TRY(auto reply, co_await send(std::move(request)));
        if (sink && reply.status / 100 == 2) CO_TRY_DO(sink(std::exchange(reply.body, {})));
        co_return reply;
    }
    void close() noexcept override {}

    static http::Reply page_not_found()
    {
        http::Reply reply{.status = 404, .body = "404 page not found\n"};
        reply.headers.add("Content-Type", "text/plain; charset=utf-8");
        return reply;
    }
    static bool is_poll(const http::Request& request)
    {
        return request.target.find("from=") != std::string::npos;
    }

    bool away = false;
    bool first_era_only = false;
    std::function<std::optional<http::Reply>(const http::Request&)> instead;
    /// Whether the explorer does what it is asked to and its answer does not arrive.
    std::function<bool(const http::Request&)> is_answer_lost;
    std::size_t asked = 0;

private:
    test::SmallGrid& grid_;
};

class AgentTest : public testing::Test {
protected:
    AgentTest()
    {
        grid.now = std::time(nullptr);
        grid.fill();
        api = explorer::make_any_node_api(grid.loop, wire, grid.node_identity);
        Announcement say;
        say.node = []() -> Task<Result<grid::Node>> {
            grid::Node node;
            node.farm_id = 1;
            node.os_version = "test";
            node.location.country = "Austria";
            co_return node;
        };
        say.interfaces = []() -> Task<Result<std::vector<grid::Interface>>> {
            co_return std::vector<grid::Interface>{};
        };
        say.ports = []() -> Task<Result<std::vector<std::int64_t>>> {
            co_return std::vector<std::int64_t>{};
        };
        say.capacity = []() -> Task<Result<grid::CapacityReport>> {
            co_return grid::CapacityReport{};
        };
        say.used = [] { return grid::UsedReport{}; };
        CustomerCheck check;
        check.key = [this](std::int64_t, bool) { return key(); };
        link.emplace(
            grid.loop, *api, grid.node.key_id, std::move(say), std::move(check), silent_log());
        auto opened = Journal::open(folder.path() / "state.db");
        journal.emplace(*std::move(opened));
        Patience patience;
        patience.report_gap = 1ms;
        patience.first_hold = 5ms;
        patience.longest_hold = 20ms;
        engine.emplace(
            Engine::Parts{
                grid.loop,
                planner,
                *journal,
                store,
                [this](const Letter& letter) { return link->deliver(letter); },
                silent_log()},
            Machine{.cpus = 4, .memory = 8ULL << 30U},
            patience);
    }
    ~AgentTest() override
    {
        wire.instead = nullptr;  // What it looks at ended with the test's own frame.
        wire.is_answer_lost = nullptr;
        run(grid.loop, link->stop());
        run(grid.loop, engine->stop());
        engine.reset();
    }
    void begin()
    {
        ASSERT_TRUE(run(grid.loop, engine->start()));
        link->start(*engine);
    }
    Task<Result<identity::PublicKey>> key() const { co_return grid.customer_identity.public_key(); }

    /// Lets everybody work until the fact holds; it may ask the explorer itself.
    void until(const std::function<bool()>& fact)
    {
        const auto late = Clock::now() + 20s;
        while (!fact() && Clock::now() < late) run(grid.loop, sleep_for(1ms));
        EXPECT_TRUE(fact()) << testing::PrintToString(world.diary);
    }
    bool runs(const std::string& gwid) const
    {
        const auto view = engine->workload(gwid);
        return view && view->entry.state == State::running;
    }
    /// A volume that runs, and that the explorer knows to be running.
    std::string running_volume()
    {
        const auto id = grid.create_volume();
        const auto gwid = std::to_string(id) + "-1";
        until([&] { return grid.workload(id).at("result").at("state") == 1; });
        EXPECT_TRUE(runs(gwid));
        return gwid;
    }
    Json order_of_the_first_era() const
    {
        const auto tid = std::stoll(grid.customer.key_id);
        const Json data{
            {"signing_request_delete", {{"signers", {tid}}, {"quorum_min", 1}}},
            {"volumes",
             {{{"workload_id", 4}, {"node_id", grid.node.key_id}, {"size", 5}, {"type", 1}}}},
            {"expiration_provisioning", grid.now + 3600},
            {"expiration_reservation", grid.now + 3600}};
        return {
            {"json", data.dump()},
            {"data_reservation", data},
            {"customer_tid", tid},
            {"customer_signature", grid.customer_identity.sign_hex(data.dump())}};
    }
    /// "1-4": a volume of the first era.
    std::string reserve_in_the_first_era()
    {
        const auto reply = grid.send(
            {.method = Method::post,
             .target = "/explorer/reservations",
             .body = order_of_the_first_era().dump()});
        EXPECT_EQ(reply.status, 201U) << reply.body;
        return std::to_string(
                   test::SmallGrid::json(reply).at("reservation_id").get<std::int64_t>()) +
               "-4";
    }
    Json reservation(const std::string& gwid)
    {
        return test::SmallGrid::json(
            grid.send({.target = "/explorer/reservations/" + gwid.substr(0, gwid.find('-'))}));
    }

    test::TempFolder folder;
    test::SmallGrid grid;
    Wire wire{grid};
    std::unique_ptr<explorer::NodeApi> api;
    Blocking store{1};
    World world;
    FakePlanner planner{world};
    std::optional<Journal> journal;
    std::optional<Engine> engine;
    std::optional<ExplorerLink> link;
};

TEST_F(AgentTest, WorksWithAnExplorerOfTheFirstEraAlone)
{
    wire.first_era_only = true;
    begin();
    const auto gwid = reserve_in_the_first_era();

    until([&] { return reservation(gwid).at("results").size() == 1; });
    EXPECT_EQ(link->state().era, explorer::Era::reservations);
    EXPECT_TRUE(runs(gwid));
    EXPECT_EQ(reservation(gwid).at("results").at(0).at("state"), 1);
    EXPECT_TRUE(engine->workload(gwid)->entry.order.verified) << "by the whole reservation";
    EXPECT_GT(engine->workload(gwid)->entry.order.expires, grid.now);

    const auto stored = *grid::from_json<grid::legacy::Reservation>(reservation(gwid).dump());
    const Json consent{
        {"tid", std::stoll(grid.customer.key_id)},
        {"signature", grid.customer_identity.sign_hex(grid::legacy::sign_text(stored))}};
    ASSERT_EQ(
        grid.send({.method = Method::post,
                   .target = "/explorer/reservations/" + std::to_string(stored.id) + "/sign/delete",
                   .body = consent.dump()})
            .status,
        201U);
    until([&] { return reservation(gwid).at("next_action") == 6; });
    EXPECT_THAT(world.diary, ElementsAre("apply " + gwid, "revert " + gwid));
}

TEST_F(AgentTest, NoticesThatAnotherErasExplorerHasTakenThePlace)
{
    begin();
    const auto gwid = running_volume();
    EXPECT_EQ(link->state().era, explorer::Era::pools);

    wire.first_era_only = true;
    // The poll that waits must come to its end first.
    (void)grid.create_volume();
    until([&] { return link->state().era == explorer::Era::reservations; });
    const auto later = reserve_in_the_first_era();
    until([&] { return runs(later); });
    EXPECT_TRUE(runs(gwid)) << "what the other one knows nothing of goes on";
}

TEST_F(AgentTest, AReservationThatIsConvertedGoesOnUnderItsNewName)
{
    begin();
    const auto gwid = reserve_in_the_first_era();
    until([&] { return reservation(gwid).at("results").size() == 1; });

    auto offer = *grid::list_from_json<grid::Workload>(
        grid.get("/reservations/convert", grid.customer).body);
    ASSERT_EQ(offer.size(), 1U);
    offer[0].customer_signature = grid.customer_identity.sign_hex(grid::create_message(offer[0]));
    ASSERT_EQ(
        grid.post("/reservations/convert", grid::list_to_json(offer), grid.customer).status, 201U);

    until([&] { return grid.workload(2).at("result").at("state") == 1; });
    EXPECT_EQ(grid.workload(2).at("result").at("workload_id"), "2-4");
    EXPECT_TRUE(runs(gwid)) << "under the name that its volume has";
    EXPECT_EQ(engine->workload(gwid)->entry.order.expires, 0);
    EXPECT_THAT(world.diary, ElementsAre("apply " + gwid)) << "nothing was made anew";
}

/// Whatever an explorer answers to the poll: nothing that runs ends by it.
TEST_F(AgentTest, AbsenceIsNeverADelete)
{
    begin();
    const auto gwid = running_volume();
    const auto said = [](unsigned status, std::string body, http::Headers headers = {}) {
        http::Reply reply{.status = status, .headers = std::move(headers), .body = std::move(body)};
        return reply;
    };
    auto others = grid.volume();
    others.id = 1;
    others.node_id = "somebody else";
    others.next_action = grid::NextAction::remove;
    const std::vector<http::Reply> strange{
        said(200, "null", {{"x-last-id", "0"}}),
        said(200, "[]", {{"x-last-id", "-5"}}),
        said(200, "[]", {{"x-last-id", "9223372036854775807"}}),
        said(200, grid::list_to_json(std::vector{others}), {{"x-last-id", "1"}}),
        said(200, "<html>no explorer</html>"),
        said(404, "404 page not found\n"),
        said(200, R"([{"id":1,"workload_id":1,"next_action":"NaN"},5,null])"),
    };
    for (const auto& answer : strange) {
        std::size_t polls = 0;
        wire.instead = [&](const http::Request& request) -> std::optional<http::Reply> {
            if (!Wire::is_poll(request)) return std::nullopt;
            if (polls++ > 0) return std::nullopt;  // Then as ever.
            return answer;
        };
        // Ends the poll that waits at the explorer.
        (void)grid.create_volume();
        until([&] { return polls > 0; });
        EXPECT_TRUE(runs(gwid)) << answer.body;
    }
    wire.instead = {};
    EXPECT_THAT(world.diary, testing::Not(testing::Contains("revert " + gwid)));
    until([&] { return engine->alarms().empty(); });
    EXPECT_TRUE(runs(gwid)) << "known again";
}

TEST_F(AgentTest, AnExplorerThatForgotWhatRunsRaisesAnAlarmAndEndsNothing)
{
    begin();
    const auto gwid = running_volume();
    const auto other = running_volume();
    EXPECT_TRUE(engine->alarms().empty());
    wire.instead = [](const http::Request& request) -> std::optional<http::Reply> {
        if (!Wire::is_poll(request)) return std::nullopt;
        http::Reply reply{.status = 200, .body = "[]"};
        reply.headers.add("x-last-id", "0");
        return reply;
    };
    (void)grid.create_volume();  // Ends the poll that waits at the explorer.
    until([&] { return engine->alarms().contains("missing"); });
    EXPECT_THAT(
        engine->alarms().at("missing"),
        testing::AllOf(HasSubstr("no longer lists "), HasSubstr(gwid), HasSubstr(other)));
    EXPECT_TRUE(runs(gwid));

    wire.instead = nullptr;
    until([&] { return engine->alarms().empty(); });
    EXPECT_TRUE(runs(gwid));
    EXPECT_THAT(world.diary, testing::Not(testing::Contains(HasSubstr("revert"))));
}

TEST_F(AgentTest, ABadEntryHarmsNobodyAndIsAnswered)
{
    std::string heard;
    bool told = false;
    auto good = grid.volume();
    good.id = 70;
    good.next_action = grid::NextAction::deploy;
    const std::string deep = std::string(1'000'000, '[');
    wire.instead = [&](const http::Request& request) -> std::optional<http::Reply> {
        if (request.method == Method::put) heard += request.target + request.body + "\n";
        if (request.method != Method::get) return std::nullopt;
        if (!Wire::is_poll(request) || std::exchange(told, true)) return std::nullopt;
        http::Reply reply{
            .status = 200,
            .body = R"([{"id":71,"workload_id":1,"workload_type":2,"next_action":3,"size":1e99},)" +
                    grid::to_json(good) +
                    R"(,{"id":72,"workload_id":1,"id":73,"workload_type":99,"next_action":3}])"};
        reply.headers.add("x-last-id", "73");
        return reply;
    };
    begin();
    until([&] { return runs("70-1"); });
    until([&] {
        return heard.find("/workloads/71-1") != std::string::npos &&
               heard.find("/workloads/73-1") != std::string::npos;
    });
    EXPECT_THAT(heard, HasSubstr("the reservation is not readable"));
    EXPECT_THAT(world.diary, ElementsAre("apply 70-1"));
    EXPECT_FALSE(explorer::read_page(deep)) << "and a page that is a bomb is none";
}

TEST_F(AgentTest, ResultsReachAnExplorerThatWasAwayOnceEach)
{
    begin();
    std::vector<std::string> puts;
    bool is_back = false;
    wire.instead = [&](const http::Request& request) -> std::optional<http::Reply> {
        if (request.method != Method::put) return std::nullopt;
        puts.push_back(request.target);
        if (!is_back) return http::Reply{.status = 502, .body = "bad gateway"};
        return std::nullopt;
    };
    const auto id = grid.create_volume();
    until([&] { return puts.size() >= 2; });
    EXPECT_EQ(grid.workload(id).at("result").at("workload_id"), "") << "it has heard nothing";
    is_back = true;
    until([&] { return grid.workload(id).at("result").at("state") == 1; });
    const auto until_then = puts.size();
    (void)running_volume();
    EXPECT_EQ(puts.size(), until_then + 1) << "none was sent again";
    EXPECT_EQ(engine->letters_waiting(), 0U);
}

TEST_F(AgentTest, AResultWhoseAnswerIsLostIsStoredOnceAndInItsOrder)
{
    begin();
    std::string told;
    int lost_results = 0;
    int lost_removals = 0;
    wire.is_answer_lost = [&](const http::Request& request) {
        if (request.method != Method::put && request.method != Method::del) return false;
        const bool result = request.method == Method::put;
        told += result ? 'r' : 'd';
        return result ? lost_results++ < 2 : lost_removals++ < 1;
    };
    const auto id = grid.create_volume();
    const auto gwid = std::to_string(id) + "-1";
    until([&] { return told.size() >= 3 && engine->letters_waiting() == 0; });
    EXPECT_EQ(grid.workload(id).at("result").at("state"), 1);
    EXPECT_TRUE(runs(gwid));

    ASSERT_EQ(grid.sign_delete(id).status, 201U);
    until([&] { return engine->workload(gwid)->entry.state == State::gone; });
    EXPECT_EQ(grid.workload(id).at("next_action"), 6);
    EXPECT_THAT(told, testing::MatchesRegex("r{3,}dd"));
    EXPECT_THAT(world.diary, ElementsAre("apply " + gwid, "revert " + gwid));
}

TEST_F(AgentTest, AnExplorerThatFailsOverOneWorkloadHearsOfTheOthers)
{
    begin();
    std::size_t failed = 0;
    bool is_mended = false;
    unsigned status = 500;
    wire.instead = [&](const http::Request& request) -> std::optional<http::Reply> {
        if (request.method != Method::put || !request.target.ends_with("/1-1") || is_mended)
            return std::nullopt;
        ++failed;
        return http::Reply{.status = std::exchange(status, status == 500 ? 401 : 500)};
    };
    const auto first = grid.create_volume();
    until([&] { return failed > 2; });
    (void)running_volume();
    is_mended = true;
    until([&] { return grid.workload(first).at("result").at("state") == 1; });
}

TEST_F(AgentTest, ARetryAfterIsObeyed)
{
    std::size_t registrations = 0;
    std::size_t results = 0;
    wire.instead = [&](const http::Request& request) -> std::optional<http::Reply> {
        const bool result = request.method == Method::put;
        if (!result && !(request.method == Method::post && request.target.ends_with("/nodes")))
            return std::nullopt;
        if (++(result ? results : registrations) > 1) return std::nullopt;
        http::Reply reply{.status = result ? 429U : 503U};
        reply.headers.add("Retry-After", "3");
        return reply;
    };
    begin();
    auto begun = Clock::now();
    until([&] { return link->state().registered; });
    EXPECT_GE(Clock::now() - begun, 2900ms);
    const auto id = grid.create_volume();
    until([&] { return results == 1; });
    begun = Clock::now();
    until([&] { return grid.workload(id).at("result").at("state") == 1; });
    EXPECT_GE(Clock::now() - begun, 2900ms);
}

TEST_F(AgentTest, AnExplorerThatWasRebuiltTouchesNothing)
{
    begin();
    const auto gwid = running_volume();
    // The same number, another customer's wish.
    auto other = grid.volume(77);
    other.id = 1;
    other.next_action = grid::NextAction::deploy;
    bool told = false;
    std::string heard;
    wire.instead = [&](const http::Request& request) -> std::optional<http::Reply> {
        if (request.method == Method::put) heard += request.body;
        if (!Wire::is_poll(request) || std::exchange(told, true)) return std::nullopt;
        http::Reply reply{.status = 200, .body = grid::list_to_json(std::vector{other})};
        reply.headers.add("x-last-id", "1");
        return reply;
    };
    (void)grid.create_volume();
    until([&] { return engine->alarms().contains(gwid); });
    until([&] { return heard.find("belongs to an older workload") != std::string::npos; });
    EXPECT_TRUE(runs(gwid));
    EXPECT_EQ(world.diary.front(), "apply " + gwid);
    EXPECT_THAT(world.diary, testing::Not(testing::Contains("revert " + gwid)));
}

}  // namespace
}  // namespace znode::engine
