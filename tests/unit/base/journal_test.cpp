#include "base/journal.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(JournalTest, LineIsFramedWithItsLength)
{
    const auto entry = journal_entry("znoded", 6, "two\nlines");

    EXPECT_EQ(
        entry,
        std::string{"PRIORITY=6\nSYSLOG_IDENTIFIER=znoded\nMESSAGE\n"} + '\x09' +
            std::string(7, '\0') + "two\nlines\n");
}

TEST(JournalTest, WorkloadAndStateAreFields)
{
    const auto entry =
        journal_entry("znoded", 6, "workload 12-1 type=volume state=running was=deploying");

    EXPECT_THAT(entry, HasSubstr("\nZNODE_WORKLOAD=12-1\n"));
    EXPECT_THAT(entry, HasSubstr("\nZNODE_STATE=running\n"));
}

TEST(JournalTest, WorkloadIsFoundUnderEachName)
{
    for (const auto* line :
         {"container started id=7-2 pid=9",
          "network up gwid=7-2 network=x",
          "refused workload=7-2"})
        EXPECT_THAT(journal_entry("znoded", 6, line), HasSubstr("\nZNODE_WORKLOAD=7-2\n")) << line;
}

TEST(JournalTest, OtherIdsAndTextsOfOthersAreNoFields)
{
    EXPECT_THAT(journal_entry("znoded", 4, "network id=4DgYjK pid=7"), Not(HasSubstr("WORKLOAD")));
    EXPECT_THAT(journal_entry("znoded", 4, "grid=1-2 told"), Not(HasSubstr("WORKLOAD")));
    const auto entry = journal_entry("znoded", 4, "refused error=\"x id=1-1 state=running\"");
    EXPECT_THAT(entry, Not(HasSubstr("WORKLOAD")));
    EXPECT_THAT(entry, Not(HasSubstr("ZNODE_STATE")));
}

}  // namespace
}  // namespace znode
