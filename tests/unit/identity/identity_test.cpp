#include "identity/identity.hpp"

#include <gtest/gtest.h>

#include "identity/base58.hpp"

namespace znode::identity {
namespace {

TEST(IdentityTest, SignatureIsVerifiedByKeyAndByNodeId)
{
    const auto self = Identity::generate();
    auto signature = self.sign("message");

    EXPECT_TRUE(verify(self.public_key(), "message", signature));
    EXPECT_TRUE(verify_node(self.node_id(), "message", signature));
    EXPECT_TRUE(verify_hex(self.public_key(), "message", self.sign_hex("message")));
    EXPECT_FALSE(verify(self.public_key(), "massage", signature));
    EXPECT_FALSE(verify_node(Identity::generate().node_id(), "message", signature));
    EXPECT_FALSE(verify_node("0OIl", "message", signature));
    EXPECT_FALSE(verify_hex(self.public_key(), "message", "zz"));
    signature[5] = static_cast<char>(signature[5] ^ 1);
    EXPECT_FALSE(verify(self.public_key(), "message", signature));
    EXPECT_FALSE(verify(self.public_key(), "message", ""));
}

TEST(IdentityTest, SecretsOpenForTheRecipientOnly)
{
    const auto customer = Identity::generate();
    const auto node = Identity::generate();
    const auto other = Identity::generate();
    const Secret text{"supersecret"};

    const auto sealed = seal_for(node.public_key(), text);
    const auto shared = customer.encrypt_for(node.public_key(), text);

    ASSERT_TRUE(sealed && shared);
    EXPECT_EQ(node.decrypt(*sealed, 0, std::nullopt)->reveal(), "supersecret");
    EXPECT_EQ(node.decrypt(*shared, 1, customer.public_key())->reveal(), "supersecret");
    EXPECT_FALSE(other.open_sealed(*sealed));
    EXPECT_FALSE(other.open_shared(*shared, customer.public_key()));
    EXPECT_FALSE(node.open_shared(*shared, other.public_key()));
    EXPECT_FALSE(node.decrypt(*shared, 2, std::nullopt));
}

TEST(IdentityTest, EveryTruncationIsRefused)
{
    const auto customer = Identity::generate();
    const auto node = Identity::generate();
    const auto sealed = *seal_for(node.public_key(), Secret{"x"});
    const auto shared = *customer.encrypt_for(node.public_key(), Secret{"x"});

    for (std::size_t n = 0; n < sealed.size(); ++n)
        EXPECT_FALSE(node.open_sealed(sealed.substr(0, n)));
    for (std::size_t n = 0; n < shared.size(); ++n)
        EXPECT_FALSE(node.open_shared(shared.substr(0, n), customer.public_key()));
    EXPECT_FALSE(node.open_sealed("not hex"));
}

TEST(IdentityTest, KeyOfSmallOrderIsRefused)
{
    const PublicKey weak{1};
    const auto node = Identity::generate();

    EXPECT_FALSE(seal_for(weak, Secret{"x"}));
    EXPECT_FALSE(node.encrypt_for(weak, Secret{"x"}));
    EXPECT_FALSE(node.open_shared(std::string(100, 'a'), weak));
}

TEST(IdentityTest, Base58IsBounded)
{
    EXPECT_TRUE(from_base58(std::string(256, '1')));
    EXPECT_FALSE(from_base58(std::string(257, '1')));
}

}  // namespace
}  // namespace znode::identity
