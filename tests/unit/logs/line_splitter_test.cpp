#include "logs/line_splitter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode::logs {
namespace {

using testing::ElementsAre;

class LineSplitterTest : public testing::Test {
protected:
    void feed(Kind kind, std::string_view payload, std::uint8_t flags = 0, std::uint64_t skip = 0)
    {
        RecordView record{.kind = kind, .flags = flags, .time_ns = ++time, .payload = payload};
        record.at = {.segment = 1, .offset = offset};
        offset += 24 + payload.size();
        record.next = {.segment = 1, .offset = offset};
        splitter.feed(
            record, skip, [&](std::string_view text, std::int64_t at, const Cursor& after) {
                lines.emplace_back(text);
                times.push_back(at);
                cursors.push_back(after);
            });
    }

    LineSplitter splitter{Stream::out, 16};
    std::vector<std::string> lines;
    std::vector<std::int64_t> times;
    std::vector<Cursor> cursors;
    std::uint64_t offset = 64;
    std::int64_t time = 0;
};

TEST_F(LineSplitterTest, EachLineKeepsItsEndAndKnowsWhereToGoOn)
{
    feed(Kind::out, "a\n\nbc\n");

    EXPECT_THAT(lines, ElementsAre("a\n", "\n", "bc\n"));
    EXPECT_EQ(cursors[0], (Cursor{.segment = 1, .offset = 64, .inner = 2}));
    EXPECT_EQ(cursors[2], (Cursor{.segment = 1, .offset = 64 + 24 + 6}));
}

TEST_F(LineSplitterTest, TheOtherStreamIsSomebodyElses)
{
    feed(Kind::err, "x\n");
    feed(Kind::lost, "stream=err bytes=7");
    EXPECT_THAT(lines, ElementsAre());
}

TEST_F(LineSplitterTest, AHoleIsToldWhereItIs)
{
    feed(Kind::out, "before\nhal", flag_open);
    feed(Kind::lost, "stream=out bytes=7");
    feed(Kind::out, "after\n");
    EXPECT_THAT(
        lines,
        ElementsAre(
            "before\n",
            "hal",
            "[znode: the disk of the logs was full, 7 bytes of this output are lost]\n",
            "after\n"));
    EXPECT_EQ(cursors[2].inner, 0U);
}

TEST_F(LineSplitterTest, CutLineIsJoinedOverRecordsOfTheOtherStream)
{
    feed(Kind::out, "first\nabc", flag_open);
    feed(Kind::err, "between\n");
    feed(Kind::out, "def\nlast\n", flag_continues);

    EXPECT_THAT(lines, ElementsAre("first\n", "abcdef\n", "last\n"));
    EXPECT_EQ(times[1], 1) << "that of its first byte";
    EXPECT_FALSE(splitter.is_open());
}

TEST_F(LineSplitterTest, RestartEndsAnOpenLine)
{
    feed(Kind::out, "prompt> ", flag_open);
    EXPECT_TRUE(splitter.is_open());
    feed(Kind::exited, "code=0");
    feed(Kind::out, "new", flag_open);
    feed(Kind::out, "other\n");

    EXPECT_THAT(lines, ElementsAre("prompt> ", "new", "other\n"));
}

TEST_F(LineSplitterTest, TooLongLinesGoOutInPiecesWithAllTheirBytes)
{
    feed(Kind::out, "0123456789abcdefghij", flag_open);
    feed(Kind::out, "klmnopqrstuvwxyz!\nshort\n", flag_continues);

    EXPECT_THAT(lines, ElementsAre("0123456789abcdef", "ghijklmnopqrstuv", "wxyz!\n", "short\n"));
}

TEST_F(LineSplitterTest, WhatWasDoneInAnEarlierLifeIsSkipped)
{
    feed(Kind::out, "done\nnew\n", 0, 5);
    EXPECT_THAT(lines, ElementsAre("new\n"));
    EXPECT_EQ(cursors[0].offset, 64U + 24 + 9);
}

TEST_F(LineSplitterTest, AnyBytesPassUnchanged)
{
    const std::string odd{"\0\r\xff\x80\n", 5};
    feed(Kind::out, odd);
    EXPECT_THAT(lines, ElementsAre(odd));
}

}  // namespace
}  // namespace znode::logs
