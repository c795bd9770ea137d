#include <gtest/gtest.h>

#include "explorer_server/lifecycle.hpp"
#include "vectors.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;

/// Who has signed what, in the words of the file.
struct Situation {
    std::int64_t provision_quorum = 0;
    std::vector<std::int64_t> provision_signed = {};
    std::int64_t delete_quorum = 1;
    std::vector<std::int64_t> delete_signed = {};
    bool expired = false;
    bool provisioning_expired = false;
    bool all_ok = false;
};

const std::map<std::string, Situation> situations{
    {"no provision quorum", {}},
    {"provision quorum 1, unsigned", {.provision_quorum = 1}},
    {"provision quorum 1, signed", {.provision_quorum = 1, .provision_signed = {7}}},
    {"provision quorum 2, the same user twice",
     {.provision_quorum = 2, .provision_signed = {7, 7}}},
    {"delete signed", {.delete_signed = {7}}},
    {"delete signed by a stranger", {.delete_signed = {4711}}},
    {"delete quorum 0, signed", {.delete_quorum = 0, .delete_signed = {7}}},
    {"reservation expired", {.expired = true}},
    {"provisioning expired, no result", {.provisioning_expired = true}},
    {"provisioning expired, all results ok", {.provisioning_expired = true, .all_ok = true}},
};

grid::List<grid::SigningSignature> signatures_of(const std::vector<std::int64_t>& tids)
{
    auto list = grid::List<grid::SigningSignature>::none();
    for (const auto tid : tids) list.push_back({.tid = tid, .signature = "00", .epoch = {}});
    return list;
}

void check(const Json& c, const grid::List<std::int64_t>& signers, bool reservation)
{
    test::expect_known_members(c, {"modified", "next_action_in", "next_action_out", "situation"});
    const auto name = c.at("situation").get<std::string>();
    SCOPED_TRACE(name + " from " + c.at("next_action_in").dump());
    ASSERT_TRUE(situations.contains(name)) << "a situation that the test does not know";
    const auto& situation = situations.at(name);

    const auto before = static_cast<grid::NextAction>(c.at("next_action_in").get<int>());
    const grid::SigningRequest provision{
        .signers = signers, .quorum_min = situation.provision_quorum};
    const grid::SigningRequest removal{.signers = signers, .quorum_min = situation.delete_quorum};
    grid::NextAction after{};
    if (reservation) {
        after = advance_reservation(
            before,
            {.provision_signed =
                 quorum_met(provision, signatures_of(situation.provision_signed), true),
             .delete_signed = quorum_met(removal, signatures_of(situation.delete_signed), false),
             .expired = situation.expired,
             .provisioning_expired = situation.provisioning_expired,
             .all_results_ok = situation.all_ok});
    } else {
        grid::Workload workload;
        workload.next_action = before;
        workload.signing_request_provision = provision;
        workload.signing_request_delete = removal;
        workload.signatures_provision = signatures_of(situation.provision_signed);
        workload.signatures_delete = signatures_of(situation.delete_signed);
        after = advance(workload);
    }
    EXPECT_EQ(static_cast<int>(after), c.at("next_action_out").get<int>());
    EXPECT_EQ(after != before, c.at("modified").get<bool>());
}

TEST(StateMachineVectors, EveryCaseOfTheFile)
{
    const auto file = test::vectors("state_machine.json");
    test::expect_known_members(
        file,
        {"enum", "legacy_reservation_v050", "note", "signers_in_every_case", "workload_v050"});
    EXPECT_EQ(file.at("enum").at("delete"), static_cast<int>(grid::NextAction::remove));
    EXPECT_EQ(file.at("enum").at("migrated"), static_cast<int>(grid::NextAction::migrated));

    grid::List<std::int64_t> signers;
    for (const auto& signer : file.at("signers_in_every_case")) signers.push_back(signer);
    for (const auto& c : file.at("workload_v050")) check(c, signers, false);
    for (const auto& c : file.at("legacy_reservation_v050")) check(c, signers, true);
    test::report_cases(
        "state_machine.json",
        file.at("workload_v050").size() + file.at("legacy_reservation_v050").size());
}

}  // namespace
}  // namespace znode::explorer_server
