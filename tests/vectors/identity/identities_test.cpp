#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "identity/base58.hpp"
#include "identity/bip39.hpp"
#include "identity/identity.hpp"
#include "vectors.hpp"

namespace znode::identity {
namespace {

using test::Json;

std::string text(const Json& object, const char* member)
{
    return object.at(member).get<std::string>();
}
std::string bytes(const Json& object, const char* member)
{
    auto decoded = from_hex(text(object, member));
    EXPECT_TRUE(decoded) << member;
    return decoded.value_or("");
}

void check_identity(const Json& c)
{
    test::expect_known_members(
        c,
        {"bip39_mnemonic_of_seed",
         "curve25519_private_key_hex",
         "curve25519_public_key_hex",
         "ed25519_private_key_64_hex",
         "name",
         "node_id_base58",
         "note",
         "public_key_hex",
         "seed_file_v1_0_0_hex",
         "seed_hex"});
    const Secret seed{bytes(c, "seed_hex")};
    const auto self = Identity::from_seed(seed);
    ASSERT_TRUE(self);

    EXPECT_EQ(self->node_id(), text(c, "node_id_base58"));
    EXPECT_EQ(self->public_key_hex(), text(c, "public_key_hex"));
    EXPECT_EQ(text(c, "seed_hex") + self->public_key_hex(), text(c, "ed25519_private_key_64_hex"));
    EXPECT_EQ(
        znode::to_hex(self->curve_private_key().reveal()), text(c, "curve25519_private_key_hex"));
    EXPECT_EQ(znode::to_hex(self->curve_public_key()), text(c, "curve25519_public_key_hex"));
    EXPECT_EQ(words_of(seed).reveal(), text(c, "bip39_mnemonic_of_seed"));
    EXPECT_TRUE(*seed_of(Secret{text(c, "bip39_mnemonic_of_seed")}) == seed);

    const std::vector<std::string> files{
        bytes(c, "seed_file_v1_0_0_hex"),
        bytes(c, "seed_hex"),
        R"("1.1.0"{"mnemonic":")" + text(c, "bip39_mnemonic_of_seed") + "\"}"};
    for (const auto& file : files) {
        const auto read = Identity::parse(Secret{file});
        ASSERT_TRUE(read) << read.error().message;
        EXPECT_EQ(read->node_id(), self->node_id());
    }
}

TEST(IdentityVectors, Identities)
{
    std::size_t cases = 0;
    const auto file = test::vectors("identities.json");
    for (const auto& [group, entries] : file.items()) {
        SCOPED_TRACE(group);
        if (group == "note") continue;
        for (const auto& c : entries) {
            SCOPED_TRACE(c.dump());
            ++cases;
            if (group == "base58") {
                test::expect_known_members(c, {"base58", "decode_back_hex", "hex", "name", "note"});
                EXPECT_EQ(to_base58(bytes(c, "hex")), text(c, "base58"));
                EXPECT_EQ(from_base58(text(c, "base58")), bytes(c, "decode_back_hex"));
            } else if (group == "base58_invalid_input_decodes_to_empty") {
                test::expect_known_members(c, {"base58", "decoded_hex", "name", "note"});
                EXPECT_EQ(from_base58(text(c, "base58")).value_or(""), bytes(c, "decoded_hex"));
            } else if (group == "identities") {
                check_identity(c);
            } else {
                ADD_FAILURE() << "unknown group";
            }
        }
    }
    test::report_cases("identities.json", cases);
}

}  // namespace
}  // namespace znode::identity
