#include "grid/scalars.hpp"

#include <gtest/gtest.h>

namespace znode::grid {
namespace {

std::string ip(std::string_view text)
{
    const auto parsed = Ip::parse(text);
    return parsed ? parsed->text() : "error";
}
std::string range(std::string_view text)
{
    const auto parsed = IpRange::parse(text);
    return parsed ? parsed->text() : "error";
}

TEST(IpTest, TextIsCanonical)
{
    EXPECT_EQ(ip("10.0.0.1"), "10.0.0.1");
    EXPECT_EQ(ip("2A02:0:0:0:1::5"), "2a02::1:0:0:5");
    EXPECT_EQ(ip("::"), "::");
    EXPECT_EQ(ip("::1"), "::1");
    EXPECT_EQ(ip("1::"), "1::");
    EXPECT_EQ(ip("1:0:2:0:0:3:0:0"), "1:0:2::3:0:0");
    EXPECT_EQ(ip("1:0:2:3:4:5:6:7"), "1:0:2:3:4:5:6:7");
    EXPECT_EQ(ip("::ffff:10.0.0.1"), "10.0.0.1");
    EXPECT_EQ(ip("::1.2.3.4"), "::102:304");
    EXPECT_EQ(ip(""), "");
    for (const auto* wrong : {"10.0.0", "010.0.0.1", "10.0.0.256", "x", "1:2", "fe80::1%eth0", " "})
        EXPECT_EQ(ip(wrong), "error") << wrong;
}

TEST(IpRangeTest, HostBitsStayAndLengthIsChecked)
{
    EXPECT_EQ(range("10.1.2.3/24"), "10.1.2.3/24");
    EXPECT_EQ(range("0.0.0.0/0"), "0.0.0.0/0");
    EXPECT_EQ(range("2A02:0:0::1/128"), "2a02::1/128");
    EXPECT_EQ(range("::ffff:10.0.0.0/104"), "10.0.0.0/8");
    EXPECT_EQ(range(""), "");
    for (const auto* wrong :
         {"10.0.0.1",
          "10.0.0.0/33",
          "::/129",
          "/24",
          "10.0.0.0/",
          "10.0.0.0/-1",
          "10.0.0.0/+8",
          "10.0.0.0/8x",
          "10.0.0.0/99999999999"})
        EXPECT_EQ(range(wrong), "error") << wrong;
}

TEST(DateTest, AllFormsAreRead)
{
    EXPECT_EQ(parse_date("2021/04/28 08:53")->unix, 1619599980);
    EXPECT_EQ(parse_date("28/04/2021 08am:53")->unix, 1619599980);
    EXPECT_EQ(parse_date("28/04/2021 08pm:53")->unix, 1619599980 + 12 * 3600);
    EXPECT_EQ(parse_date("21/04/28")->unix, 1619568000);
    EXPECT_TRUE(parse_date("04/28"));
    EXPECT_FALSE(parse_date("")->is_set());
    for (const auto* wrong :
         {"x",
          "2021",
          "2021/13/01",
          "2021/01/32",
          "1/2/3/4",
          "2021/04/28 8",
          "2021/04/28 25:00",
          "1619600000",
          "//",
          "2021/-4/28"})
        EXPECT_FALSE(parse_date(wrong)) << wrong;
}

TEST(GwidTest, IsDecimalWithoutLeadingZeros)
{
    EXPECT_EQ(Gwid::parse("4321-1")->text(), "4321-1");
    EXPECT_EQ(*Gwid::parse("12-0"), (Gwid{12, 0}));
    for (const auto* wrong :
         {"",
          "-",
          "1",
          "1-",
          "-1",
          "01-1",
          "1-01",
          "1-1-1",
          "a-1",
          "1-b",
          "99999999999999999999-1",
          " 1-1",
          "+1-1"})
        EXPECT_FALSE(Gwid::parse(wrong)) << wrong;
}

}  // namespace
}  // namespace znode::grid
