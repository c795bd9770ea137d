// Giving space back on a disk that is full.

#include "reserve.hpp"

#include <thread>

#include "zdb_fixture.hpp"

namespace znode::zdb {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kib = 1024;

TEST_F(EngineTest, AReserveIsSpentOnceAndGrowsByWhatIsFreed)
{
    Reserve reserve;
    reserve.open(folder.path() / "reserve", 1024 * kib);
    EXPECT_FALSE(reserve.missing());
    EXPECT_FALSE(reserve.spend(1)) << "it is not given up";
    ASSERT_TRUE(reserve.give_up());
    auto chances = reserve.chances();
    EXPECT_TRUE(reserve.spend(700 * kib));
    EXPECT_FALSE(reserve.spend(100 * kib)) << "that is for those who delete";
    reserve.gain(100 * kib);
    EXPECT_GT(reserve.chances(), chances);
    EXPECT_TRUE(reserve.spend(100 * kib));

    chances = reserve.chances();
    reserve.refund(100 * kib, reserve.round() - 1);
    EXPECT_FALSE(reserve.spend(100 * kib)) << "of a round before: all was handed out anew";
    EXPECT_EQ(reserve.chances(), chances);
    reserve.refund(100 * kib, reserve.round());
    EXPECT_GT(reserve.chances(), chances);
    EXPECT_TRUE(reserve.spend(100 * kib));
}

/// What copies may take on it: the other quarter is for those who delete.
constexpr std::uint64_t room = 768 * kib;
/// Of one value with its key.
constexpr std::uint64_t record = 10288;

class FullDiskTest : public EngineTest {
protected:
    FullDiskTest() { model.segment_size = 1024 * kib; }

    /// From here on the disk is full, as far as the engine knows: the reserve is given up, and no
    /// other can be made.
    void fill_disk()
    {
        engine.reset();
        ASSERT_TRUE(std::filesystem::create_directory(folder.path() / "data" / "reserve"));
        model.reserve = 1024 * kib;
        open();
    }
    void empty_disk()
    {
        engine.reset();
        std::filesystem::remove_all(folder.path() / "data");
        std::filesystem::remove_all(folder.path() / "index");
        model.reserve = 0;
        open();
    }
    static std::string key(std::uint64_t n) { return "key" + std::to_string(1000 + n); }
    /// Fills the first segment of a namespace and begins the second; how many lie in the first.
    std::uint64_t sow(const std::string& name)
    {
        std::uint64_t count = 0;
        for (; space(name).active_segment() < 2; ++count)
            put(space(name), key(count), std::string(10240, 'x'));
        return count - 1;
    }
    void remove(const std::string& name, std::uint64_t from, std::uint64_t end)
    {
        for (; from < end; ++from)
            EXPECT_EQ(space(name).remove(key(from), 1), DeleteOutcome::deleted);
        EXPECT_TRUE(engine->commit().empty());
    }
    /// Until nobody has more to give back; `each` is called between two steps.
    void compact(std::chrono::microseconds step, const std::function<void(int)>& each = {})
    {
        // Idle once is not enough: what one gave back is a chance for others.
        const auto late = std::chrono::steady_clock::now() + 60s;
        int idle = 0;
        for (int n = 0; idle < 3; ++n) {
            ASSERT_LT(std::chrono::steady_clock::now(), late) << "compaction does not end";
            const auto left = engine->compact(step);
            idle = left == Compaction::idle ? idle + 1 : 0;
            if (left == Compaction::waiting) std::this_thread::yield();
            if (each) each(n);
        }
    }
    std::uint64_t disk_bytes() const
    {
        std::uint64_t sum = 0;
        for (const Space* one : engine->spaces()) sum += one->disk_bytes();
        return sum;
    }
};

TEST_F(FullDiskTest, RoomThatADroppedCompactionWasGivenIsGivenToOthers)
{
    for (const char* how : {"remove", "empty", "reload"}) {
        SCOPED_TRACE(how);
        empty_disk();
        const auto count = sow("dropped");
        sow("other");
        // Living are 50: there is room for the copies of one of the two.
        remove("dropped", 50, count);
        fill_disk();
        ASSERT_EQ(engine->compact(0us), Compaction::busy) << "begun, and nothing copied";

        if (how == std::string_view{"remove"}) EXPECT_TRUE(engine->remove(space("dropped")));
        if (how == std::string_view{"empty"}) EXPECT_TRUE(engine->empty(space("dropped")));
        if (how == std::string_view{"reload"}) EXPECT_TRUE(engine->reload(space("dropped")));
        remove("other", 50, count);
        compact(5ms);

        EXPECT_EQ(space("other").oldest_segment(), 2U);
        EXPECT_EQ(space("other").entries(), 51U);
    }
}

TEST_F(FullDiskTest, NamespacesTogetherTakeNoMoreThanTheReserveGave)
{
    for (const bool reloading : {false, true}) {
        SCOPED_TRACE(reloading);
        empty_disk();
        std::vector<std::string> names;
        for (int n = 0; n < 6; ++n) {
            names.push_back("n" + std::to_string(n));
            remove(names.back(), 30, sow(names.back()));
        }
        fill_disk();
        const auto before = disk_bytes();
        auto most = before;

        // Steps of some records: as many as there is room for are under way at once.
        compact(20us, [&](int step) {
            most = std::max(most, disk_bytes());
            // What was copied stays, what is left to copy is asked for anew.
            if (reloading && step < 60 && step % 10 == 9)
                EXPECT_TRUE(engine->reload(space(names[static_cast<std::size_t>(step / 10)])));
        });

        EXPECT_LE(most, before + room);
        if (!reloading) EXPECT_GT(most, before + 30 * record) << "one after the other";
        for (const auto& name : names) {
            EXPECT_EQ(space(name).oldest_segment(), 2U) << name;
            EXPECT_EQ(space(name).entries(), 31U) << name;
            EXPECT_EQ(get(space(name), key(7)), std::string(10240, 'x'));
        }
    }
}

}  // namespace
}  // namespace znode::zdb
