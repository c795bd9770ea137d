#include <gtest/gtest.h>
#include <sodium.h>

#include "base/hex.hpp"
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
Identity of_seed(const std::string& seed) { return *Identity::from_seed(Secret{seed}); }
const unsigned char* raw(const std::string& from)
{
    return reinterpret_cast<const unsigned char*>(from.data());
}

void check_shared(const Json& c)
{
    test::expect_known_members(
        c,
        {"ciphertext_hex",
         "key_blake2b256_hex",
         "name",
         "nonce_hex",
         "note",
         "plaintext",
         "plaintext_hex",
         "recipient_ed25519_public_hex",
         "recipient_seed_hex",
         "sender_ed25519_public_hex",
         "sender_seed_hex",
         "x25519_shared_hex"});
    const auto sender = of_seed(bytes(c, "sender_seed_hex"));
    const auto recipient = of_seed(bytes(c, "recipient_seed_hex"));
    EXPECT_EQ(sender.public_key_hex(), text(c, "sender_ed25519_public_hex"));
    EXPECT_EQ(recipient.public_key_hex(), text(c, "recipient_ed25519_public_hex"));
    EXPECT_EQ(bytes(c, "plaintext_hex"), text(c, "plaintext"));
    EXPECT_EQ(bytes(c, "ciphertext_hex").substr(0, 24), bytes(c, "nonce_hex"));

    // The steps between, from the two sides' keys.
    const std::string own{sender.curve_private_key().reveal()};
    const auto other = recipient.curve_public_key();
    std::string product(32, '\0');
    ASSERT_EQ(
        crypto_scalarmult(reinterpret_cast<unsigned char*>(product.data()), raw(own), raw(other)),
        0);
    EXPECT_EQ(znode::to_hex(product), text(c, "x25519_shared_hex"));
    std::string key(32, '\0');
    crypto_generichash(
        reinterpret_cast<unsigned char*>(key.data()), 32, raw(product), 32, nullptr, 0);
    EXPECT_EQ(znode::to_hex(key), text(c, "key_blake2b256_hex"));

    for (const int version : {1, 2}) {
        const auto opened =
            recipient.decrypt(text(c, "ciphertext_hex"), version, sender.public_key());
        ASSERT_TRUE(opened) << opened.error().message;
        EXPECT_EQ(opened->reveal(), text(c, "plaintext"));
    }
    const auto again = sender.encrypt_for(recipient.public_key(), Secret{text(c, "plaintext")});
    ASSERT_TRUE(again);
    EXPECT_EQ(again->size(), text(c, "ciphertext_hex").size());
    EXPECT_EQ(recipient.open_shared(*again, sender.public_key())->reveal(), text(c, "plaintext"));
}

void check_sealed(const Json& c)
{
    test::expect_known_members(
        c,
        {"ciphertext_hex",
         "ephemeral_public_hex",
         "ephemeral_secret_hex",
         "length",
         "name",
         "note",
         "plaintext",
         "plaintext_hex",
         "recipient_ed25519_public_hex",
         "recipient_seed_hex"});
    const auto recipient = of_seed(bytes(c, "recipient_seed_hex"));
    EXPECT_EQ(recipient.public_key_hex(), text(c, "recipient_ed25519_public_hex"));
    EXPECT_EQ(bytes(c, "plaintext_hex"), text(c, "plaintext"));
    const auto cipher = bytes(c, "ciphertext_hex");
    EXPECT_EQ(cipher.size(), c.at("length").get<std::size_t>());
    EXPECT_EQ(cipher.substr(0, 32), bytes(c, "ephemeral_public_hex"));
    const auto ephemeral = bytes(c, "ephemeral_secret_hex");
    std::string ephemeral_public(32, '\0');
    crypto_scalarmult_base(
        reinterpret_cast<unsigned char*>(ephemeral_public.data()), raw(ephemeral));
    EXPECT_EQ(ephemeral_public, bytes(c, "ephemeral_public_hex"));

    const auto opened = recipient.decrypt(text(c, "ciphertext_hex"), 0, std::nullopt);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(opened->reveal(), text(c, "plaintext"));
    const auto again = seal_for(recipient.public_key(), Secret{text(c, "plaintext")});
    ASSERT_TRUE(again);
    EXPECT_EQ(again->size(), text(c, "ciphertext_hex").size());
    EXPECT_EQ(recipient.open_sealed(*again)->reveal(), text(c, "plaintext"));
}

