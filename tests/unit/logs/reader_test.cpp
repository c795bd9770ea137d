#include "logs/reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logs/folder_watch.hpp"
#include "segment_writer.hpp"
#include "temp_folder.hpp"

namespace znode::logs {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

class ReaderTest : public testing::Test {
protected:
    std::vector<std::string> payloads(RecordReader& reader)
    {
        std::vector<std::string> all;
        for (;;) {
            const auto chunk = reader.next();
            EXPECT_TRUE(chunk) << chunk.error().message;
            if (!chunk || chunk->records.empty()) return all;
            for (const auto& record : chunk->records) all.emplace_back(record.payload);
        }
    }

    std::vector<std::string> lines(Query query)
    {
        const auto reader = make_line_reader(path(), query, watch, disks);
        std::vector<std::string> all;
        for (;;) {
            auto got = run(loop, reader->next());
            EXPECT_TRUE(got) << got.error().message;
            if (!got || !*got) return all;
            for (auto& line : **got) all.push_back(std::move(line.text));
        }
    }

    std::filesystem::path path() const { return folder.path() / "12-1"; }

    test::TempFolder folder;
    asio::io_context loop{1};
    Blocking disks{1};
    FolderWatch watch{loop};
};

TEST_F(ReaderTest, FolderThatIsNotThereHasNothing)
{
    RecordReader reader{path(), {}};
    EXPECT_THAT(payloads(reader), ElementsAre());
    EXPECT_THAT(lines({}), ElementsAre());
}

TEST_F(ReaderTest, GoesOnOverRotationAndGrowth)
{
    test::SegmentWriter writer{path()};
    RecordReader reader{path(), {}};
    writer.out("a\n");
    EXPECT_THAT(payloads(reader), ElementsAre("a\n"));
    EXPECT_THAT(payloads(reader), ElementsAre());
    writer.out("b\n");
    writer.rotate();
    writer.rotate();
    writer.err("c\n");
    EXPECT_THAT(payloads(reader), ElementsAre("b\n", "c\n"));
    EXPECT_EQ(reader.position().segment, 3U);
    EXPECT_EQ(reader.position().bytes, 6U);
}

TEST_F(ReaderTest, CursorTakesUpWhereItWasLeft)
{
    test::SegmentWriter writer{path()};
    writer.out("a\n");
    RecordReader first{path(), {}};
    (void)payloads(first);
    writer.out("b\n");

    RecordReader second{path(), first.position()};

    EXPECT_THAT(payloads(second), ElementsAre("b\n"));
}

TEST_F(ReaderTest, WhatWasRotatedAwayIsCounted)
{
    test::SegmentWriter writer{path()};
    writer.out("read\n");
    RecordReader first{path(), {}};
    (void)payloads(first);
    writer.out("lost 1\n");
    writer.rotate();
    writer.out("lost 2\n");
    writer.rotate();
    writer.out("kept\n");
    writer.remove(1);
    writer.remove(2);

    RecordReader reader{path(), first.position()};

    EXPECT_THAT(payloads(reader), ElementsAre("kept\n"));
    EXPECT_EQ(reader.lost_bytes(), 14U);
}

TEST_F(ReaderTest, TornEndIsWaitedForAndSkippedOnceTheSegmentIsComplete)
{
    test::SegmentWriter writer{path()};
    writer.out("good\n");
    writer.put("ZLgarbage that is no header at all, really");
    RecordReader reader{path(), {}};
    EXPECT_THAT(payloads(reader), ElementsAre("good\n"));
    EXPECT_EQ(reader.damaged_segments(), 0U);

    writer.rotate();
    writer.out("next\n");

    EXPECT_THAT(payloads(reader), ElementsAre("next\n"));
    EXPECT_EQ(reader.damaged_segments(), 1U);
}

TEST_F(ReaderTest, HalfARecordIsNotThereYet)
{
    test::SegmentWriter writer{path()};
    const std::string payload = "whole\n";
    const auto header = make_record_header(Kind::out, 0, 5, payload.data(), 6);
    const std::string bytes =
        std::string{reinterpret_cast<const char*>(&header), sizeof header} + payload;
    RecordReader reader{path(), {}};
    writer.put(bytes.substr(0, 27));
    EXPECT_THAT(payloads(reader), ElementsAre());
    writer.put(bytes.substr(27));
    EXPECT_THAT(payloads(reader), ElementsAre("whole\n"));
}

TEST_F(ReaderTest, TailIsTheLastLinesOverSegments)
{
    test::SegmentWriter writer{path()};
    for (int i = 0; i < 100; ++i) {
        if (i % 30 == 0) writer.rotate();
        writer.out(std::to_string(i) + "\n");
        writer.err("e" + std::to_string(i) + "\n");
    }
    EXPECT_THAT(lines({.tail = 3}), ElementsAre("e98", "99", "e99"));
    EXPECT_THAT(lines({.stream = Stream::out, .tail = 2}), ElementsAre("98", "99"));
    EXPECT_EQ(lines({.tail = 1000}).size(), 200U);
    EXPECT_EQ(lines({.tail = 0}).size(), 0U);
    EXPECT_EQ(lines({.stream = Stream::out, .tail = 60}).front(), "40");
    EXPECT_EQ(lines({}).size(), 200U);
}

TEST_F(ReaderTest, SinceSkipsWhatIsOlder)
{
    test::SegmentWriter writer{path()};  // Its clock ticks once a record, from 1000.
    for (int i = 0; i < 50; ++i) {
        if (i % 10 == 0) writer.rotate();
        writer.out(std::to_string(i) + "\n");
    }
    EXPECT_THAT(lines({.since_ns = 1047}), ElementsAre("47", "48", "49"));
    EXPECT_EQ(lines({.since_ns = 0}).size(), 50U);
}

TEST_F(ReaderTest, LastLineWithoutEndIsShown)
{
    test::SegmentWriter writer{path()};
    writer.out("a\nprompt> ", flag_open);
    EXPECT_THAT(lines({}), ElementsAre("a", "prompt> "));
}

Task<std::vector<std::string>> converse(LineReader* reader, test::SegmentWriter* writer)
{
    std::vector<std::string> all;
    while (all.size() < 3) {
        const auto got = co_await reader->next();
        if (!got || !*got) break;
        for (const auto& line : **got) all.push_back(line.text);
        if (all.size() == 1) writer->out("new 1\n");
        if (all.size() == 2) {
            writer->rotate();
            writer->out("new 2\n");
        }
    }
    co_return all;
}

TEST_F(ReaderTest, FollowerIsWokenByNewLinesOverRotation)
{
    test::SegmentWriter writer{path()};
    writer.out("old 1\nold 2\n");
    const auto reader = make_line_reader(path(), {.tail = 1, .follow = true}, watch, disks);

    const auto got = run(loop, run_until(sleep_for(10s), converse(reader.get(), &writer)));
    run(loop, watch.stop());

    ASSERT_TRUE(got) << "not woken";
    EXPECT_THAT(*got, ElementsAre("old 2", "new 1", "new 2"));
}

}  // namespace
}  // namespace znode::logs
