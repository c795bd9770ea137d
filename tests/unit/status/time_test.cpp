#include "status/time.hpp"

#include <gtest/gtest.h>

#include "base/text.hpp"

namespace znode::status {
namespace {

TEST(TimeTest, ReadsWhatTheAgentWrites)
{
    for (const std::int64_t time : {0LL, 1'619'600'130'123'456'789LL, 4'000'000'000'000'000'000LL})
        EXPECT_EQ(parse_time(format_time(time)).value(), time);
    EXPECT_EQ(
        parse_time("2021-04-28T10:55:30+02:00").value(),
        parse_time("2021-04-28T08:55:30Z").value());
}

TEST(TimeTest, RefusesWhatIsNoTime)
{
    for (const auto* text :
         {"",
          "now",
          "2021-04-28",
          "2021-04-28T08:55:30",
          "2021-13-01T00:00:00Z",
          "2021-02-31T00:00:00Z",
          "2021-04-28T08:55:30.Z",
          "2021-04-28T08:55:30Zx",
          "2021-04-28T25:00:00Z"})
        EXPECT_EQ(parse_time(text).error().code, Errc::invalid) << text;
}

TEST(TimeTest, UnderstandsHowLongAgo)
{
    constexpr std::int64_t now = 1'700'000'000'000'000'000;
    EXPECT_EQ(parse_moment("90s", now).value(), now - 90'000'000'000);
    EXPECT_EQ(parse_moment("2h", now).value(), now - 7'200'000'000'000);
    EXPECT_EQ(parse_moment("2021-04-28 08:55", now).value(), 1'619'600'100'000'000'000);
    EXPECT_FALSE(parse_moment("ten minutes", now));
    EXPECT_FALSE(parse_moment("-5m", now));
}

TEST(TimeTest, FormatsDurationsForPeople)
{
    EXPECT_EQ(format_seconds(0), "0 s");
    EXPECT_EQ(format_seconds(-3), "0 s");
    EXPECT_EQ(format_seconds(0.0432), "43 ms");
    EXPECT_EQ(format_seconds(1.24), "1.2 s");
    EXPECT_EQ(format_seconds(66.7), "67 s");
    EXPECT_EQ(format_seconds(300), "5 min");
    EXPECT_EQ(format_seconds(7500), "2 h 05 min");
    EXPECT_EQ(format_seconds(273600), "3 d 4 h");
}

}  // namespace
}  // namespace znode::status
