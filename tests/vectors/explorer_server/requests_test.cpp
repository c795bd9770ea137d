// Requests of the vectors, put to a server: pools and users.

#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "grid/farm.hpp"
#include "small_grid.hpp"
#include "vectors.hpp"

namespace znode::explorer_server {
namespace {

using test::Json;

/// Users 1 to 9, of which 7 and 9 are the customers of the vectors, a farm, and the nodes that
/// pools are made of. The seventh is for the tests to register.
class VectorGrid {
public:
    VectorGrid()
    {
        for (int id = 1; id <= 6; ++id) add_user(id, seventh);
    }
    void add_the_rest()
    {
        for (int id = 8; id <= 9; ++id) add_user(id, test::identity_of(id == 9 ? 0x60 : 0x90));
        const test::Signer farmer{&seventh, "1"};
        const Json farm{
            {"name", "farm"},
            {"threebot_id", 1},
            {"wallet_addresses", {{{"asset", "TFT"}, {"address", "G"}}}}};
        ASSERT_EQ(grid.post("/farms", farm.dump(), farmer).status, 201U);
        for (const unsigned char first : {std::uint8_t{0x00}, std::uint8_t{0x20}}) {
            const auto identity = test::identity_of(first);
            const Json node{
                {"node_id", identity.node_id()},
                {"farm_id", 1},
                {"os_version", "1"},
                {"public_key_hex", identity.public_key_hex()},
                {"location", {{"country", "Austria"}}}};
            ASSERT_EQ(
                grid.post("/nodes", node.dump(), {&identity, identity.node_id()}).status, 201U);
        }
    }

