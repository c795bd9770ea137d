#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "grid/farm.hpp"
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

/// What a customer or farmer says to an explorer of the pools era. Lists are fetched with all their
/// pages. Errors as in NodeApi.
class CustomerApi {
public:
    virtual ~CustomerApi() = default;

    /// POST users with the identity's key; the user with his id. Errc::exists: name or e-mail
    /// taken.
    virtual Task<Result<grid::User>> create_user(std::string name, std::string email) = 0;
    virtual Task<Result<grid::User>> user(std::int64_t id) = 0;
    /// Errc::not_found when nobody has that name.
    virtual Task<Result<grid::User>> user_named(std::string name) = 0;

    /// The id of the new farm.
    virtual Task<Result<std::int64_t>> create_farm(grid::Farm farm) = 0;
    virtual Task<Result<>> update_farm(grid::Farm farm) = 0;
    virtual Task<Result<grid::Farm>> farm(std::int64_t id) = 0;
    /// All, or those of an owner.
    virtual Task<Result<std::vector<grid::Farm>>> farms(std::optional<std::int64_t> owner) = 0;

    virtual Task<Result<std::vector<grid::Node>>> nodes(NodeFilter filter) = 0;
    virtual Task<Result<grid::Node>> node(std::string node_id) = 0;
    virtual Task<Result<>> set_public_config(std::string node_id, grid::PublicConfig config) = 0;
    virtual Task<Result<>> set_free(std::string node_id, bool free_to_use) = 0;

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
};

/// `client` as for NodeApi; it and `self` must outlive the object. Calls that need a user (pools,
/// workloads, farm updates) are Errc::invalid while the identity has no user id.
std::unique_ptr<CustomerApi> make_customer_api(
    http::Client& client, const identity::Identity& self);

}  // namespace znode::explorer
