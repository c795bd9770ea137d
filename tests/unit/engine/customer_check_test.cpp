#include "engine/customer_check.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hex.hpp"
#include "grid/challenge.hpp"
#include "grid/document.hpp"

namespace znode::engine {
namespace {

using testing::HasSubstr;

class CustomerCheckTest : public testing::Test {
protected:
    CustomerCheckTest()
    {
        grid::Workload workload;
        workload.id = 12;
        workload.workload_id = 1;
        workload.node_id = "node";
        workload.pool_id = 3;
        workload.customer_tid = 7;
        workload.description = "mine";
        grid::Zdb zdb;
        zdb.size = 10;
        zdb.password = "00ff";
        workload.data = zdb;
        workload.workload_type = grid::WorkloadType::zdb;
        workload.epoch = {1'600'000'000};
        workload.customer_signature = customer.sign_hex(grid::create_message(workload));
        // The explorer's epoch takes the place of the customer's.
        entry.customer_epoch = workload.epoch.unix;
        workload.epoch = {1'600'000'005};
        entry.workload = workload;
    }

    grid::legacy::Reservation reservation_of(grid::legacy::ReservationData data) const
    {
        grid::legacy::Reservation reservation;
        reservation.id = 12;
        reservation.customer_tid = 7;
        reservation.json = grid::to_json(data);
        reservation.data = std::move(data);
        reservation.customer_signature = customer.sign_hex(reservation.json);
        return reservation;
    }

    const identity::Identity customer = identity::Identity::generate();
    const identity::Identity stranger = identity::Identity::generate();
    explorer::PollEntry entry;
};

TEST_F(CustomerCheckTest, TheCustomersEpochMakesItVerifiable)
{
    EXPECT_EQ(check_signature(entry, customer.public_key()), true);
    const auto other = check_signature(entry, stranger.public_key());
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Errc::denied);
    EXPECT_THAT(other.error().message, HasSubstr("customer 7"));
}

TEST_F(CustomerCheckTest, AnExplorerThatKeptNoEpochLeavesItUnknown)
{
    entry.customer_epoch.reset();
    EXPECT_EQ(check_signature(entry, customer.public_key()), false);
    entry.workload->epoch = {1'600'000'000};
    EXPECT_EQ(check_signature(entry, customer.public_key()), true) << "it kept the customer's";
}

/// Whatever is changed of what was signed, and whatever bytes a signature has: refused.
TEST_F(CustomerCheckTest, NothingElsePasses)
{
    std::mt19937 random{12};
    const auto untouched = entry;
    const auto pick = [&](std::size_t n) {
        return std::uniform_int_distribution<std::size_t>{0, n - 1}(random);
    };
    for (int i = 0; i < 100'000; ++i) {
        entry = untouched;
        auto& workload = *entry.workload;
        auto& zdb = std::get<grid::Zdb>(workload.data);
        switch (pick(12)) {
            case 0:
                workload.workload_id += 1 + static_cast<std::int64_t>(pick(1000));
                break;
            case 1:
                workload.node_id += "x";
                break;
            case 2:
                workload.pool_id = 30;
                break;
            case 3:
                workload.customer_tid = 8 + static_cast<std::int64_t>(pick(1000));
                break;
            case 4:
                zdb.size += 1 + static_cast<std::int64_t>(pick(1000));
                break;
            case 5:
                zdb.is_public = true;
                break;
            case 6:
                zdb.password += "0";
                break;
            case 7:
                workload.description.clear();
                break;
            case 8:
                workload.metadata = "more";
                break;
            case 9:
                *entry.customer_epoch += 1 + static_cast<std::int64_t>(pick(100));
                break;
            case 10:
                workload.customer_signature.resize(pick(128));
                break;
            default: {
                auto& digit = workload.customer_signature[pick(128)];
                digit = digit == '0' ? '1' : '0';
            }
        }
        const auto checked = check_signature(entry, customer.public_key());
        ASSERT_FALSE(checked) << "round " << i << ": " << grid::to_json(workload);
        ASSERT_EQ(checked.error().code, Errc::denied);
    }
}

TEST_F(CustomerCheckTest, AnotherTypeUnderTheSameSignatureIsRefused)
{
    grid::Volume volume;
    volume.size = 10;
    entry.workload->data = volume;
    entry.workload->workload_type = grid::WorkloadType::volume;
    EXPECT_FALSE(check_signature(entry, customer.public_key()));
}

TEST_F(CustomerCheckTest, APartOfASignedReservationIsFoundInItsText)
{
    grid::legacy::ReservationData data;
    data.volumes = {{.workload_id = 1, .node_id = "node", .size = 10}};
    data.volumes.push_back({.workload_id = 2, .node_id = "node", .size = 20});
    const auto reservation = reservation_of(data);
    auto stored = reservation;
    const auto parts = grid::legacy::split(stored, "node");
    const auto first = grid::legacy::to_workload(parts.at(0), "node");
    ASSERT_TRUE(first);

    EXPECT_TRUE(check_reservation(*first, reservation, "node", customer.public_key()));
    EXPECT_FALSE(check_reservation(*first, reservation, "node", stranger.public_key()));
    EXPECT_FALSE(check_reservation(*first, reservation, "other", customer.public_key()));

    auto larger = *first;
    std::get<grid::Volume>(larger.data).size = 11;
    const auto refused = check_reservation(larger, reservation, "node", customer.public_key());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::denied);
    EXPECT_THAT(refused.error().message, HasSubstr("no such workload"));

    auto shown_otherwise = reservation;
    shown_otherwise.json += " ";
    EXPECT_FALSE(check_reservation(*first, shown_otherwise, "node", customer.public_key()));
    auto anothers = reservation;
    anothers.customer_tid = 8;
    EXPECT_FALSE(check_reservation(*first, anothers, "node", customer.public_key()));
}

TEST_F(CustomerCheckTest, AFingerprintTellsReservationsApart)
{
    const auto& workload = *entry.workload;
    auto same = workload;
    same.result.state = grid::ResultState::ok;
    same.next_action = grid::NextAction::remove;
    EXPECT_EQ(fingerprint(workload), fingerprint(same)) << "what changes in its life";
    auto larger = workload;
    std::get<grid::Zdb>(larger.data).size = 11;
    auto others = workload;
    others.customer_tid = 8;
    EXPECT_NE(fingerprint(workload), fingerprint(larger));
    EXPECT_NE(fingerprint(workload), fingerprint(others));
}

}  // namespace
}  // namespace znode::engine
