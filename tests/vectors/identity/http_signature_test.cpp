#include "identity/http_signature.hpp"

#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "vectors.hpp"

namespace znode::identity {
namespace {

using test::Json;

std::string text(const Json& object, const char* member)
{
    return object.at(member).get<std::string>();
}

void check_request(const Json& c)
{
    test::expect_known_members(
        c,
        {"authorization_go_client",
         "authorization_go_client_hex",
         "authorization_python_style",
         "body",
         "created",
         "headers",
         "key_id",
         "method",
         "name",
         "note",
         "public_key_hex",
         "seed_hex",
         "signature_base64",
         "signature_hex",
         "signing_string",
         "signing_string_hex",
         "url",
         "verify_go_style",
         "verify_python_style"});
    const auto self = Identity::from_seed(Secret{*from_hex(text(c, "seed_hex"))});
    ASSERT_TRUE(self);
    EXPECT_EQ(self->public_key_hex(), text(c, "public_key_hex"));
    EXPECT_EQ(znode::to_hex(text(c, "signing_string")), text(c, "signing_string_hex"));
    EXPECT_EQ(self->sign_hex(text(c, "signing_string")), text(c, "signature_hex"));
    EXPECT_EQ(to_base64(*from_hex(text(c, "signature_hex"))), text(c, "signature_base64"));

    const auto made = sign_request(*self, text(c, "key_id"), c.at("created").get<std::int64_t>());
    const auto& headers = c.at("headers");
    test::expect_known_members(headers, {"Date", "Threebot-Id"});
    EXPECT_EQ(made.date, text(headers, "Date"));
    EXPECT_EQ(made.threebot_id, text(headers, "Threebot-Id"));
    EXPECT_EQ(made.authorization, text(c, "authorization_python_style"));

    const auto verified = [&](const std::string& authorization) {
        const HeaderValues sent{
            {"Date", text(headers, "Date")},
            {"Threebot-Id", text(headers, "Threebot-Id")},
            {"Authorization", authorization}};
        const auto who = verify_request(
            sent, {}, [&](const std::string&) { return Result<PublicKey>{self->public_key()}; });
        return who ? "ok, key id " + *who : who.error().message;
    };
    const auto go = *from_hex(text(c, "authorization_go_client_hex"));
    EXPECT_EQ(verified(go), text(c, "verify_go_style"));
    EXPECT_EQ(verified(text(c, "authorization_python_style")), text(c, "verify_python_style"));
}

/// The signature's part of an answer; whole answers are the server's tests'. The signed requests
/// are those of `cases`: the first one's headers, unless the case says that the threebot-id was
/// changed.
void check_answer(const Json& c, const Json& signed_request)
{
    test::expect_known_members(
        c, {"authorization", "body", "content_type", "name", "note", "status", "www_authenticate"});
    const auto status = c.at("status").get<int>();
    const auto& headers = signed_request.at("headers");
    HeaderValues sent{{"Date", text(headers, "Date")}};
    const bool changed = text(c, "name").find("threebot-id changed") != std::string::npos;
    sent.emplace_back(
        "Threebot-Id", changed ? std::string{"somebody else"} : text(headers, "Threebot-Id"));
    if (!text(c, "authorization").empty())
        sent.emplace_back("Authorization", text(c, "authorization"));

    const auto who = verify_request(sent, {}, key_of_node_signer);

    EXPECT_EQ(who.has_value(), status == 200);
    if (!who)
        EXPECT_EQ(
            Json::parse(text(c, "body")).at("error").get<std::string>(),
            "unauthorized access: " + who.error().message);
}

TEST(IdentityVectors, HttpSignature)
{
    std::size_t cases = 0;
    const auto file = test::vectors("http_signature.json");
    test::expect_known_members(file, {"note", "cases", "server_behaviour", "signed_headers"});
    const auto names = file.at("signed_headers").get<std::vector<std::string>>();
    EXPECT_EQ(names, VerifyRules{}.required);
    for (const auto& c : file.at("cases")) {
        SCOPED_TRACE(c.at("name").dump());
        ++cases;
        check_request(c);
    }
    for (const auto& c : file.at("server_behaviour")) {
        SCOPED_TRACE(c.at("name").dump());
        // What is refused for its path or method is so whoever signed it.
        const auto status = c.at("status").get<int>();
        if (status != 200 && status != 401) continue;
        ++cases;
        check_answer(c, file.at("cases").at(0));
    }
    test::report_cases("http_signature.json", cases);
}

}  // namespace
}  // namespace znode::identity
