#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "explorer/era.hpp"
#include "grid/farm.hpp"
#include "grid/legacy.hpp"
#include "grid/node.hpp"
#include "grid/pool.hpp"
#include "grid/workload.hpp"
#include "http/client.hpp"
#include "identity/identity.hpp"

namespace znode::explorer {

struct NodeFilter {
    std::optional<std::int64_t> farm;
    std::string city;
    std::string country;
    std::uint64_t cru = 0;  ///< At least so much in total; GiB for the others.
    std::uint64_t mru = 0;
    std::uint64_t sru = 0;
    std::uint64_t hru = 0;
};

/// What a customer or farmer says to an explorer, in its era. Lists are fetched with all their
/// pages. Errors as in NodeApi; what the era does not have is Errc::unsupported.
///
/// In the first era each workload becomes a reservation of its own, so that it can be ended alone,
/// and is shown as a workload of the later era.
class CustomerApi {
public:
    virtual ~CustomerApi() = default;

    virtual Era era() const noexcept = 0;
    /// Version of the secrets that workloads of this era carry: 0 are sealed boxes.
    std::int64_t workload_version() const noexcept { return era() == Era::pools ? 2 : 0; }

    /// POST users with the identity's key; the user with his id. Errc::exists: name or e-mail
    /// taken.
    virtual Task<Result<grid::User>> create_user(std::string name, std::string email) = 0;
    virtual Task<Result<grid::User>> user(std::int64_t id) = 0;
    /// Errc::not_found when nobody has that name.
    virtual Task<Result<grid::User>> user_named(std::string name) = 0;

    /// PUT users/{id}: e-mail, host and description; empty ones stay. Name and key cannot change.
    virtual Task<Result<>> update_user(grid::User user) = 0;
    /// Whether the explorer finds that a user signed these bytes (signature in hex).
    virtual Task<Result<bool>> validate(
        std::int64_t user, std::string payload, std::string signature) = 0;

    /// The id of the new farm.
    virtual Task<Result<std::int64_t>> create_farm(grid::Farm farm) = 0;
    virtual Task<Result<>> update_farm(grid::Farm farm) = 0;
    virtual Task<Result<grid::Farm>> farm(std::int64_t id) = 0;
    /// All, or those of an owner.
    virtual Task<Result<std::vector<grid::Farm>>> farms(std::optional<std::int64_t> owner) = 0;

    /// Public addresses that the farm lends; those that are there already are passed over.
    virtual Task<Result<>> add_farm_ips(std::int64_t farm, std::vector<grid::FarmIp> ips) = 0;
    /// By address with length. Errc::invalid for one that is in use.
    virtual Task<Result<>> remove_farm_ips(std::int64_t farm, std::vector<std::string> ips) = 0;
    virtual Task<Result<std::vector<grid::Deal>>> deals(std::int64_t farm) = 0;
    /// Makes or replaces the deal with a customer.
    virtual Task<Result<>> set_deal(grid::Deal deal) = 0;
    virtual Task<Result<>> remove_deal(std::int64_t farm, std::int64_t customer) = 0;
    /// Takes a machine out of the farm's list until it registers again.
    virtual Task<Result<>> remove_node(std::int64_t farm, std::string node_id) = 0;

    virtual Task<Result<std::vector<grid::Gateway>>> gateways(NodeFilter filter) = 0;
    virtual Task<Result<grid::Gateway>> gateway(std::string node_id) = 0;

    virtual Task<Result<std::vector<grid::Node>>> nodes(NodeFilter filter) = 0;
    virtual Task<Result<grid::Node>> node(std::string node_id) = 0;
    virtual Task<Result<>> set_public_config(std::string node_id, grid::PublicConfig config) = 0;
    virtual Task<Result<>> set_free(std::string node_id, bool free_to_use) = 0;
    /// Only this customer may use the machine; 0: everybody again.
    virtual Task<Result<>> set_dedicated(std::string node_id, std::int64_t user) = 0;

    virtual Task<Result<grid::Prices>> prices() = 0;

    /// Creates (`data.pool_id` 0) or extends a pool; text and signature are made here.
    virtual Task<Result<grid::PoolReply>> reserve_pool(grid::PoolData data) = 0;
    virtual Task<Result<grid::Pool>> pool(std::int64_t id) = 0;
    /// Own pools.
    virtual Task<Result<std::vector<grid::Pool>>> pools() = 0;
    virtual Task<Result<grid::Payment>> payment(std::int64_t reservation_id) = 0;

    /// Signs and posts; epoch, customer and signature, type and next_action are filled in here. The
    /// new id. Not repeated by itself when the answer is lost: a second POST is a second workload.
    virtual Task<Result<std::int64_t>> create_workload(grid::Workload workload) = 0;
    virtual Task<Result<grid::Workload>> workload(std::int64_t id) = 0;
    /// Own ones, all or those with this next_action.
    virtual Task<Result<std::vector<grid::Workload>>> workloads(
        std::optional<grid::NextAction> action) = 0;
    /// Signs the end of a workload (its stored epoch is fetched first). Errc::exists when it was
    /// signed before.
    virtual Task<Result<>> delete_workload(std::int64_t id) = 0;

    /// Signs a workload that waits for this user's consent; in the first era a reservation.
    virtual Task<Result<>> consent(std::int64_t id) = 0;
    /// Lets what runs of the user's reservations of the first era go on in pools: signs what the
    /// explorer offers, after comparing it with what the user has signed before, and posts it. What
    /// went on; nothing when nothing can. Errc::denied for an offer that is not the user's wish.
    virtual Task<Result<std::vector<grid::Workload>>> convert() = 0;

    /// How long what is ordered from here on shall live; only in the first era. Default: a day.
    void set_lifetime(std::chrono::seconds lifetime) noexcept { lifetime_ = lifetime; }

    // Whole reservations of the first era; also of explorers that serve both.

    /// Signs and posts. Dates and signers of the end that are not set are filled in. The new id.
    virtual Task<Result<std::int64_t>> create_reservation(grid::legacy::ReservationData data) = 0;
    virtual Task<Result<grid::legacy::Reservation>> reservation(std::int64_t id) = 0;
    /// Own ones.
    virtual Task<Result<std::vector<grid::legacy::Reservation>>> reservations() = 0;
    /// Signs the end of all its workloads.
    virtual Task<Result<>> delete_reservation(std::int64_t id) = 0;

protected:
    std::chrono::seconds lifetime_{86'400};
};

/// `client` as for NodeApi; it and `self` must outlive the object. Calls that need a user (pools,
/// workloads, farm updates) are Errc::invalid while the identity has no user id.
std::unique_ptr<CustomerApi> make_customer_api(
    http::Client& client, const identity::Identity& self, Era era = Era::pools);

/// The era that the explorer speaks. Errc::unavailable when nobody answers to either.
Task<Result<Era>> ask_era(http::Client* client, const identity::Identity* self);

}  // namespace znode::explorer