    test::SmallGrid grid;
    const identity::Identity seventh = test::identity_of(0x40);

private:
    void add_user(int id, const identity::Identity& key)
    {
        const auto name = "filler" + std::to_string(id) + ".3bot";
        const Json body{
            {"name", name}, {"email", name + "@example.com"}, {"pubkey", key.public_key_hex()}};
        ASSERT_EQ(grid.post("/users", body.dump()).status, 201U);
    }
};

std::string error_of(const http::Reply& reply)
{
    return test::SmallGrid::json(reply).value("error", "");
}

TEST(PoolVectors, RequestsOfClientsAreTaken)
{
    const auto file = test::vectors("pools.json");
    // `accounting` is run by a test of its own.
    test::expect_known_members(file, {"accounting", "create", "create_errors"});
    VectorGrid scene;
    const Json seventh{
        {"name", "user1.3bot"},
        {"email", "user1@example.com"},
        {"pubkey", scene.seventh.public_key_hex()}};
    ASSERT_EQ(scene.grid.post("/users", seventh.dump()).status, 201U);
    scene.add_the_rest();

    for (const auto& c : file.at("create")) {
        test::expect_known_members(
            c,
            {"name",
             "request",
             "signature_hex",
             "signed_text",
             "sponsor_signature_hex",
             "note",
             "python_client_request"});
        SCOPED_TRACE(c.at("name").get<std::string>());
        const auto& request = c.at("request");
        EXPECT_EQ(request.at("json"), c.at("signed_text"));
        EXPECT_EQ(request.at("customer_signature"), c.at("signature_hex"));
        const auto reply = scene.grid.post("/reservations/pools", request.dump());
        ASSERT_EQ(reply.status, 201U) << reply.body;
        const auto id = test::SmallGrid::json(reply).at("reservation_id").dump();
        const auto pool = test::SmallGrid::json(scene.grid.get("/reservations/pools/" + id));
        const auto& data = request.at("data_reservation");
        EXPECT_EQ(pool.at("cus"), data.at("cus"));
        EXPECT_EQ(pool.at("sus"), data.at("sus"));
        EXPECT_EQ(pool.at("node_ids"), data.at("node_ids"));
        EXPECT_EQ(pool.at("customer_tid"), request.at("customer_tid"));
        EXPECT_EQ(pool.at("sponsor_tid"), request.value("sponsor_tid", 0));
        // What the Python client really sends leaves out what is nothing.
        if (c.contains("python_client_request")) {
            const auto sent =
                scene.grid.post("/reservations/pools", c.at("python_client_request").dump());
            EXPECT_EQ(sent.status, 201U) << sent.body;
        }
        // One bit of the signature less, and it is nobody's.
        auto forged = request;
        auto signature = request.at("customer_signature").get<std::string>();
        signature.back() = signature.back() == '0' ? '1' : '0';
        forged["customer_signature"] = signature;
        EXPECT_EQ(
            error_of(scene.grid.post("/reservations/pools", forged.dump())),
            "failed to verify customer signature: signature verification failed");
    }
    const auto good = file.at("create").at(0).at("request");
    for (const auto& c : file.at("create_errors")) {
        test::expect_known_members(c, {"error", "name"});
        const auto name = c.at("name").get<std::string>();
        SCOPED_TRACE(name);
        auto request = good;
        if (name == "data differs from json") {
            request["data_reservation"]["cus"] = 1;
        } else if (name == "no customer") {
            request["customer_tid"] = 0;
        } else if (name == "no signature") {
            request["customer_signature"] = "";
        } else if (name == "no node") {
            request["data_reservation"]["node_ids"] = Json::array();
            request["json"] = request["data_reservation"].dump();
        } else {
            ADD_FAILURE() << "a case that the test does not know";
        }
        const auto reply = scene.grid.post("/reservations/pools", request.dump());
        EXPECT_EQ(reply.status, 400U);
        EXPECT_EQ(error_of(reply), c.at("error").get<std::string>());
    }
    test::report_cases(
        "pools.json (requests)", file.at("create").size() + file.at("create_errors").size());
}

TEST(UserVectors, EveryCaseOfTheFile)
{
    const auto file = test::vectors("users.json");
    test::expect_known_members(
        file, {"create_request", "create_response", "update", "validate", "validation"});
    VectorGrid scene;
    const auto made = scene.grid.post("/users", file.at("create_request").dump());
    EXPECT_EQ(made.status, 201U) << made.body;
    auto answer = test::SmallGrid::json(made);
    // Unlike the original, we remember where he is and what he says of himself.
    for (const auto* kept : {"host", "description"}) {
        EXPECT_EQ(answer.at(kept), file.at("create_request").value(kept, ""));
        answer[kept] = file.at("create_response").at(kept);
    }
    EXPECT_EQ(answer.dump(), file.at("create_response").dump());

    const auto& update = file.at("update");
    test::expect_known_members(update, {"request", "signature_hex", "signed_text"});
    const auto& wanted = update.at("request");
    EXPECT_EQ(wanted.at("sender_signature_hex"), update.at("signature_hex"));
    const auto request = grid::from_json<grid::UserUpdate>(wanted.dump());
    ASSERT_TRUE(request);
    EXPECT_EQ(grid::user_update_text(request->user), update.at("signed_text").get<std::string>());
    EXPECT_EQ(scene.grid.put("/users/7", wanted.dump()).status, 200U);
    const auto user = test::SmallGrid::json(scene.grid.get("/users/7"));
    EXPECT_EQ(user.at("host"), wanted.at("host"));
    EXPECT_EQ(user.at("description"), wanted.at("description"));

    const auto& validate = file.at("validate");
    test::expect_known_members(validate, {"expected", "payload_hex", "signature_hex"});
    const auto is_valid = [&](const Json& payload) {
        const Json body{{"payload", payload}, {"signature", validate.at("signature_hex")}};
        return test::SmallGrid::json(scene.grid.post("/users/7/validate", body.dump()))
            .at("is_valid");
    };
    EXPECT_EQ(is_valid(validate.at("payload_hex")), validate.at("expected"));
    EXPECT_EQ(is_valid("00"), false);

    for (const auto& c : file.at("validation")) {
        test::expect_known_members(c, {"email", "error", "name"});
        SCOPED_TRACE(c.dump());
        const auto wrong = c.at("error").get<std::string>();
        test::SmallGrid other;
        const Json body{
            {"name", c.at("name")},
            {"email", c.at("email")},
            {"pubkey", scene.seventh.public_key_hex()}};
        const auto reply = other.post("/users", body.dump());
        EXPECT_EQ(reply.status, wrong.empty() ? 201U : 400U);
        EXPECT_EQ(error_of(reply), wrong);
    }
    test::report_cases("users.json", 4 + file.at("validation").size());
}

}  // namespace
}  // namespace znode::explorer_server
