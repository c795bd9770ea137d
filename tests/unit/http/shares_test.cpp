#include "shares.hpp"

#include <gtest/gtest.h>

#include "http/server.hpp"

namespace znode::http {
namespace {

TEST(SharesTest, WhatIsBeyondTheShareIsRefusedAndHoldsNothing)
{
    Share share{800};
    Holding first{""};
    Holding second{""};
    EXPECT_TRUE(first.hold(&share, 500));
    EXPECT_TRUE(second.hold(&share, 300));
    EXPECT_FALSE(second.hold(&share, 301));
    EXPECT_EQ(share.held(), 500U);
    EXPECT_TRUE(second.hold(nullptr, 1'000'000)) << "of no share";
    first.release();
    EXPECT_EQ(share.held(), 0U);
}

TEST(SharesTest, OneNetworkHasAnEighthAndOthersTheRest)
{
    Share share{800};
    Holding mine{"10.0.0.1"};
    Holding more{"10.0.0.1"};
    Holding other{"10.0.0.2"};
    EXPECT_TRUE(mine.hold(&share, 60));
    EXPECT_TRUE(more.hold(&share, 40));
    EXPECT_FALSE(more.hold(&share, 41));
    EXPECT_TRUE(other.hold(&share, 41));
}

TEST(SharesTest, ALargeBodyAloneMayBeMoreThanAnEighth)
{
    Share share{800};
    Holding large{"10.0.0.1"};
    Holding beside{"10.0.0.1"};
    EXPECT_TRUE(large.hold(&share, 500)) << "a flist";
    EXPECT_FALSE(beside.hold(&share, 10));
    EXPECT_TRUE(large.hold(&share, 600)) << "who was refused is in nobody's way";
    EXPECT_FALSE(large.hold(&share, 801));
}

TEST(SharesTest, TinyRequestsAndSmallAnswersAlwaysPass)
{
    Shares shares;
    EXPECT_EQ(shares.of_request(tiny_body), nullptr);
    EXPECT_EQ(shares.of_request(tiny_body + 1), &shares.small);
    EXPECT_EQ(shares.of_request(small_body + 1), &shares.large);
    EXPECT_EQ(shares.of_reply(small_body), nullptr);
    EXPECT_EQ(shares.of_reply(small_body + 1), &shares.replies);
}

TEST(NetworkOfTest, HostsOfIpv6HaveTheirNetworks)
{
    EXPECT_EQ(network_of("2001:db8::1"), network_of("2001:db8::ffff:1"));
    EXPECT_NE(network_of("2001:db8::1"), network_of("2001:db8:0:1::1"));
    EXPECT_EQ(network_of("::ffff:10.0.0.1"), "10.0.0.1");
    EXPECT_EQ(network_of(""), "");
}

}  // namespace
}  // namespace znode::http
