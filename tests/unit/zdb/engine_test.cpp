#include "zdb/engine.hpp"

#include <random>
#include <thread>

#include "zdb_fixture.hpp"

namespace znode::zdb {
namespace {

TEST_F(EngineTest, AKeyHasItsLastValueAndLivesThroughAKill)
{
    open();
    put(space(), "k", "one");
    put(space(), "k", "two");
    put(space(), "empty", "");
    EXPECT_EQ(space().entries(), 2U);
    EXPECT_EQ(space().live_bytes(), 3U);

    kill_and_open();

    EXPECT_EQ(get(space(), "k"), "two");
    EXPECT_EQ(get(space(), "empty"), "");
    EXPECT_EQ(get(space(), "other"), "(absent)");
    EXPECT_EQ(space().entries(), 2U);
    EXPECT_EQ(space().live_bytes(), 3U);
}

TEST_F(EngineTest, WhatIsNotCommittedIsGoneAfterAKill)
{
    open();
    std::string stored;
    ASSERT_EQ(space().set("k", "v", 1, stored), SetOutcome::stored);
    EXPECT_EQ(get(space(), "k"), "v");

    kill_and_open();

    EXPECT_EQ(get(space(), "k"), "(absent)");
}

TEST_F(EngineTest, TheSameValueIsNotWrittenTwice)
{
    open();
    put(space(), "k", "v");
    const auto size = space().disk_bytes();
    std::string stored;
    EXPECT_EQ(space().set("k", "v", 1, stored), SetOutcome::unchanged);
    EXPECT_EQ(space().disk_bytes(), size);
    const std::string large(100'000, 'x');
    put(space(), "large", large);
    EXPECT_EQ(space().set("large", large, 1, stored), SetOutcome::unchanged);
}

TEST_F(EngineTest, DeletedKeysStayDeleted)
{
    open();
    put(space(), "k", "v");
    EXPECT_EQ(space().remove("k", 1), DeleteOutcome::deleted);
    EXPECT_EQ(space().remove("k", 1), DeleteOutcome::absent);
    engine->commit();

    kill_and_open();

    EXPECT_EQ(get(space(), "k"), "(absent)");
    EXPECT_EQ(space().entries(), 0U);
    EXPECT_EQ(space().live_bytes(), 0U);
}

TEST_F(EngineTest, IdsCountUpAndUpdatesConsumeOne)
{
    open();
    EXPECT_EQ(put(ids(), "", "a"), id(0));
    EXPECT_EQ(put(ids(), "", "a"), id(1));
    EXPECT_EQ(put(ids(), id(0), "b"), id(0));
    EXPECT_EQ(put(ids(), "", "c"), id(3));
    std::string stored;
    EXPECT_EQ(ids().set(id(2), "x", 1, stored), SetOutcome::no_such_id);
    EXPECT_EQ(ids().set("abc", "x", 1, stored), SetOutcome::no_such_id);
    EXPECT_EQ(get(ids(), id(2)), "(absent)");
    EXPECT_EQ(get(ids(), id((1ULL << 32U) + 1)), "(absent)");

    kill_and_open();

    EXPECT_EQ(get(ids(), id(0)), "b");
    EXPECT_EQ(get(ids(), id(3)), "c");
    EXPECT_EQ(ids().entries(), 3U);
    EXPECT_EQ(put(ids(), "", "d"), id(4));
}

TEST_F(EngineTest, IdsGoOnAfterTheNamespaceWasRemovedOrEmptied)
{
    open();
    put(ids(), "", "a");
    put(ids(), "", "b");
    ASSERT_TRUE(engine->remove(ids()));
    kill_and_open();
    EXPECT_EQ(put(ids(), "", "c"), id(2));
    ASSERT_TRUE(engine->empty(ids()));
    EXPECT_EQ(ids().entries(), 0U);
    EXPECT_EQ(put(ids(), "", "d"), id(3));
    ASSERT_TRUE(engine->raise_next_id(ids(), 1000));
    EXPECT_FALSE(engine->raise_next_id(ids(), 999));
    kill_and_open();
    EXPECT_EQ(put(ids(), "", "e"), id(1000));
    EXPECT_EQ(get(ids(), id(3)), "d");
}

TEST_F(EngineTest, TheQuotaCountsLivingPayload)
{
    open();
    Settings settings = space("q").settings();
    settings.maxsize = 10;
    ASSERT_TRUE(engine->configure(space("q"), settings));
    put(space("q"), "a", "12345");
    put(space("q"), "b", "12345");
    std::string stored;
    EXPECT_EQ(space("q").set("c", "1", 1, stored), SetOutcome::quota);
    put(space("q"), "a", "1");
    put(space("q"), "c", "1234");
    settings.maxsize = ~std::uint64_t{0};
    ASSERT_TRUE(engine->configure(space("q"), settings));
    put(space("q"), "d", "more");
}

TEST_F(EngineTest, SettingsAndPasswordsLast)
{
    open();
    Settings settings = space("s").settings();
    settings.password = Secret{"pw"};
    settings.public_access = false;
    settings.locked = true;
    settings.maxsize = 99;
    ASSERT_TRUE(engine->configure(space("s"), settings));
    kill_and_open();
    const Settings& now = space("s").settings();
    EXPECT_EQ(now.password.reveal(), "pw");
    EXPECT_FALSE(now.public_access);
    EXPECT_TRUE(now.locked);
    EXPECT_EQ(now.maxsize, 99U);
}

TEST_F(EngineTest, TheModeOfAUsedNamespaceStays)
{
    open();
    put(ids(), "", "a");
    Settings settings = ids().settings();
    settings.mode = Mode::user;
    EXPECT_FALSE(engine->configure(ids(), settings));
}

TEST_F(EngineTest, HistoryLeadsBackThroughAllVersions)
{
    open();
    for (const char* value : {"one", "two", "three"}) put(space(), "k", value);
    std::vector<std::string> versions;
    auto entry = **space().find("k");
    for (;;) {
        versions.emplace_back(entry.length, '\0');
        ASSERT_TRUE(space().read(entry, versions.back()));
        if (!entry.older) break;
        entry = *space().at(entry.older);
    }
    EXPECT_EQ(versions, (std::vector<std::string>{"three", "two", "one"}));
}

TEST_F(EngineTest, AWalkSeesLivingRecordsInTheOrderOfWriting)
{
    model.segment_size = 512;
    open();
    for (int i = 0; i < 40; ++i) put(space(), "k" + std::to_string(i), "value");
    put(space(), "k3", "again");
    space().remove("k5", 1);
    engine->commit();
    for (const bool reopened : {false, true}) {
        if (reopened) kill_and_open();
        std::vector<std::string> forward;
        std::vector<std::string> backward;
        for (auto at = *space().after({}); at; at = *space().after(at->at))
            if (space().current(*at)) forward.emplace_back(at->key);
        for (auto at = *space().before({}); at; at = *space().before(at->at))
            if (space().current(*at)) backward.emplace_back(at->key);
        ASSERT_EQ(forward.size(), 39U);
        EXPECT_EQ(forward.front(), "k0");
        EXPECT_EQ(forward.back(), "k3");
        std::ranges::reverse(backward);
        EXPECT_EQ(forward, backward);
    }
}

TEST_F(EngineTest, OneServerPerFolder)
{
    open();
    EngineConfig config{.data = folder.path() / "data", .index = folder.path() / "other"};
    const auto second = open_engine(config, silent_log());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::exists);
    engine.reset();
    config.index = config.data;
    EXPECT_EQ(open_engine(config, silent_log()).error().code, Errc::invalid);
}

TEST_F(EngineTest, AnEmptyNamespaceCostsNoFile)
{
    open();
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(engine->create("n" + std::to_string(i)));
    const auto files = std::distance(
        std::filesystem::recursive_directory_iterator{folder.path()},
        std::filesystem::recursive_directory_iterator{});
    EXPECT_LE(files, 5);
    kill_and_open();
    EXPECT_EQ(engine->spaces().size(), 201U);
}

/// Compaction against a model: random writes and deletes, steps in between, kills.
class CompactionTest : public EngineTest, public testing::WithParamInterface<Mode> {};

TEST_P(CompactionTest, GivesSpaceBackAndLosesNothing)
{
    model.segment_size = 4096;
    open();
    const bool sequential = GetParam() == Mode::sequential;
    std::map<std::string, std::string> expected;
    std::mt19937 random{20'210'601};  // NOLINT(cert-msc51-cpp): repeatable on purpose.
    const auto here = [&]() -> Space& { return sequential ? ids() : space(); };
    const auto settle = [&] {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{100};
        while (std::chrono::steady_clock::now() < deadline) {
            const auto left = engine->compact(std::chrono::milliseconds{5});
            if (left == Compaction::idle) return;
            if (left == Compaction::waiting) std::this_thread::yield();
        }
        ADD_FAILURE() << "compaction does not end";
    };
    for (int round = 0; round < 1500; ++round) {
        const std::string value(random() % 300, static_cast<char>('a' + round % 26));
        std::string key = sequential ? "" : "k" + std::to_string(random() % 40);
        if (sequential && expected.size() > 20) key = expected.begin()->first;
        std::string stored;
        if (random() % 4 == 0 && !expected.empty()) {
            const auto victim = std::next(
                expected.begin(), static_cast<std::ptrdiff_t>(random() % expected.size()));
            EXPECT_EQ(here().remove(victim->first, 1), DeleteOutcome::deleted);
            expected.erase(victim);
        } else if (here().set(key, value, 1, stored) == SetOutcome::stored) {
            expected[stored] = value;
        }
        engine->commit();
        (void)engine->compact(std::chrono::microseconds{50});
        if (round % 500 == 499) kill_and_open();
    }
    settle();
    EXPECT_GT(here().oldest_segment(), 10U);
    EXPECT_LT(here().disk_bytes(), 3 * 4096 + 3 * here().live_bytes());
    kill_and_open();
    EXPECT_EQ(here().entries(), expected.size());
    for (const auto& [key, value] : expected) EXPECT_EQ(get(here(), key), value);
    std::error_code ec;
    engine.reset();
    std::filesystem::remove_all(folder.path() / "index", ec);
    open();
    EXPECT_EQ(here().entries(), expected.size());
    for (const auto& [key, value] : expected) EXPECT_EQ(get(here(), key), value);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, CompactionTest, testing::Values(Mode::user, Mode::sequential), [](const auto& tested) {
        return std::string{tested.param == Mode::user ? "User" : "Sequential"};
    });

}  // namespace
}  // namespace znode::zdb
