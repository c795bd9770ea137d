#include "grid/legacy.hpp"

#include <gtest/gtest.h>

#include "explorer_server/lifecycle.hpp"
#include "grid/document.hpp"
#include "reservations.hpp"
#include "vectors.hpp"

namespace znode::explorer_server {
namespace {

using grid::NextAction;
using grid::legacy::Reservation;
using test::Json;

/// Who has signed what, and what time has done, in the words of the file.
const std::map<std::string, ReservationFacts> situations{
    {"fresh, no quorum", {.provision_signed = true}},
    {"provision quorum 1 unsigned", {}},
    {"provision quorum 1 signed", {.provision_signed = true}},
    {"provision quorum 1 signed by a stranger", {}},
    {"delete signed", {.provision_signed = true, .delete_signed = true}},
    {"delete quorum 0", {.provision_signed = true}},
    {"reservation expired", {.provision_signed = true, .expired = true}},
    {"provisioning expired, not deployed",
     {.provision_signed = true, .provisioning_expired = true}},
    {"provisioning expired, all results ok",
     {.provision_signed = true, .provisioning_expired = true, .all_results_ok = true}},
};

void check_step(const Json& c)
{
    test::expect_known_members(c, {"modified", "next_action_in", "next_action_out", "situation"});
    const auto name = c.at("situation").get<std::string>();
    SCOPED_TRACE(name + " from " + c.at("next_action_in").dump());
    ASSERT_TRUE(situations.contains(name)) << "a situation that the test does not know";
    const auto before = static_cast<NextAction>(c.at("next_action_in").get<int>());
    auto wanted = static_cast<NextAction>(c.at("next_action_out").get<int>());
    // There a reservation waited for its payment; here there is nothing to pay.
    if (wanted == NextAction::pay) wanted = NextAction::deploy;

    const auto after = advance_reservation(before, situations.at(name));

    EXPECT_EQ(after, wanted);
    EXPECT_EQ(c.at("modified").get<bool>(), c.at("next_action_in") != c.at("next_action_out"));
}

/// What the name of a case makes of the good request.
Reservation varied(Reservation sent, const std::string& name)
{
    if (name == "ok") return sent;
    if (name == "no customer") {
        sent.customer_tid = 0;
    } else if (name == "no signature") {
        sent.customer_signature.clear();
    } else if (name == "json is not json") {
        sent.json = "{";
    } else if (name == "json differs from data") {
        sent.data.description += "x";
    } else if (name == "metadata of 1025 bytes") {
        sent.metadata = std::string(1025, 'm');
    } else if (name == "two zdbs with the same workload id") {
        sent.data.zdbs.at(1).workload_id = sent.data.zdbs.at(0).workload_id;
        sent.json = grid::to_json(sent.data);
    } else if (name.starts_with("zdb with the workload id of the network")) {
        sent.data.zdbs.at(0).workload_id = sent.data.networks.at(0).workload_id;
        sent.json = grid::to_json(sent.data);
    } else {
        ADD_FAILURE() << "a case that the test does not know: " << name;
    }
    return sent;
}

TEST(LegacyServerVectors, EveryCaseOfTheFile)
{
    const auto file = test::vectors("legacy_reservation.json");
    // Documents, signatures and the cut into workloads are the grid's: its tests run those groups.
    test::expect_known_members(
        file,
        {"next_action_after_create_pipeline",
         "state_machine_v026",
         "validation",
         "create_request",
         "delete_signature_hex",
         "delete_signed_text",
         "delete_signed_text_prefix",
         "note",
         "public_key_hex",
         "sign_delete_request",
         "signature_hex",
         "signed_text",
         "stored_reservation",
         "workloads_all_ids",
         "workloads_node1",
         "workloads_node1_when_delete_first_entry",
         "workloads_node2"});
    for (const auto& c : file.at("state_machine_v026")) check_step(c);

    const auto request = grid::from_json<Reservation>(file.at("create_request").dump());
    ASSERT_TRUE(request) << request.error().message;
    for (const auto& c : file.at("validation")) {
        test::expect_known_members(c, {"error", "name"});
        const auto name = c.at("name").get<std::string>();
        SCOPED_TRACE(name);
        auto wanted = c.at("error").get<std::string>();
        const std::string prefix = "invalid reservation object: ";
        if (wanted.starts_with(prefix)) wanted.erase(0, prefix.size());
        auto refusal = refusal_of(varied(*request, name));
        // What a decoder says of broken text is its own.
        const std::string decoding = "invalid json data on reservation: ";
        if (wanted.starts_with(decoding)) {
            EXPECT_TRUE(refusal.starts_with(decoding)) << refusal;
            continue;
        }
        EXPECT_EQ(refusal, wanted);
    }

    // The original waits for payment there, unless all is free.
    EXPECT_EQ(file.at("next_action_after_create_pipeline"), static_cast<int>(NextAction::pay));
    EXPECT_EQ(advance(*request, 0), NextAction::deploy);
    EXPECT_EQ(
        file.at("stored_reservation").at("next_action"), static_cast<int>(NextAction::deploy));
    test::report_cases(
        "legacy_reservation.json",
        file.at("state_machine_v026").size() + file.at("validation").size() + 2);
}

}  // namespace
}  // namespace znode::explorer_server
