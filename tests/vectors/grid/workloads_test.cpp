#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "grid/challenge.hpp"
#include "grid/document.hpp"
#include "grid/units.hpp"
#include "identity/identity.hpp"
#include "mended.hpp"
#include "vectors.hpp"

namespace znode::grid {
namespace {

using test::Json;

struct Keys {
    identity::PublicKey user1;
    identity::PublicKey user2;
};

std::string text(const Json& object, const char* member)
{
    return object.at(member).get<std::string>();
}

void check_units(const Workload& workload, const Json& expected)
{
    test::expect_known_members(expected, {"cru", "cu", "hru", "ipu", "ipv4u", "mru", "sru", "su"});
    const auto units = resource_units(workload);
    ASSERT_TRUE(units) << units.error().message;
    const auto cloud = cloud_units(*units);
    EXPECT_EQ(units->cru, expected.at("cru").get<double>());
    EXPECT_EQ(units->mru, expected.at("mru").get<double>());
    EXPECT_EQ(units->hru, expected.at("hru").get<double>());
    EXPECT_EQ(units->sru, expected.at("sru").get<double>());
    EXPECT_EQ(units->ipv4u, expected.at("ipu").get<double>());
    EXPECT_EQ(cloud.cu, expected.at("cu").get<double>());
    EXPECT_EQ(cloud.su, expected.at("su").get<double>());
    EXPECT_EQ(cloud.ipv4u, expected.at("ipv4u").get<double>());
}

void check_stored(const Workload& created, const Json& stored, const Keys& keys)
{
    test::expect_known_members(
        stored,
        {"challenge_with_stored_epoch",
         "delete_message",
         "delete_sha256",
         "delete_signature_tid7",
         "note",
         "provision_message_tid9",
         "provision_sha256",
         "provision_signature_tid9",
         "unique_workload_id",
         "workload"});
    const auto workload = from_json<Workload>(stored.at("workload").dump());
    ASSERT_TRUE(workload) << workload.error().message;
    EXPECT_EQ(Json::parse(to_json(*workload)), test::mended(stored.at("workload")));
    EXPECT_EQ(workload->gwid().text(), text(stored, "unique_workload_id"));

    auto accepted = created;
    accept_created(accepted, workload->id, workload->epoch);
    EXPECT_EQ(to_json(accepted), to_json(*workload));

    const auto signed_text = challenge(*workload);
    EXPECT_EQ(signed_text, text(stored, "challenge_with_stored_epoch"));
    EXPECT_EQ(signed_text + "delete7", text(stored, "delete_message"));
    EXPECT_EQ(signed_text + "provision9", text(stored, "provision_message_tid9"));
    const auto ending = delete_message(*workload, 7);
    const auto consent = provision_message(*workload, 9);
    EXPECT_EQ(to_hex(ending), text(stored, "delete_sha256"));
    EXPECT_EQ(to_hex(consent), text(stored, "provision_sha256"));
    EXPECT_TRUE(identity::verify_hex(keys.user1, ending, text(stored, "delete_signature_tid7")));
    EXPECT_TRUE(
        identity::verify_hex(keys.user2, consent, text(stored, "provision_signature_tid9")));
}

void check_case(const Json& c, const Keys& keys)
{
    test::expect_known_members(
        c,
        {"challenge",
         "challenge_after_json_round_trip",
         "challenge_hex",
         "challenge_sha256",
         "create_request",
         "customer_signature",
         "name",
         "note",
         "resource_units",
         "stored",
         "workload_type"});
    const auto& request = c.at("create_request");
    const auto workload = from_json<Workload>(request.dump());
    ASSERT_TRUE(workload) << workload.error().message;
    EXPECT_EQ(Json::parse(to_json(*workload)), test::mended(request));
    EXPECT_EQ(type_of(workload->data), workload->workload_type);

    // A JSON 0 is 1970; only a document without the member has no date at all.
    if (c.contains("challenge_after_json_round_trip")) {
        EXPECT_EQ(challenge(*workload), text(c, "challenge_after_json_round_trip"));
        auto without = request;
        without.erase("epoch");
        EXPECT_EQ(challenge(*from_json<Workload>(without.dump())), text(c, "challenge"));
        return;
    }
    EXPECT_EQ(challenge(*workload), text(c, "challenge"));
    EXPECT_EQ(to_hex(challenge(*workload)), text(c, "challenge_hex"));
    EXPECT_EQ(to_hex(create_message(*workload)), text(c, "challenge_sha256"));
    EXPECT_EQ(workload->customer_signature, text(c, "customer_signature"));
    EXPECT_TRUE(
        identity::verify_hex(keys.user1, create_message(*workload), text(c, "customer_signature")));
    EXPECT_EQ(static_cast<int>(workload->workload_type), c.at("workload_type").get<int>());
    check_units(*workload, c.at("resource_units"));
    check_stored(*workload, c.at("stored"), keys);
}

TEST(GridVectors, Workloads)
{
    std::size_t cases = 0;
    const auto file = test::vectors("workloads.json");
    test::expect_known_members(file, {"cases", "note", "public_key_hex", "user2_public_key_hex"});
    const Keys keys{
        *identity::key_of_hex(text(file, "public_key_hex")),
        *identity::key_of_hex(text(file, "user2_public_key_hex"))};
    for (const auto& c : file.at("cases")) {
        SCOPED_TRACE(c.at("name").dump());
        ++cases;
        check_case(c, keys);
    }
    test::report_cases("workloads.json", cases);
}

}  // namespace
}  // namespace znode::grid
