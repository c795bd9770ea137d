#include "reservation_fixture.hpp"

namespace znode::explorer_server {
namespace {

/// The order of two 0-dbs and a network, with a container that mounts a volume of the same order.
class ConversionTest : public ReservationTest {
protected:
    std::int64_t running()
    {
        auto wish = data();
        wish["volumes"] = {
            {{"workload_id", 4}, {"node_id", grid_.node.key_id}, {"size", 300}, {"type", 1}}};
        wish["containers"] = {
            {{"workload_id", 5},
             {"node_id", grid_.node.key_id},
             {"flist", "http://hub/x.flist"},
             {"environment", Json::object()},
             {"volumes", {{{"volume_id", "-4"}, {"mountpoint", "/data"}}}},
             {"capacity", {{"cpu", 2}, {"memory", 4096}}}}};
        const auto reply = create(wish);
        EXPECT_EQ(reply.status, 201U) << reply.body;
        const auto id = test::SmallGrid::json(reply).at("reservation_id").get<std::int64_t>();
        const auto name = std::to_string(id);
        for (const auto* part : {"-1", "-2", "-4", "-5"})
            EXPECT_EQ(report(grid_.node, name + part, ResultState::ok).status, 201U);
        for (const auto* part : {"-1", "-3"})
            EXPECT_EQ(report(second_, name + part, ResultState::ok).status, 201U);
        return id;
    }
    http::Reply offered() { return grid_.get("/reservations/convert", grid_.customer); }
    /// Signs what was offered, as the customer's client does.
    std::vector<grid::Workload> signed_offer()
    {
        auto list = grid::list_from_json<grid::Workload>(offered().body);
        EXPECT_TRUE(list) << list.error().message;
        for (auto& workload : *list) sign(workload);
        return *std::move(list);
    }
    void sign(grid::Workload& workload) const
    {
        workload.customer_signature =
            grid_.customer_identity.sign_hex(grid::create_message(workload));
    }
    http::Reply post(const std::vector<grid::Workload>& list)
    {
        return grid_.post("/reservations/convert", grid::list_to_json(list), grid_.customer);
    }
};

TEST_F(ConversionTest, WhatRunsGoesOnInAPoolUnderItsOldName)
{
    const auto id = running();
    const auto list = test::SmallGrid::json(offered());
    ASSERT_EQ(list.size(), 6U) << list.dump(1);
    EXPECT_EQ(offered().body, offered().body) << "asked again it is the same offer";
    for (const auto& workload : list) {
        EXPECT_EQ(workload.at("pool_id"), 2);
        EXPECT_EQ(workload.at("version"), 0) << "secrets stay as they are";
        EXPECT_EQ(workload.at("result").at("workload_id"), "");
    }
    EXPECT_EQ(list.at(0).at("volumes").at(0).at("volume_id"), "1-4") << "named in full";

    const auto offer = signed_offer();
    grid_.now += 1000;
    const auto posted = post(offer);
    ASSERT_EQ(posted.status, 201U) << posted.body;

    EXPECT_EQ(action(id), 7);
    const auto container = grid_.workload(2);
    EXPECT_EQ(container.at("reference"), "1-5");
    EXPECT_EQ(container.at("next_action"), 3);
    EXPECT_EQ(container.at("epoch"), grid_.now);
    EXPECT_EQ(container.at("customer_epoch"), grid_.now - 1000) << "stays verifiable";
    EXPECT_EQ(test::SmallGrid::json(grid_.poll(0)).size(), 4U);
    EXPECT_EQ(told(grid_.node, 0), Names{}) << "the reservation itself is told to nobody";
    EXPECT_EQ(offered().status, 204U);
    EXPECT_EQ(offered().body, "");

    // 4000 s were left: 1 CU of the container, 1 SU of the volume, 0.033 of each 0-db.
    const auto pool = test::SmallGrid::json(grid_.get("/reservations/pools/2"));
    EXPECT_EQ(pool.at("cus"), 4000);
    EXPECT_EQ(pool.at("sus"), 4000 + 2 * 132);
    EXPECT_EQ(pool.at("node_ids").size(), 2U);
    EXPECT_EQ(grid_.get("/reservations/pools/payment/2").status, 200U);
}

TEST_F(ConversionTest, TheReservationsDatesAndSignaturesEndNothingAnyMore)
{
    const auto id = running();
    ASSERT_EQ(post(signed_offer()).status, 201U);
    grid_.now += 10'000;
    grid_.close();
    grid_.open();
    EXPECT_EQ(end(id).status, 201U);
    EXPECT_EQ(confirm(grid_.node, "1-2").status, 200U);
    EXPECT_EQ(action(id), 7);
    EXPECT_EQ(grid_.workload(2).at("next_action"), 3);
}

TEST_F(ConversionTest, OnlyWhatWasOfferedAndSignedIsTaken)
{
    (void)running();
    const auto good = signed_offer();
    const auto refused = [&](const std::vector<grid::Workload>& list, const std::string& why) {
        const auto reply = post(list);
        EXPECT_EQ(reply.status, 400U) << why;
        EXPECT_NE(reply.body.find(why), std::string::npos) << reply.body;
    };
    refused({}, "need to send at least 1 workload to convert");
    refused({good.begin(), good.end() - 1}, "is missing: a reservation is converted as a whole");
    auto list = good;
    list[1].reference = "77-1";
    refused(list, "workload 77-1 is not to be converted");
    list = good;
    std::get<grid::Volume>(list[1].data).size = 1;
    sign(list[1]);
    refused(list, "is not what was to be signed");
    list = good;
    list[2].customer_signature = grid_.farmer_identity.sign_hex("x");
    refused(list, "failed to verify customer signature");
    list = good;
    list.push_back(good.front());
    refused(list, "is not to be converted");

    EXPECT_EQ(
        grid_.post("/reservations/convert", grid::list_to_json(good), grid_.farmer).status, 400U)
        << "another user's";
    EXPECT_EQ(grid_.get("/reservations/convert").status, 401U);
    EXPECT_EQ(grid_.get("/reservations/pools/2").status, 404U) << "nothing was made of it";
    EXPECT_EQ(post(good).status, 201U);
    refused(good, "is not to be converted");
}

TEST_F(ConversionTest, NothingIsOfferedBeforeAllOfItRuns)
{
    EXPECT_EQ(offered().body, "[]\n");
    (void)created();
    (void)report(grid_.node, "1-2", ResultState::ok);
    EXPECT_EQ(offered().body, "[]\n");
    EXPECT_EQ(offered().status, 200U);
}

}  // namespace
}  // namespace znode::explorer_server
