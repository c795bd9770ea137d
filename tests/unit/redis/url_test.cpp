#include "redis/url.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace znode::redis {
namespace {

Result<Target> parse(std::string url) { return parse_target(Secret{std::move(url)}); }

TEST(UrlTest, PasswordHostPortChannel)
{
    const auto target = parse("redis://:secret@redis.example.org:6380/gaia-stdout");
    ASSERT_TRUE(target) << target.error().message;
    EXPECT_EQ(target->server.endpoint.kind, Endpoint::Kind::tcp);
    EXPECT_EQ(target->server.endpoint.host, "redis.example.org");
    EXPECT_EQ(target->server.endpoint.port, "6380");
    EXPECT_EQ(target->server.user, "");
    EXPECT_EQ(target->server.password.reveal(), "secret");
    EXPECT_EQ(target->channel, "gaia-stdout");
}

TEST(UrlTest, PortHasADefaultAndTlsAScheme)
{
    const auto target = parse("rediss://user:p%40ss%@[2001:db8::1]/a/b?x=1#y");
    ASSERT_TRUE(target) << target.error().message;
    EXPECT_EQ(target->server.endpoint.kind, Endpoint::Kind::tls);
    EXPECT_EQ(target->server.endpoint.host, "2001:db8::1");
    EXPECT_EQ(target->server.endpoint.port, "6379");
    EXPECT_EQ(target->server.user, "user");
    EXPECT_EQ(target->server.password.reveal(), "p@ss%");
    EXPECT_EQ(target->channel, "a/b");
}

TEST(UrlTest, AtSignsInPasswordAndChannel)
{
    EXPECT_EQ(parse("redis://:a@b@host/c")->server.password.reveal(), "a@b");
    const auto channel = parse("redis://:pw@host/me@home");
    ASSERT_TRUE(channel);
    EXPECT_EQ(channel->server.endpoint.host, "host");
    EXPECT_EQ(channel->channel, "me@home");
    EXPECT_EQ(parse("redis://host:1/me@home")->channel, "me@home");
}

TEST(UrlTest, WhatIsWrongIsSaidWithoutTheSecret)
{
    for (const auto* url :
         {"",
          "http://:pw12@host/c",
          "redis://:pw12@host",
          "redis://:pw12@host/",
          "redis://:pw12@/c",
          "redis://:pw12@host:0/c",
          "redis://:pw12@host:70000/c",
          "redis://:pw12@host:six/c",
          "redis://:pw12@::1/c",
          "redis://:pw12@[::1/c",
          "redis://:pw12@[::1]x/c",
          "redis://:pw12@host\r\n/c",
          "redis://:pw12@host/c\r\nSHUTDOWN",
          "redis://:pw12@host/c\tx"}) {
        const auto target = parse(url);
        ASSERT_FALSE(target) << url;
        EXPECT_EQ(target.error().code, Errc::invalid);
        EXPECT_THAT(target.error().message, testing::Not(testing::HasSubstr("pw12")));
    }
    EXPECT_FALSE(parse("redis://h/" + std::string(600, 'c')));
    EXPECT_FALSE(parse("redis://h/" + std::string(5000, 'c')));
}

}  // namespace
}  // namespace znode::redis
