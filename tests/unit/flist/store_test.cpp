#include "store.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace znode::flist {
namespace {

TEST(StoreTest, AddressesOfZdbAndRedisAreRead)
{
    const auto full = parse_redis_address("zdb://:p%40ss@hub.example:9901/space");
    const auto bare = parse_redis_address("zdb://hub.example");
    const auto v6 = parse_redis_address("zdb://[2001:db8::1]:9900/ns");
    const auto redis = parse_redis_address("redis://me:secret@127.0.0.1/3");
    const auto socket = parse_redis_address("redis:///run/redis.sock");

    ASSERT_TRUE(full && bare && v6 && redis && socket);
    EXPECT_EQ(full->host, "hub.example");
    EXPECT_EQ(full->port, "9901");
    EXPECT_EQ(full->space, "space");
    EXPECT_EQ(full->password.reveal(), "p@ss");
    EXPECT_EQ(bare->port, "9900");
    EXPECT_EQ(v6->host, "2001:db8::1");
    EXPECT_EQ(redis->user.reveal(), "me");
    EXPECT_EQ(redis->port, "6379");
    EXPECT_EQ(socket->host, "/run/redis.sock");
}

TEST(StoreTest, BadUrlsAreRefusedWithoutTheirPassword)
{
    for (const char* url :
         {"",
          "zdb://",
          "zdb://:pw@:9900",
          "zdb://:pw@host:0",
          "zdb://:pw@host:port",
          "zdb://:pw@[::1",
          "ftp://:pw@host",
          "dir://",
          "zdb://:pw%zz@host"}) {
        const auto store = open_store(Secret{url});
        ASSERT_FALSE(store) << url;
        EXPECT_EQ(store.error().code, Errc::invalid) << url;
        EXPECT_THAT(store.error().message, testing::Not(testing::HasSubstr("pw")));
    }
}

TEST(StoreTest, AStoreElsewhereIsNotThisMachineWhateverItsName)
{
    using namespace std::chrono_literals;
    for (const char* url :
         {"redis://localhost:6379", "zdb://127.0.0.1", "zdb://[::1]:9900", "redis:///run/x.sock"}) {
        const auto store = open_store(Secret{url}, 1s, Reach::elsewhere);
        ASSERT_TRUE(store) << url;
        const auto got = (*store)->get("0123456789abcdef");
        ASSERT_FALSE(got) << url;
        EXPECT_EQ(got.error().code, Errc::denied) << url << ": " << got.error().message;
    }
    EXPECT_FALSE(open_store(Secret{"dir:///etc"}, 1s, Reach::elsewhere));
}

TEST(StoreTest, ControlCharactersInAUrlAreRefused)
{
    for (const char* url :
         {"zdb://:pw%0d%0aFLUSHDB@host",
          "zdb://us%00er:pw@host",
          "redis://:pw@host/%0a",
          "zdb://:pw@host/a%7fb",
          "zdb://:pw@host/a\nb"}) {
        const auto store = open_store(Secret{url});
        ASSERT_FALSE(store) << url;
        EXPECT_EQ(store.error().code, Errc::invalid) << url;
        EXPECT_THAT(store.error().message, testing::HasSubstr("control characters"));
    }
}

TEST(StoreTest, TextOfAStoreHasNoPassword)
{
    const auto store = open_store(Secret{"zdb://:pw@host:9900/space"});

    ASSERT_TRUE(store);
    EXPECT_EQ((*store)->text(), "zdb://host:9900/space");
}

TEST(StoreTest, AUrlIsReadFromAFile)
{
    const znode::test::TempFolder folder;
    std::ofstream{folder.path() / "url"} << "zdb://:pw@host\nsecond line";

    EXPECT_EQ(store_url("@" + (folder.path() / "url").string())->reveal(), "zdb://:pw@host");
    EXPECT_EQ(store_url("dir:///x")->reveal(), "dir:///x");
    EXPECT_FALSE(store_url("@/no/such/file"));
    EXPECT_FALSE(store_url("@FD:x"));
}

TEST(StoreTest, AFolderKeepsBlocksByTheirNamesInHex)
{
    const znode::test::TempFolder folder;
    const auto store = open_store(Secret{"dir://" + (folder.path() / "blocks").string()}).value();

    ASSERT_TRUE(store->put("\x01\x02", "bytes"));

    EXPECT_EQ(store->get("\x01\x02").value(), "bytes");
    EXPECT_TRUE(store->has("\x01\x02").value());
    EXPECT_FALSE(store->has("\x01\x03").value());
    EXPECT_EQ(store->get("\x01\x03").error().code, Errc::not_found);
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "blocks/0102"));
}

}  // namespace
}  // namespace znode::flist
