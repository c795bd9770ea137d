#include "http/url.hpp"

#include <gtest/gtest.h>

#include "http/message.hpp"

namespace znode::http {
namespace {

TEST(UrlTest, TakesAFullUrlApart)
{
    const auto url = parse_url("Redis://me:p%40ss@Host.example:6379/a/b?x=1#part");
    ASSERT_TRUE(url) << url.error().message;
    EXPECT_EQ(url->scheme, "redis");
    EXPECT_EQ(url->user, "me");
    EXPECT_EQ(url->password.reveal(), "p@ss");
    EXPECT_EQ(url->host, "host.example");
    EXPECT_EQ(url->port, "6379");
    EXPECT_EQ(url->path, "/a/b");
    EXPECT_EQ(url->query, "x=1");
    EXPECT_EQ(url->text(), "redis://host.example:6379/a/b?x=1") << "the password is not shown";
}

TEST(UrlTest, Ipv6LiteralsLoseTheirBracketsAndKeepThemInText)
{
    const auto url = parse_url("http://[2001:DB8::1]:8080/x");
    ASSERT_TRUE(url) << url.error().message;
    EXPECT_EQ(url->host, "2001:db8::1");
    EXPECT_EQ(url->authority(), "[2001:db8::1]:8080");
    EXPECT_EQ(parse_url("https://[::1]")->endpoint().port, "443");
}

TEST(UrlTest, RefusesWhatIsNoUrl)
{
    for (const auto* text :
         {"",
          "host",
          "://x",
          "http://",
          "http://:80",
          "http://a b",
          "http://a/\n",
          "http://a:0",
          "http://a:65536",
          "http://a:1x",
          "http://a:",
          "http://[::1",
          "http://[zz]",
          "http://[::1]x",
          "http://a/%4",
          "http://a/%zz",
          "http://u@v@host/",
          "http://h\xc3\xa9/",
          "http://u:%z@h/"})
        EXPECT_FALSE(parse_url(text)) << text;
}

TEST(UrlTest, RefusalsDoNotShowThePassword)
{
    const auto url = parse_url("http://user:hunter2@host:99999/");
    ASSERT_FALSE(url);
    EXPECT_EQ(url.error().message.find("hunter2"), std::string::npos);
}

TEST(UrlTest, PercentEscapesGoBothWays)
{
    EXPECT_EQ(percent_encode("a b/é"), "a%20b%2F%C3%A9");
    EXPECT_EQ(percent_decode("a%20b%2f%C3%A9").value(), "a b/é");
    EXPECT_FALSE(percent_decode("%"));
    EXPECT_FALSE(percent_decode("%a"));
}

TEST(TargetTest, QueryArgumentsAreDecodedAndTheFirstCounts)
{
    const auto target = parse_target("/nodes?farm=1&farm=2&city=S%C3%A3o+Paulo&bad=%zz&flag");
    EXPECT_EQ(target.path, "/nodes");
    EXPECT_EQ(target.find("farm"), "1");
    EXPECT_EQ(target.find("city"), "São Paulo");
    EXPECT_EQ(target.find("bad"), std::nullopt);
    EXPECT_EQ(target.find("flag"), "");
}

TEST(HeadersTest, NamesCompareWithoutCase)
{
    Headers headers{{"X-Last-Id", "4"}};
    headers.add("x-last-id", "5");
    EXPECT_EQ(headers.get("X-LAST-ID"), "4");
    EXPECT_EQ(headers.all("x-last-Id").size(), 2U);
    headers.set("X-last-id", "6");
    EXPECT_EQ(headers.all("x-last-id"), std::vector<std::string_view>{"6"});
}

TEST(DateTest, GoesBothWays)
{
    EXPECT_EQ(format_date(1619600000), "Wed, 28 Apr 2021 08:53:20 GMT");
    EXPECT_EQ(parse_date("Wed, 28 Apr 2021 08:53:20 GMT"), 1619600000);
    EXPECT_EQ(parse_date("Wed, 28 Apr 2021 08:53:20 CET"), std::nullopt);
    EXPECT_EQ(parse_date("nonsense"), std::nullopt);
}

}  // namespace
}  // namespace znode::http
