#include "storage/use_notes.hpp"

#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace znode::storage {
namespace {

namespace fs = std::filesystem;

class UseNotesTest : public testing::Test {
protected:
    /// The note of this pool cannot be written.
    void given_a_full_disk_for(const fs::path& pool)
    {
        fs::create_directories(notes.of(pool).string() + ".new/in the way");
    }

    test::TempFolder folder;
    UseNotes notes{folder.path() / "state/pools"};
    const fs::path a = "/mnt/a/pool";
    const fs::path b = "/mnt/b/pool";
};

TEST_F(UseNotesTest, PoolWithoutANoteWasNeverUsedOnceTheNotesAreComplete)
{
    EXPECT_TRUE(notes.may_hold(a)) << "nobody has kept notes so far";
    ASSERT_TRUE(notes.note(b, "1"));
    ASSERT_TRUE(notes.complete({b}));

    EXPECT_TRUE(notes.may_hold(b));
    EXPECT_FALSE(notes.may_hold(a));
}

TEST_F(UseNotesTest, NotesThatBeginWhileAPoolIsAwayKeepTheDoubtUntilItIsSeen)
{
    ASSERT_TRUE(notes.note(b, "1"));
    EXPECT_TRUE(notes.may_hold(a)) << "the agent dies here";
    ASSERT_TRUE(notes.complete({a, b}));
    ASSERT_TRUE(notes.complete({a, b}));

    EXPECT_TRUE(notes.may_hold(a));
    EXPECT_FALSE(fs::exists(notes.of(a))) << "it may be made: that it was used is not known";
    ASSERT_TRUE(notes.note(a, "2"));
    ASSERT_TRUE(fs::exists(notes.of(a)));
    fs::remove(notes.of(a));
    EXPECT_FALSE(notes.may_hold(a)) << "the operator has begun it anew";
}

TEST_F(UseNotesTest, PoolWhoseUseCannotBeNotedEndsAllCertainty)
{
    ASSERT_TRUE(notes.complete({}));
    ASSERT_FALSE(notes.may_hold(a));
    given_a_full_disk_for(a);

    EXPECT_FALSE(notes.note(a, "1"));
    EXPECT_TRUE(notes.may_hold(a));
    EXPECT_TRUE(notes.may_hold(b));
    ASSERT_TRUE(notes.complete({a}));
    EXPECT_TRUE(notes.may_hold(a));
    EXPECT_FALSE(notes.may_hold(b));
}

TEST_F(UseNotesTest, DoubtIsAsGoodAsANoteThatCannotBeWritten)
{
    ASSERT_TRUE(notes.complete({a}));
    given_a_full_disk_for(a);

    EXPECT_FALSE(notes.note(a, "1"));
    EXPECT_TRUE(notes.may_hold(a));
    EXPECT_FALSE(notes.may_hold(b));
}

TEST_F(UseNotesTest, PoolsOfOneNameInDifferentFoldersAreDifferent)
{
    EXPECT_NE(notes.of("/a/b%2Fc"), notes.of("/a/b/c"));
    EXPECT_EQ(notes.of("/" + std::string(400, 'x')).filename().string().size(), 200U);
}

TEST_F(UseNotesTest, WithoutAFolderNothingIsKnown)
{
    const UseNotes none{{}};
    EXPECT_TRUE(none.note(a, "1"));
    EXPECT_TRUE(none.complete({a}));
    EXPECT_TRUE(none.may_hold(a));
    EXPECT_TRUE(none.of(a).empty());
}

}  // namespace
}  // namespace znode::storage
