#include "identity/http_signature.hpp"

#include <gtest/gtest.h>

namespace znode::identity {
namespace {

constexpr std::int64_t now = 1619600000;

class HttpSignatureTest : public testing::Test {
protected:
    HeaderValues signed_now() const
    {
        const auto made = sign_request(self, self.node_id(), now);
        return {
            {"Date", made.date},
            {"THREEBOT-ID", made.threebot_id},
            {"authorization", made.authorization}};
    }
    const Identity self = Identity::generate();
};

TEST_F(HttpSignatureTest, OwnSignatureIsAccepted)
{
    const auto who = verify_request(signed_now(), {}, key_of_node_signer);

    ASSERT_TRUE(who) << who.error().message;
    EXPECT_EQ(*who, self.node_id());
}

TEST_F(HttpSignatureTest, WindowLimitsTheAge)
{
    VerifyRules rules;
    rules.window = 300;
    rules.unix_now = now + 300;
    EXPECT_TRUE(verify_request(signed_now(), rules, key_of_node_signer));
    rules.unix_now = now + 301;
    EXPECT_FALSE(verify_request(signed_now(), rules, key_of_node_signer));
    rules.unix_now = now - 301;
    EXPECT_FALSE(verify_request(signed_now(), rules, key_of_node_signer));
}

TEST_F(HttpSignatureTest, UnknownUserIsTheAnswerOfTheLookUp)
{
    const auto who = verify_request(signed_now(), {}, [](const std::string& id) {
        return Result<PublicKey>{fail(Errc::denied, "no key with id \"" + id + "\"")};
    });

    ASSERT_FALSE(who);
    EXPECT_EQ(who.error().message, "no key with id \"" + self.node_id() + "\"");
}

TEST(AuthorizationTest, BrokenParametersArePassedOver)
{
    const auto params = parse_authorization(
        "Signature a,b=c,keyId=\"7\",=,algorithm=\"ed25519\",created=\"x\",headers=\"Date  X\"");

    ASSERT_TRUE(params);
    EXPECT_EQ(params->key_id, "7");
    EXPECT_EQ(params->algorithm, "ed25519");
    EXPECT_FALSE(params->created);
    EXPECT_EQ(params->headers, (std::vector<std::string>{"date", "x"}));
    EXPECT_FALSE(parse_authorization("Bearer x"));
    EXPECT_TRUE(parse_authorization("Signature \"=\"=\",,,\"\""));
}

}  // namespace
}  // namespace znode::identity
