#pragma once

#include <cstdint>
#include <string>

#include "grid/scalars.hpp"

namespace znode::grid {

/// Capacity bought by a customer: unit seconds left, and what uses them up.
struct Pool {
    /// `empty_at` of a pool that nothing uses.
    static constexpr std::int64_t never = INT64_MAX;

    std::int64_t pool_id = 0;
    double cus = 0;
    double sus = 0;
    double ipv4us = 0;
    List<std::string> node_ids;
    std::int64_t last_updated = 0;
    double active_cu = 0;
    double active_su = 0;
    double active_ipv4 = 0;
    std::int64_t empty_at = 0;
    std::int64_t customer_tid = 0;
    std::int64_t sponsor_tid = 0;
    List<std::int64_t> active_workload_ids;
};

struct PoolData {
    std::int64_t pool_id = 0;  ///< 0: a new one.
    std::uint64_t cus = 0;
    std::uint64_t sus = 0;
    std::uint64_t ipv4us = 0;
    List<std::string> node_ids;
    List<std::string> currencies;
};

/// POST reservations/pools. `json` is the text that was signed (ed25519, no hash); its content must
/// be `data`.
struct PoolReservation {
    std::int64_t id = 0;
    std::string json;
    PoolData data;
    std::int64_t customer_tid = 0;
    std::string customer_signature;
    std::int64_t sponsor_tid = 0;
    std::string sponsor_signature;
};

struct EscrowInformation {
    std::string address;
    std::string asset;
    std::int64_t amount = 0;  ///< 1e-7 TFT
};
/// Answer to PoolReservation.
struct PoolReply {
    std::int64_t reservation_id = 0;
    EscrowInformation escrow_information;
};

/// Answer of POST reservations/workloads.
struct CreateReply {
    std::int64_t reservation_id = 0;
};

/// GET reservations/pools/payment/{id}
struct Payment {
    std::int64_t id = 0;
    std::int64_t farmer_id = 0;
    std::string address;
    Date expiration;
    std::string asset;
    std::int64_t amount = 0;
    bool paid = false;
    bool released = false;
    bool canceled = false;
    std::string cause;
};

/// The error body of an explorer.
struct ErrorReply {
    std::string error;
};

}  // namespace znode::grid
