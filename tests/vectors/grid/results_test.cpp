#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "grid/document.hpp"
#include "grid/result.hpp"
#include "identity/identity.hpp"
#include "vectors.hpp"

namespace znode::grid {
namespace {

using test::Json;

std::string text(const Json& object, const char* member)
{
    return object.at(member).get<std::string>();
}

/// The data of a category, read and written again.
std::string rewritten(WorkloadType category, const std::string& data)
{
    const auto again = [&]<class T>(const Result<T>& read) {
        EXPECT_TRUE(read);
        return read ? to_json(*read) : std::string{};
    };
    if (data == "null") return data;
    switch (category) {
        case WorkloadType::zdb:
            return again(from_json<ZdbResult>(data));
        case WorkloadType::container:
            return again(from_json<ContainerResult>(data));
        case WorkloadType::volume:
            return again(from_json<VolumeResult>(data));
        case WorkloadType::kubernetes:
        case WorkloadType::public_ip:
            return again(from_json<IpResult>(data));
        default:
            return "category " + std::string{to_string(category)} + " has no data";
    }
}

TEST(GridVectors, Results)
{
    std::size_t cases = 0;
    const auto file = test::vectors("results.json");
    test::expect_known_members(file, {"cases", "node_id", "note", "public_key_hex"});
    const auto key = *identity::key_of_hex(text(file, "public_key_hex"));
    EXPECT_EQ(identity::node_id_of(key), text(file, "node_id"));

    for (const auto& c : file.at("cases")) {
        SCOPED_TRACE(c.at("name").dump());
        ++cases;
        test::expect_known_members(
            c,
            {"data_json_bytes",
             "message",
             "name",
             "note",
             "put_body",
             "signature_hex",
             "signed_bytes_hex",
             "state",
             "workload_id"});
        const auto result = from_json<WorkloadResult>(text(c, "put_body"));
        ASSERT_TRUE(result) << result.error().message;

        EXPECT_EQ(to_json(*result) + "\n", text(c, "put_body"));
        EXPECT_EQ(result->workload_id, text(c, "workload_id"));
        EXPECT_EQ(result->message, text(c, "message"));
        EXPECT_EQ(static_cast<int>(result->state), c.at("state").get<int>());
        EXPECT_EQ(result->signature, text(c, "signature_hex"));
        const auto data = result->data.text.empty() ? std::string{"null"} : result->data.text;
        EXPECT_EQ(data, text(c, "data_json_bytes"));
        EXPECT_EQ(rewritten(result->category, data), data);

        const auto bytes = result_signing_bytes(*result);
        EXPECT_EQ(to_hex(bytes), text(c, "signed_bytes_hex"));
        EXPECT_TRUE(identity::verify_hex(key, bytes, text(c, "signature_hex")));
    }
    test::report_cases("results.json", cases);
}

TEST(GridVectors, SeedTextResults)
{
    std::size_t cases = 0;
    const auto file = test::vectors("seed_text_results.json");
    test::expect_known_members(file, {"cases", "note"});
    for (const auto& c : file.at("cases")) {
        SCOPED_TRACE(c.at("workload_id").dump());
        ++cases;
        test::expect_known_members(
            c,
            {"category",
             "data_json_bytes",
             "epoch_text",
             "message",
             "name",
             "note",
             "signature_hex",
             "signed_bytes_hex",
             "signer_node_id",
             "signer_public_key_hex",
             "state",
             "workload_id"});
        WorkloadResult result;
        result.category = static_cast<WorkloadType>(c.at("category").get<int>());
        result.state = static_cast<ResultState>(c.at("state").get<int>());
        result.message = text(c, "message");
        result.data.text = text(c, "data_json_bytes");
        EXPECT_TRUE(Gwid::parse(text(c, "workload_id")));
        EXPECT_EQ(rewritten(result.category, result.data.text), result.data.text);

        const auto bytes = result_signing_bytes(result);
        EXPECT_EQ(to_hex(bytes), text(c, "signed_bytes_hex"));
        const auto signature = from_hex(text(c, "signature_hex"));
        ASSERT_TRUE(signature);
        EXPECT_EQ(signature->size(), 64U);
        if (c.at("signer_node_id").is_null()) continue;
        const auto key = identity::key_of_hex(text(c, "signer_public_key_hex"));
        ASSERT_TRUE(key);
        EXPECT_EQ(identity::node_id_of(*key), text(c, "signer_node_id"));
        EXPECT_TRUE(identity::verify_node(text(c, "signer_node_id"), bytes, *signature));
    }
    test::report_cases("seed_text_results.json", cases);
}

}  // namespace
}  // namespace znode::grid
