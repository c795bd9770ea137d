#include "engine/journal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/files.hpp"
#include "temp_folder.hpp"

namespace znode::engine {
namespace {

class JournalTest : public testing::Test {
protected:
    Journal open()
    {
        auto opened = Journal::open(path);
        EXPECT_TRUE(opened) << opened.error().message;
        return *std::move(opened);
    }
    static Entry entry_named(std::string gwid)
    {
        Entry entry;
        entry.order.gwid = std::move(gwid);
        entry.order.type = "volume";
        entry.order.document = "{}";
        entry.accepted = entry.since = 5;
        return entry;
    }

    test::TempFolder folder;
    std::filesystem::path path = folder.path() / "state.db";
};

TEST_F(JournalTest, RemembersWhatWasAcceptedAndItsHistory)
{
    auto entry = entry_named("1-1");
    {
        auto journal = open();
        ASSERT_TRUE(journal.accept(entry));
        entry.state = State::running;
        entry.was_ok = true;
        entry.result = "null";
        ASSERT_TRUE(journal.record(entry, State::deploying, {}));
    }
    auto journal = open();
    const auto entries = journal.load({}, 100).value();
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(entries[0].state, State::running);
    EXPECT_TRUE(entries[0].was_ok);
    const auto history = journal.history_of("1-1").value();
    ASSERT_EQ(history.size(), 2U);
    EXPECT_EQ(history[1].from, "deploying");
    EXPECT_EQ(journal.last_sequence().value(), history[1].sequence);
}

TEST_F(JournalTest, NothingFollowsOnARemoval)
{
    auto journal = open();
    const auto entry = entry_named("1-1");
    ASSERT_TRUE(journal.accept(entry));
    Letter ok{.gwid = "1-1", .kind = Letter::Kind::result, .state = 1};
    Letter removed{.gwid = "1-1", .kind = Letter::Kind::removed};
    Letter other{.gwid = "2-1", .kind = Letter::Kind::result, .state = 1};
    ASSERT_TRUE(journal.write(other));
    ASSERT_TRUE(journal.record(entry, State::waiting, {ok}));
    ASSERT_TRUE(journal.record(entry, State::running, {removed}));

    const auto unsent = journal.unsent(10).value();
    ASSERT_EQ(unsent.size(), 2U);
    EXPECT_EQ(unsent[0].gwid, "2-1");
    EXPECT_EQ(unsent[1].kind, Letter::Kind::removed);
    ASSERT_TRUE(journal.sent(unsent[0].id));
    EXPECT_EQ(journal.unsent(10).value().size(), 1U);
}

TEST_F(JournalTest, GivesEachTenantOneRangeForEver)
{
    auto journal = open();
    EXPECT_EQ(journal.uid_range(7, 1'000'000).value(), 1'000'000U);
    EXPECT_EQ(journal.uid_range(9, 1'000'000).value(), 1'065'536U);
    EXPECT_EQ(journal.uid_range(7, 5).value(), 1'000'000U);
}

TEST_F(JournalTest, RangesThatAreFoundOnDiskStayWithTheirOwners)
{
    auto journal = Journal::open(path).value();
    EXPECT_FALSE(journal.has_uid_ranges().value());
    ASSERT_TRUE(journal.keep_uid_range(9, 1'000'000 + 3 * 65536));
    ASSERT_TRUE(journal.keep_uid_range(9, 77)) << "who has one keeps it";
    ASSERT_TRUE(journal.keep_uid_range(8, 1'000'000 + 3 * 65536)) << "and it is nobody else's";
    EXPECT_TRUE(journal.has_uid_ranges().value());
    EXPECT_EQ(journal.uid_range(9, 1'000'000).value(), 1'000'000U + 3 * 65536);
    EXPECT_EQ(journal.uid_range(8, 1'000'000).value(), 1'000'000U + 4 * 65536);
}

TEST_F(JournalTest, MovesADamagedDatabaseAside)
{
    ASSERT_TRUE(kernel::write_file_atomically(path, std::string(20'000, '?'), 0600));
    auto journal = open();
    EXPECT_THAT(journal.moved_aside(), testing::HasSubstr("state.db.damaged-"));
    EXPECT_TRUE(std::filesystem::exists(journal.moved_aside()));
    EXPECT_TRUE(journal.load({}, 100).value().empty());
}

}  // namespace
}  // namespace znode::engine
