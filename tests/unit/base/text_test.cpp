#include "base/text.hpp"

#include <gtest/gtest.h>

#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "base/secret.hpp"

namespace znode {
namespace {

TEST(SizeTest, ReadsWhatPeopleWrite)
{
    EXPECT_EQ(parse_size("350MiB").value(), 350U << 20U);
    EXPECT_EQ(parse_size("10 GB").value(), 10'000'000'000U);
    EXPECT_EQ(parse_size("1.5k").value(), 1536U);
    EXPECT_EQ(parse_size("4096").value(), 4096U);
}

TEST(SizeTest, RefusesWhatIsNoSize)
{
    for (const auto* text : {"", "GiB", "ten", "5 parsecs", "-1", "1.2.3", "99999999999TiB"})
        EXPECT_EQ(parse_size(text).error().code, Errc::invalid) << text;
}

TEST(SizeTest, PrintsAtMostOneDecimal)
{
    EXPECT_EQ(format_size(0), "0 B");
    EXPECT_EQ(format_size(1536), "1.5 KiB");
    EXPECT_EQ(format_size(20ULL << 30U), "20 GiB");
}

TEST(PrintableTest, HidesControlCharactersAndBrokenUtf8)
{
    EXPECT_EQ(printable("a\nb"), "a\\x0ab");
    EXPECT_EQ(printable("\x1b[31m"), "\\x1b[31m");
    EXPECT_EQ(printable("grün"), "grün");
    EXPECT_EQ(printable("\xc3"), "\\xc3");
    EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b");
    EXPECT_EQ(printable("abcdef", 3), "abc…");
}

TEST(TimeTest, CountsNanosecondsBeforeTheEpochToo)
{
    EXPECT_EQ(format_time(0), "1970-01-01T00:00:00.000000000Z");
    EXPECT_EQ(format_time(1'617'235'200'000'000'001), "2021-04-01T00:00:00.000000001Z");
    EXPECT_EQ(format_time(-1), "1969-12-31T23:59:59.999999999Z");
}

TEST(HexTest, ReadsBothCasesAndRefusesTheRest)
{
    EXPECT_EQ(to_hex(std::string_view{"\x00\xff", 2}), "00ff");
    EXPECT_EQ(from_hex("4F4b").value(), "OK");
    EXPECT_FALSE(from_hex("4"));
    EXPECT_FALSE(from_hex("zz"));
}

TEST(Base64Test, RoundTripsAndTakesMissingPadding)
{
    EXPECT_EQ(to_base64("a"), "YQ==");
    EXPECT_EQ(from_base64("YQ==").value(), "a");
    EXPECT_EQ(from_base64("YQ").value(), "a");
    EXPECT_EQ(to_base64(""), "");
    EXPECT_FALSE(from_base64("Y Q"));
}

TEST(SecretTest, UrlsLoseTheirPassword)
{
    EXPECT_EQ(without_password("redis://:p@ss@host:6379/x"), "redis://***@host:6379/x");
    EXPECT_EQ(without_password("redis://host/a@b"), "redis://host/a@b");
    EXPECT_EQ(without_password("zdb://u:p@[::1]:9900/ns"), "zdb://***@[::1]:9900/ns");
}

TEST(SecretTest, MovedFromIsEmpty)
{
    Secret from{"short"};
    const Secret to{std::move(from)};
    EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move): what is tested.
    EXPECT_EQ(to.reveal(), "short");
}

#ifdef ZNODE_FAILPOINTS
Result<> passes()
{
    FP("base.test.point");
    return {};
}

TEST(FailpointTest, IsListedAndHarmlessUnlessArmed)
{
    EXPECT_TRUE(passes());
    const auto names = failpoints();
    EXPECT_NE(std::ranges::find(names, "base.test.point"), names.end());
}
#endif

}  // namespace
}  // namespace znode
