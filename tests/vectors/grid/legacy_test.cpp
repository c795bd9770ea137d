#include "grid/legacy.hpp"

#include <gtest/gtest.h>

#include "grid/document.hpp"
#include "identity/identity.hpp"
#include "mended.hpp"
#include "vectors.hpp"

namespace znode::grid::legacy {
namespace {

using test::Json;

std::string text(const Json& object, const char* member)
{
    return object.at(member).get<std::string>();
}

Reservation reservation_of(const Json& document)
{
    auto read = from_json<Reservation>(document.dump());
    if (!read) throw std::runtime_error{read.error().message};
    return *std::move(read);
}

/// What a client asks for is what is stored, but for what the server fills in.
void check_request(const Json& request, const Reservation& stored, const identity::PublicKey& user)
{
    const auto asked = reservation_of(request);
    EXPECT_EQ(asked.json, stored.json);
    EXPECT_EQ(asked.customer_tid, stored.customer_tid);
    const auto out_of_text = from_json<ReservationData>(asked.json);
    ASSERT_TRUE(out_of_text) << out_of_text.error().message;
    EXPECT_EQ(to_json(*out_of_text), to_json(asked.data));
    EXPECT_TRUE(identity::verify_hex(user, create_text(asked), asked.customer_signature));
}

void check_entries(const std::vector<ReservationWorkload>& entries, const Json& expected)
{
    ASSERT_EQ(entries.size(), expected.size());
    for (std::size_t i = 0; i < entries.size(); ++i) {
        SCOPED_TRACE(i);
        // Member order counts: the text is compared.
        EXPECT_EQ(to_json(entries[i]), test::mended(expected[i]).dump());
        const auto again = from_json<ReservationWorkload>(expected[i].dump());
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(to_json(*again), to_json(entries[i]));
    }
}

/// Each entry can be told in the words of the later era, by the node that it is for.
void check_workloads(const Json& expected)
{
    for (const auto& document : expected) {
        SCOPED_TRACE(text(document, "workload_id"));
        const auto entry = from_json<ReservationWorkload>(document.dump());
        ASSERT_TRUE(entry) << entry.error().message;
        const auto workload = to_workload(*entry, entry->node_id);
        ASSERT_TRUE(workload) << workload.error().message;
        EXPECT_EQ(workload->gwid().text(), text(document, "workload_id"));
        EXPECT_EQ(std::to_string(workload->customer_tid), text(document, "user"));
        EXPECT_EQ(workload->version, 0);
        EXPECT_EQ(workload->epoch.unix, document.at("created").get<std::int64_t>());
        EXPECT_EQ(category_of(workload->workload_type), entry->type);

        const auto& content = document.at("content");
        const auto flat = Json::parse(to_json(*workload));
        for (const auto& [name, value] : content.items()) {
            if (name == "network_resources") {
                const auto own = std::ranges::find_if(value, [&](const Json& resource) {
                    return resource.at("node_id") == document.at("node_id");
                });
                ASSERT_NE(own, value.end());
                for (const auto& [member, wanted] : own->items()) {
                    // The peers' members have another order in the later era.
                    EXPECT_EQ(nlohmann::json(flat.at(member)), nlohmann::json(wanted)) << member;
                }
            } else if (name == "iprange") {
                EXPECT_EQ(flat.at("network_iprange"), value);
            } else if (name == "network_connection") {
                for (std::size_t i = 0; i < value.size(); ++i)
                    for (const auto& [member, wanted] : value[i].items())
                        EXPECT_EQ(flat.at(name)[i].at(member), wanted) << member;
            } else if (name == "capacity") {
                EXPECT_EQ(flat.at(name).at("cpu"), value.at("cpu"));
                EXPECT_EQ(flat.at(name).at("memory"), value.at("memory"));
            } else if (name != "farmer_tid" && flat.contains(name)) {
                EXPECT_EQ(flat.at(name), value) << name;
            }
        }
    }
}

TEST(LegacyReservationVectors, EveryCaseOfTheFile)
{
    const auto file = test::vectors("legacy_reservation.json");
    // State machine and checks are the explorer's: its tests run the last four groups.
    test::expect_known_members(
        file,
        {"create_request",
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
         "workloads_node2",
         "next_action_after_create_pipeline",
         "state_machine_v026",
         "validation"});
    const auto user = identity::key_of_hex(text(file, "public_key_hex"));
    ASSERT_TRUE(user);
    auto stored = reservation_of(file.at("stored_reservation"));
    std::size_t cases = 3;

    EXPECT_EQ(to_json(stored), test::mended(file.at("stored_reservation")).dump());
    check_request(file.at("create_request"), stored, *user);
    EXPECT_EQ(create_text(stored), text(file, "signed_text"));
    EXPECT_TRUE(identity::verify_hex(*user, create_text(stored), text(file, "signature_hex")));

    EXPECT_EQ(sign_text(stored), text(file, "delete_signed_text"));
    EXPECT_TRUE(sign_text(stored).starts_with(text(file, "delete_signed_text_prefix")));
    EXPECT_TRUE(identity::verify_hex(*user, sign_text(stored), text(file, "delete_signature_hex")));
    const auto ending = from_json<SigningSignature>(file.at("sign_delete_request").dump());
    ASSERT_TRUE(ending);
    EXPECT_EQ(
        nlohmann::json::parse(to_json(*ending)), nlohmann::json(file.at("sign_delete_request")));
    EXPECT_EQ(ending->signature, text(file, "delete_signature_hex"));

    for (const auto* group : {"workloads_node1", "workloads_node2"}) {
        SCOPED_TRACE(group);
        const auto node = text(file.at(group).at(0), "node_id");
        check_entries(split(stored, node), file.at(group));
        check_workloads(file.at(group));
        cases += file.at(group).size();
    }

    Json ids = Json::array();
    for (const auto& entry : split(stored, ""))
        ids.push_back(
            {{"node_id", entry.node_id},
             {"type", static_cast<int>(entry.type)},
             {"workload_id", entry.workload_id}});
    EXPECT_EQ(ids, file.at("workloads_all_ids"));
    cases += ids.size();

    stored.next_action = NextAction::remove;
    EXPECT_EQ(
        to_json(split(stored, text(file.at("workloads_node1").at(0), "node_id")).at(0)),
        test::mended(file.at("workloads_node1_when_delete_first_entry")).dump());
    test::report_cases("legacy_reservation.json", cases + 1);
}

}  // namespace
}  // namespace znode::grid::legacy