void check_source_test(const Json& c)
{
    test::expect_known_members(
        c,
        {"ciphertext_hex",
         "kind",
         "name",
         "note",
         "plaintext",
         "recipient_seed_ascii",
         "sender_seed_ascii"});
    const auto recipient = of_seed(text(c, "recipient_seed_ascii"));
    const auto kind = text(c, "kind");
    Result<Secret> opened;
    if (kind == "sealed box") {
        opened = recipient.open_sealed(text(c, "ciphertext_hex"));
    } else if (kind == "ecdh") {
        const auto sender = of_seed(text(c, "sender_seed_ascii"));
        opened = recipient.open_shared(text(c, "ciphertext_hex"), sender.public_key());
    } else {
        FAIL() << "unknown kind " << kind;
    }
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(opened->reveal(), text(c, "plaintext"));
}

/// The original's outcome is an error or its death; ours is an error that says what is wrong. The
/// inputs are made here, as the case's words say: scheme, and shorter than N bytes or corrupt.
void check_damaged(const Json& c)
{
    test::expect_known_members(c, {"name", "note", "outcome"});
    EXPECT_FALSE(text(c, "outcome").starts_with("ok"));
    const auto name = text(c, "name");
    const auto recipient = Identity::generate();
    const auto sender = Identity::generate();
    const bool sealed = name.find("sealed") != name.npos;
    ASSERT_TRUE(sealed || name.find("ecdh") != name.npos) << "unknown scheme";

    auto good = *from_hex(
        sealed ? *seal_for(recipient.public_key(), Secret{"supersecret"})
               : *sender.encrypt_for(recipient.public_key(), Secret{"supersecret"}));
    const auto open = [&](const std::string& cipher) {
        const auto hex = znode::to_hex(cipher);
        return sealed ? recipient.open_sealed(hex)
                      : recipient.open_shared(hex, sender.public_key());
    };
    ASSERT_TRUE(open(good));

    if (const auto shorter = name.find("shorter than "); shorter != name.npos) {
        const auto limit = std::stoul(name.substr(shorter + 13));
        for (std::size_t size = 0; size < limit; ++size) {
            const auto outcome = open(good.substr(0, size));
            ASSERT_FALSE(outcome) << size;
            EXPECT_EQ(outcome.error().code, Errc::invalid);
            EXPECT_NE(outcome.error().message.find("too short"), std::string::npos);
        }
    } else if (name.find("corrupt") != name.npos) {
        for (auto& byte : good) {
            byte = static_cast<char>(byte ^ 1);
            EXPECT_FALSE(open(good));
            byte = static_cast<char>(byte ^ 1);
        }
    } else {
        FAIL() << "unknown damage";
    }
}

void check_wireguard(const Json& c)
{
    test::expect_known_members(
        c, {"name", "note", "private_key_base64", "private_key_hex", "public_key_base64"});
    const auto key = bytes(c, "private_key_hex");
    EXPECT_EQ(from_base64(text(c, "private_key_base64")), key);
    std::string public_key(32, '\0');
    crypto_scalarmult_base(reinterpret_cast<unsigned char*>(public_key.data()), raw(key));
    EXPECT_EQ(to_base64(public_key), text(c, "public_key_base64"));
}

TEST(IdentityVectors, Secrets)
{
    std::size_t cases = 0;
    const auto file = test::vectors("secrets.json");
    for (const auto& [group, entries] : file.items()) {
        SCOPED_TRACE(group);
        if (group == "note") continue;
        if (group == "wireguard") {
            ++cases;
            check_wireguard(entries);
            continue;
        }
        for (const auto& c : entries) {
            SCOPED_TRACE(c.dump());
            ++cases;
            if (group == "ecdh_secretbox")
                check_shared(c);
            else if (group == "sealed_box")
                check_sealed(c);
            else if (group == "from_source_tests")
                check_source_test(c);
            else if (group == "bad_input_in_original")
                check_damaged(c);
            else
                ADD_FAILURE() << "unknown group";
        }
    }
    test::report_cases("secrets.json", cases);
}

}  // namespace
}  // namespace znode::identity
