#include "logs/cursor_page.hpp"

#include <fstream>

#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace znode::logs {
namespace {

TEST(CursorPage, NewOneHoldsNothing)
{
    const test::TempFolder folder;
    EXPECT_EQ(CursorPage::open(folder.path() / "page").value().read(), std::nullopt);
}

TEST(CursorPage, LastOneWrittenIsThereForTheNextProgram)
{
    const test::TempFolder folder;
    const auto path = folder.path() / "page";
    {
        auto page = CursorPage::open(path).value();
        for (std::uint64_t i = 1; i <= 3; ++i)
            page.write({{1, i, i * 2, i * 3}, {7, i * 4, i * 5}});
    }
    EXPECT_EQ(CursorPage::open(path).value().read(), (Noted{{1, 3, 6, 9}, {7, 12, 15}}));
}

TEST(CursorPage, ForeignFileIsBegunAnew)
{
    const test::TempFolder folder;
    const auto path = folder.path() / "page";
    std::ofstream{path}
        << "something else, and longer than a page of ours would ever be made: no cursor";
    auto page = CursorPage::open(path).value();
    EXPECT_EQ(page.read(), std::nullopt);
    page.write({.cursor = {2, 64, 0, 10}});
    EXPECT_EQ(page.read(), (Noted{.cursor = {2, 64, 0, 10}}));
}

TEST(CursorPage, FurtherIsASegmentThenAnOffsetThenWithinTheRecord)
{
    EXPECT_TRUE(is_further({2, 64, 0, 0}, {1, 999, 5, 0}));
    EXPECT_TRUE(is_further({1, 70, 0, 0}, {1, 64, 9, 0}));
    EXPECT_TRUE(is_further({1, 64, 3, 0}, {1, 64, 2, 0}));
    EXPECT_FALSE(is_further({1, 64, 3, 0}, {1, 64, 3, 0}));
}

}  // namespace
}  // namespace znode::logs
