// What a crash or a rotten disk may leave behind.

#include <unistd.h>

#include <thread>

#include "catalog.hpp"
#include "format.hpp"
#include "zdb_fixture.hpp"

namespace znode::zdb {
namespace {

class RecoveryTest : public EngineTest, public testing::WithParamInterface<Mode> {
protected:
    Space& here() { return GetParam() == Mode::sequential ? ids() : space(); }
    /// Key number n: a name, or the id it will get.
    std::string key(std::uint64_t n) const
    {
        return GetParam() == Mode::sequential ? id(n) : "key" + std::to_string(n);
    }
    std::string add(std::uint64_t n, std::string_view value)
    {
        return put(here(), GetParam() == Mode::sequential ? "" : key(n), value);
    }
};

TEST_P(RecoveryTest, CutAnywhereTheSegmentHoldsExactlyTheWholeGroupsBefore)
{
    open();
    std::vector<std::uintmax_t> ends;
    for (std::uint64_t n = 0; n < 6; ++n) {
        add(n, "value " + std::to_string(n));
        ends.push_back(here().disk_bytes());
    }
    const auto file = segment(here(), 1);
    const auto whole = *kernel::read_file(file);
    ASSERT_EQ(whole.size(), ends.back());

    for (std::uintmax_t size = sizeof(SegmentHeader); size <= whole.size(); size += 7) {
        engine.reset();
        ASSERT_TRUE(kernel::write_file_atomically(file, whole.substr(0, size), 0600));
        open();
        const auto held = static_cast<std::uint64_t>(
            std::ranges::count_if(ends, [&](auto end) { return end <= size; }));
        ASSERT_EQ(here().entries(), held) << "cut at " << size;
        for (std::uint64_t n = 0; n < 6; ++n)
            EXPECT_EQ(get(here(), key(n)), n < held ? "value " + std::to_string(n) : "(absent)");
        // New writes are not swallowed by what was torn.
        const auto fresh = add(99, "fresh");
        kill_and_open();
        EXPECT_EQ(get(here(), fresh), "fresh");
        EXPECT_EQ(here().entries(), held + 1);
    }
}

TEST_P(RecoveryTest, IdsOfATornTailAreNotGivenAgain)
{
    if (GetParam() == Mode::user) return;
    open();
    for (std::uint64_t n = 0; n < 4; ++n) add(n, "value");
    const auto file = segment(here(), 1);
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 4);
    kill_and_open();
    kill_and_open();  // The tail is whole again.
    const auto fresh = add(0, "fresh");
    EXPECT_NE(fresh, id(3));
    EXPECT_EQ(get(here(), id(3)), "(absent)");
}

TEST_P(RecoveryTest, EachFlippedByteIsFoundAndTheOtherKeysAreServed)
{
    open();
    std::vector<std::uintmax_t> ends{sizeof(SegmentHeader)};
    for (std::uint64_t n = 0; n < 5; ++n) {
        add(n, "the value " + std::to_string(n));
        ends.push_back(here().disk_bytes());
    }
    const auto file = segment(here(), 1);
    // The last record is left alone: damage in it is a torn tail.
    for (std::uintmax_t at = ends[0]; at < ends[4]; at += 3) {
        engine.reset();
        flip(file, at);
        open();
        for (std::uint64_t n = 0; n < 5; ++n) {
            const auto value = get(here(), key(n));
            const bool hit = at >= ends[n] && at < ends[n + 1];
            if (hit) {
                EXPECT_TRUE(
                    value == "(absent)" || value == "(corrupt)" || value == "(error)" ||
                    value == "the value " + std::to_string(n))
                    << "byte " << at << ": " << value;
            } else {
                EXPECT_EQ(value, "the value " + std::to_string(n)) << "byte " << at;
            }
        }
        engine.reset();
        flip(file, at);
    }
}

TEST_P(RecoveryTest, DamageWhileRunningIsAnErrorAndNeverBytes)
{
    open();
    const std::string large(50'000, 'x');
    const auto first = add(0, large);
    const auto second = add(1, "good");
    flip(segment(here(), 1), sizeof(SegmentHeader) + 200);
    EXPECT_EQ(get(here(), first), "(corrupt)");
    EXPECT_EQ(get(here(), second), "good");
    EXPECT_EQ(here().counters().data_faults, 1U);
}

TEST_P(RecoveryTest, TheIndexIsBuiltFromTheSegmentsWhateverBecameOfIt)
{
    model.segment_size = 700;
    open();
    for (std::uint64_t n = 0; n < 60; ++n) add(n, "value " + std::to_string(n));
    put(here(), key(7), "newer");
    EXPECT_EQ(here().remove(key(9), 1), DeleteOutcome::deleted);
    engine->commit();
    const auto count = here().entries();
    engine->stop();
    engine.reset();
    const auto check = [&](std::string_view damage) {
        open();
        EXPECT_EQ(here().entries(), count) << damage;
        EXPECT_EQ(get(here(), key(7)), "newer") << damage;
        EXPECT_EQ(get(here(), key(9)), "(absent)") << damage;
        EXPECT_EQ(get(here(), key(59)), "value 59") << damage;
        engine.reset();
    };
    check("none");
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator{folder.path() / "index"}) {
        if (!entry.is_regular_file() || entry.file_size() < 40) continue;
        flip(entry.path(), entry.file_size() - 10);
        check("flipped byte");
        std::filesystem::resize_file(entry.path(), entry.file_size() / 2);
        check("cut");
    }
    std::filesystem::remove_all(folder.path() / "index");
    check("all gone");
}

TEST_P(RecoveryTest, ATornCatalogKeepsWhatWasAcknowledgedBefore)
{
    open();
    add(0, "kept");
    ASSERT_TRUE(engine->create("later"));
    engine.reset();
    const auto catalog = folder.path() / "data" / "catalog";
    std::filesystem::resize_file(catalog, std::filesystem::file_size(catalog) - 5);
    open();
    EXPECT_EQ(get(here(), key(0)), "kept");
    EXPECT_EQ(engine->find("later"), nullptr);
}

INSTANTIATE_TEST_SUITE_P(
    Modes, RecoveryTest, testing::Values(Mode::user, Mode::sequential), [](const auto& tested) {
        return std::string{tested.param == Mode::user ? "User" : "Sequential"};
    });

TEST_F(EngineTest, AHalfMadeSegmentIsNoObstacle)
{
    open();
    put(space(), "a", "1");
    ASSERT_TRUE(engine->rotate(space()));
    put(space(), "b", "2");
    const auto file = segment(space(), 2);
    engine.reset();
    std::filesystem::resize_file(file, 50);
    open();
    EXPECT_EQ(get(space(), "a"), "1");
    put(space(), "c", "3");
    kill_and_open();
    EXPECT_EQ(get(space(), "c"), "3");
}

constexpr std::uint64_t gap = 65536;

TEST_F(EngineTest, AMachineThatLostPowerSkipsIds)
{
    open();
    put(ids(), "", "a");
    lose_power();
    open();
    // A start in which nobody writes is not the last to know of it.
    kill_and_open();
    EXPECT_EQ(put(ids(), "", "b"), id(1 + gap));
    EXPECT_EQ(get(ids(), id(0)), "a");

    lose_power();
    open();
    engine->stop();
    kill_and_open();
    EXPECT_EQ(put(ids(), "", "c"), id(2 + 2 * gap));
    EXPECT_EQ(get(ids(), id(1 + gap)), "b");
}

TEST_F(EngineTest, PowerThatTookAllOfANamespaceTookNoIds)
{
    open();
    put(ids(), "", "a");
    const auto data = ids().data_folder();
    lose_power();
    std::filesystem::remove_all(data);
    open();
    EXPECT_EQ(get(ids(), id(0)), "(absent)");
    EXPECT_EQ(put(ids(), "", "b"), id(gap));
    EXPECT_EQ(get(ids(), id(0)), "(absent)");
    kill_and_open();
    EXPECT_EQ(ids().entries(), 1U);
    EXPECT_EQ(get(ids(), id(gap)), "b");
}

TEST_F(EngineTest, WhatCouldNotBeLoadedAfterAPowerLossSkipsIdsOnceItCan)
{
    open();
    for (const bool reloaded : {false, true}) {
        put(ids(), "", "a");
        const auto next = ids().next_id();
        const auto file = segment(ids(), 1);
        lose_power();
        flip(file, 20);
        open();
        ASSERT_TRUE(ids().failed());
        if (!reloaded) kill_and_open();
        flip(file, 20);  // Repaired.
        if (reloaded) ASSERT_TRUE(engine->reload(ids()));
        kill_and_open();
        ASSERT_FALSE(ids().failed());
        EXPECT_EQ(ids().next_id(), next + gap) << reloaded;
        // Once is enough.
        kill_and_open();
        EXPECT_EQ(ids().next_id(), next + gap) << reloaded;
        EXPECT_EQ(get(ids(), id(0)), "a");
    }
}

TEST_F(EngineTest, DataOfANamespaceThatTheCatalogLostIsSetAside)
{
    open();
    put(space("first"), "k", "v");
    put(space("second"), "k", "v");
    const auto data = space("second").data_folder();
    const auto catalog = folder.path() / "data" / "catalog";
    engine.reset();
    // The record of `second` is the last one.
    flip(catalog, std::filesystem::file_size(catalog) - 5);
    open();
    EXPECT_EQ(get(space("first"), "k"), "v");
    EXPECT_EQ(engine->find("second"), nullptr);
    const auto aside = data.parent_path() / (".lost-" + data.filename().string());
    EXPECT_TRUE(std::filesystem::exists(aside / "1.seg"));
    EXPECT_TRUE(std::filesystem::exists(catalog.string() + ".damaged"));
    // Its number is not given again, and the next start leaves it alone as well.
    put(space("third"), "k", "v");
    EXPECT_NE(space("third").data_folder(), data);
    kill_and_open();
    EXPECT_TRUE(std::filesystem::exists(aside / "1.seg"));
    EXPECT_EQ(get(space("third"), "k"), "v");
}

TEST_F(EngineTest, ACatalogThatCannotBeWrittenAnewGoesOnAsItIs)
{
    const auto file = folder.path() / "catalog";
    Catalog catalog{file};
    ASSERT_TRUE(catalog.open());
    ASSERT_TRUE(catalog.settle());
    // Beside it is no room for another.
    std::filesystem::create_directories(folder.path() / "catalog.new" / "full");
    CatalogEntry entry;
    for (std::uint64_t n = 1; n < 3000; ++n) {
        entry.uid = n;
        ASSERT_TRUE(catalog.put("name" + std::to_string(n % 7), entry));
    }
    Catalog again{file};
    ASSERT_TRUE(again.open());
    EXPECT_TRUE(again.complete());
    ASSERT_EQ(again.entries().size(), 7U);
    for (const auto& [name, known] : catalog.entries()) EXPECT_EQ(again.find(name)->uid, known.uid);
}

TEST_F(EngineTest, ALostSegmentAndADamagedHeaderKeepTheOtherNamespacesServing)
{
    open();
    for (const char* name : {"short", "damaged", "fine"}) {
        put(space(name), "a", "1");
        ASSERT_TRUE(engine->rotate(space(name)));
        put(space(name), "b", "2");
    }
    const auto cut = segment(space("short"), 1);
    const auto bad = segment(space("damaged"), 1);
    engine.reset();
    std::filesystem::remove_all(folder.path() / "index");
    std::filesystem::resize_file(cut, 50);
    flip(bad, 20);
    open();
    EXPECT_EQ(get(space("fine"), "a"), "1");
    EXPECT_EQ(get(space("short"), "a"), "(absent)");
    EXPECT_EQ(get(space("short"), "b"), "2");
    EXPECT_EQ(space("short").counters().data_faults, 1U);
    EXPECT_EQ(get(space("damaged"), "b"), "(error)");
    std::string stored;
    EXPECT_EQ(space("damaged").set("c", "3", 1, stored), SetOutcome::broken);
    EXPECT_EQ(space("damaged").remove("b", 1), DeleteOutcome::broken);
    kill_and_open();
    EXPECT_TRUE(std::filesystem::exists(bad));
    EXPECT_EQ(get(space("damaged"), "a"), "(error)");
    EXPECT_EQ(get(space("short"), "b"), "2");
}

TEST_F(EngineTest, AVersionIsFoundBeyondADamagedOneInBetween)
{
    for (const bool deleted : {false, true}) {
        engine.reset();
        open();
        auto& here = space(deleted ? "deleted" : "replaced");
        put(here, "k", "one");
        const auto second = here.disk_bytes();
        put(here, "k", "two");
        if (deleted) {
            EXPECT_EQ(here.remove("k", 1), DeleteOutcome::deleted);
            EXPECT_TRUE(engine->commit().empty());
        } else {
            put(here, "k", "three");
        }
        put(here, "other", "x");
        const auto file = segment(here, 1);
        engine.reset();
        flip(file, second + 20);
        open();
        auto& now = space(deleted ? "deleted" : "replaced");
        EXPECT_EQ(get(now, "k"), deleted ? "(absent)" : "three");
        EXPECT_EQ(now.entries(), deleted ? 1U : 2U);
    }
}

TEST_F(EngineTest, ANamespaceNearItsBoundGivesSpaceBackSoon)
{
    open();
    constexpr std::uint64_t mib = 1U << 20U;
    Settings settings = space("q").settings();
    settings.maxsize = 384 * mib;
    ASSERT_TRUE(engine->configure(space("q"), settings));
    std::string value(4 * mib, 'x');
    std::string stored;
    for (int n = 0; n < 150; ++n) {
        value[0] = static_cast<char>('a' + n / 96);
        ASSERT_EQ(
            space("q").set("k" + std::to_string(n % 96), value, 1, stored), SetOutcome::stored);
        ASSERT_TRUE(engine->commit().empty());
        while (engine->compact(std::chrono::milliseconds{2}) != Compaction::idle)
            std::this_thread::yield();
        // What the volume has for it: 17/16, 64 MiB and one segment.
        ASSERT_LT(space("q").disk_bytes(), 384 * mib + 24 * mib + 128 * mib);
    }
    EXPECT_LT(space("q").disk_bytes(), 384 * mib + 24 * mib + 64 * mib);
}

TEST_F(EngineTest, NoIdComesBackWhenADamagedNamespaceIsEmptied)
{
    open();
    for (int i = 0; i < 100; ++i) put(ids(), "", std::string(100, static_cast<char>('a' + i % 26)));
    const auto given = ids().next_id();
    flip(segment(ids(), 1), 20);
    kill_and_open();
    ASSERT_TRUE(engine->find("ids")->failed());

    const auto made = engine->empty(*engine->find("ids"));
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_FALSE((*made)->failed());
    EXPECT_GE((*made)->next_id(), given);
}

}  // namespace
}  // namespace znode::zdb
