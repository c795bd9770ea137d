#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine.hpp"
#include "temp_folder.hpp"

namespace znode::engine {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

/// The world that the fake steps change.
struct World {
    std::vector<std::string> diary;
    std::map<std::string, int> failures;  ///< How often a step still fails.
    Errc kind = Errc::unavailable;
    std::map<std::string, std::vector<Ending>> endings;  ///< How programs end, in order.
    std::vector<std::string> names;                      ///< "new is old".
    std::vector<std::string> signed_ends;                ///< Whose data need not be kept.
    std::set<std::string> hanging;                       ///< Steps that do not come to an end.
    std::set<std::string> stuck;                         ///< Steps that cannot be undone.
    bool strict = false;                                 ///< Refuses what is "unwanted".
};

class FakeStep : public Step {
public:
    FakeStep(World& world, std::string name) : world_{world}, name_{std::move(name)} {}
    std::string name() const override { return name_; }
    Task<Result<>> apply() override
    {
        world_.diary.push_back("apply " + name_);
        co_await sleep_for(world_.hanging.contains(name_) ? Duration{1h} : Duration{1ms});
        if (world_.failures[name_] != 0) {
            --world_.failures[name_];
            co_return fail(world_.kind, name_ + " is broken");
        }
        co_return Result<>{};
    }
    Task<Result<>> revert() override
    {
        world_.diary.push_back("revert " + name_);
        if (world_.stuck.contains(name_)) co_return fail(Errc::unavailable, name_ + " is busy");
        co_return Result<>{};
    }

private:
    World& world_;
    std::string name_;
};

/// Documents are words: "needs:KEY", "provides:KEY", "program", "bad", "unwanted" (by
/// a rule that came later).
class FakePlanner : public Planner {
public:
    explicit FakePlanner(World& world) : world_{world} {}
    Result<std::unique_ptr<Plan>> plan(const Order& order, Standing standing) override
    {
        auto plan = std::make_unique<Plan>();
        plan->add(std::make_unique<FakeStep>(world_, order.gwid));
        plan->data = [gwid = order.gwid] { return "{\"id\":\"" + gwid + "\"}"; };
        std::istringstream words{order.document};
        for (std::string word; words >> word;) {
            if (word == "bad") return fail(Errc::invalid, "size is missing");
            if (word == "unwanted" && world_.strict && standing == Standing::fresh)
                return fail(Errc::invalid, "this is not wanted any more");
            if (word.starts_with("needs:")) plan->needs.push_back({word.substr(6), word.substr(6)});
            if (word.starts_with("provides:")) plan->provides.push_back(word.substr(9));
            if (word == "large") plan->amounts.memory = 1ULL << 40U;
            if (word == "program") plan->watch = [this, gwid = order.gwid] { return watch(gwid); };
        }
        return plan;
    }

    void renamed(const std::string& gwid, const std::string& name) override
    {
        world_.names.push_back(name + " is " + gwid);
    }
    void may_destroy(const std::string& gwid) override { world_.signed_ends.push_back(gwid); }

private:
    Task<Result<Ending>> watch(std::string gwid)
    {
        auto& endings = world_.endings[gwid];
        if (endings.empty()) co_await sleep_for(1h);
        co_await sleep_for(1ms);
        auto ending = endings.front();
        endings.erase(endings.begin());
        co_return ending;
    }
    World& world_;
};

class EngineTest : public testing::Test {
protected:
    EngineTest()
    {
        patience.deadline = 10s;
        patience.unknown_need = 50ms;
        patience.first_retry = 1ms;
        patience.first_back_off = 1ms;
        patience.longest_back_off = 4ms;
        patience.report_gap = 1ms;
        patience.first_hold = 5ms;
        patience.longest_hold = 20ms;
        begin();
    }

    ~EngineTest() override { end(); }

    void begin()
    {
        auto opened = Journal::open(folder.path() / "state.db");
        EXPECT_TRUE(opened);
        journal.emplace(*std::move(opened));
        engine.emplace(
            Engine::Parts{
                loop,
                planner,
                *journal,
                store,
                [this](const Letter& letter) { return deliver(letter); },
                silent_log()},
            Machine{.cpus = 4, .memory = 8ULL << 30U},
            patience);
        EXPECT_TRUE(run(loop, engine->start()));
    }
    void end()
    {
        if (!engine) return;
        run(loop, engine->stop());
        engine.reset();
        journal.reset();
    }

    Task<Result<>> deliver(const Letter letter)
    {
        if (explorer_hangs) {
            ++deliveries_out;
            co_await sleep_for(1h);
            co_return fail(Errc::cancelled, "the agent stops");  // As an http client has it.
        }
        co_await sleep_for(1ms);
        if (const auto answer = answers.find(letter.gwid); answer != answers.end())
            co_return fail(answer->second, "the explorer fails");
        if (explorer_away) co_return fail(Errc::unavailable, "away");
        letters.push_back(
            (letter.told_as.empty() ? letter.gwid : letter.told_as) +
            (letter.kind == Letter::Kind::removed ? " removed"
             : letter.state == 1                  ? " ok"
                                                  : " error") +
            (letter.message.empty() ? "" : ": " + letter.message));
        co_return Result<>{};
    }

    void take(std::string gwid, std::string document, std::int64_t owner = 7, bool remove = false)
    {
        Engine::Incoming incoming;
        incoming.order = {
            .gwid = std::move(gwid),
            .type = "volume",
            .owner = owner,
            .document = std::move(document)};
        incoming.remove = remove;
        ASSERT_TRUE(run(loop, engine->take(std::move(incoming))));
    }

    /// Has an order carried out, and begins to take it down.
    void take_and_end(const std::string& gwid)
    {
        Engine::Incoming old;
        old.order = {.gwid = gwid, .type = "volume", .owner = 7, .fingerprint = "old"};
        ASSERT_TRUE(run(loop, engine->take(old)));
        until([&] { return state_of(gwid) == State::running; });
        old.remove = true;
        ASSERT_TRUE(run(loop, engine->take(old)));
    }
    /// Another customer's order under the same number.
    static Engine::Incoming successor(const std::string& gwid)
    {
        Engine::Incoming other;
        other.order = {.gwid = gwid, .type = "volume", .owner = 8, .fingerprint = "new"};
        return other;
    }

    /// Lets the engine work until the fact holds.
    void until(const std::function<bool()>& fact)
    {
        const auto late = Clock::now() + 10s;
        run(loop, [](const std::function<bool()>* f, Clock::time_point end) -> Task<> {
            while (!(*f)() && Clock::now() < end) co_await sleep_for(1ms);
        }(&fact, late));
        EXPECT_TRUE(fact()) << testing::PrintToString(letters)
                            << testing::PrintToString(world.diary);
    }
    State state_of(const std::string& gwid) { return engine->workload(gwid)->entry.state; }

    test::TempFolder folder;
    asio::io_context loop{1};
    Blocking store{1};
    World world;
    FakePlanner planner{world};
    Patience patience;
    std::optional<Journal> journal;
    std::optional<Engine> engine;
    std::vector<std::string> letters;
    bool explorer_away = false;
    bool explorer_hangs = false;
    int deliveries_out = 0;
    std::map<std::string, Errc> answers;  ///< Failures, by workload.
};

}  // namespace znode::engine
