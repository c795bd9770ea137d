#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "identity/bip39.hpp"
#include "identity/identity.hpp"
#include "kernel/files.hpp"
#include "temp_folder.hpp"

namespace znode::identity {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string seed_bytes()
{
    std::string seed;
    for (char c = 0; c < 32; ++c) seed += c;
    return seed;
}
constexpr auto node1 = "FAe4sisG95oZ42w7buUn5qEE4TAnfTTFPiguZUHmhiF";
constexpr auto words1 =
    "abandon amount liar amount expire adjust cage candy arch gather drum bullet absurd math era "
    "live bid rhythm alien crouch range attend journey unaware";

class SeedFileTest : public testing::Test {
protected:
    std::filesystem::path file() const { return folder.path() / "identity" / "seed.txt"; }
    void given(const std::string& content)
    {
        ASSERT_TRUE(kernel::make_folders(file().parent_path()));
        ASSERT_TRUE(kernel::write_file_atomically(file(), content, 0600));
    }
    test::TempFolder folder;
};

TEST_F(SeedFileTest, IsMadeOnceAndReadForEver)
{
    const auto made = Identity::load_or_create(file());
    ASSERT_TRUE(made);
    const auto again = Identity::load_or_create(file());
    ASSERT_TRUE(again);

    EXPECT_EQ(made->node_id(), again->node_id());
    struct stat info{};
    ASSERT_EQ(::stat(file().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0400U);
    EXPECT_EQ(info.st_size, 39);
}

TEST_F(SeedFileTest, UnversionedIsRewrittenAndStaysReadable)
{
    given(seed_bytes());

    for (int start = 0; start < 3; ++start) {
        const auto self = Identity::load(file());
        ASSERT_TRUE(self);
        EXPECT_EQ(self->node_id(), node1);
    }
    EXPECT_EQ(*kernel::read_file(file()), "\"1.0.0\"" + seed_bytes());
}

TEST_F(SeedFileTest, WordsAndUserIdAreRead)
{
    given("\"1.1.0\"{\"threebotid\": 7, \"mnemonic\": \"" + std::string{words1} + "\"}\n");

    const auto self = Identity::load(file());

    ASSERT_TRUE(self) << self.error().message;
    EXPECT_EQ(self->node_id(), node1);
    EXPECT_EQ(self->user_id(), 7);
}

TEST_F(SeedFileTest, UserFileComesBackAsWritten)
{
    auto self = Identity::generate();
    self.set_user_id(12);
    ASSERT_TRUE(self.save_user(file()));

    const auto again = Identity::load(file());

    ASSERT_TRUE(again);
    EXPECT_EQ(again->node_id(), self.node_id());
    EXPECT_EQ(again->user_id(), 12);
}

TEST_F(SeedFileTest, DamageIsNamedAndNothingIsReplaced)
{
    const std::vector<std::string> damaged{
        "",
        "x",
        "\"1.0.0\"",
        "\"1.0.0\"" + seed_bytes().substr(1),
        "\"1.0.0\"" + seed_bytes() + "\n",
        "\"1.1.0\"",
        "\"1.1.0\"{}",
        "\"1.1.0\"[1]",
        "\"1.1.0\"" + seed_bytes(),
        "\"1.1.0\"{\"mnemonic\": 5}",
        "\"1.1.0\"{\"mnemonic\": \"abandon\"}",
        "\"9.9.9\"" + seed_bytes(),
    };
    for (const auto& content : damaged) {
        SCOPED_TRACE(testing::PrintToString(content));
        given(content);

        const auto self = Identity::load_or_create(file());

        ASSERT_FALSE(self);
        EXPECT_EQ(self.error().code, Errc::corrupt);
        EXPECT_EQ(*kernel::read_file(file()), content);
    }
}

TEST_F(SeedFileTest, MissingFileIsNotFoundForLoad)
{
    EXPECT_EQ(Identity::load(file()).error().code, Errc::not_found);
}

TEST(Bip39Test, WrongWordIsNamedByPlaceOnly)
{
    std::string words{words1};
    words.replace(words.find("liar"), 4, "lair");

    const auto seed = seed_of(Secret{words});

    ASSERT_FALSE(seed);
    EXPECT_THAT(seed.error().message, HasSubstr("word 3"));
    EXPECT_THAT(seed.error().message, Not(HasSubstr("lair")));
}

TEST(Bip39Test, ChecksumAndCountAreVerified)
{
    std::string swapped{words1};
    swapped.replace(swapped.find("unaware"), 7, "zoo");
    EXPECT_FALSE(seed_of(Secret{swapped}));
    EXPECT_FALSE(seed_of(Secret{std::string{words1} + " zoo"}));
    EXPECT_FALSE(seed_of(Secret{""}));
    EXPECT_TRUE(seed_of(Secret{"  " + std::string{words1} + "\n"}));
}

}  // namespace
}  // namespace znode::identity
