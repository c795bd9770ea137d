#pragma once

#include <cstdint>
#include <string>

#include "grid/node.hpp"
#include "grid/scalars.hpp"

namespace znode::grid {

struct WalletAddress {
    std::string asset;
    std::string address;
};
struct NodeResourcePrice {
    Currency currency = Currency::eur;
    double cru = 0;
    double mru = 0;
    double hru = 0;
    double sru = 0;
    double nru = 0;
};
struct CloudUnitsPrice {
    Currency currency = Currency::eur;
    double cu = 0;
    double su = 0;
    double nu = 0;
    double ipv4u = 0;
};
struct FarmIp {
    IpRange address;
    Ip gateway;
    std::int64_t reservation_id = 0;
};
struct Farm {
    std::int64_t id = 0;
    std::int64_t threebot_id = 0;
    std::string iyo_organization;
    std::string name;
    List<WalletAddress> wallet_addresses;
    Location location;
    std::string email;
    List<NodeResourcePrice> resource_prices;
    IpRange prefix_zero;
    List<FarmIp> ipaddresses;
    bool enable_custom_pricing = false;
    CloudUnitsPrice farm_cloudunits_price;
};

/// A price of a farm for one customer.
struct Deal {
    std::int64_t threebot_id = 0;  ///< The customer.
    std::int64_t farm_id = 0;
    CloudUnitsPrice custom_cloudunits_price;
};

struct User {
    std::int64_t id = 0;
    std::string name;
    std::string email;
    std::string pubkey;  ///< Hex.
    std::string host;
    std::string description;
};

/// PUT users/{id}: the user and a signature over `user_update_text`.
struct UserUpdate {
    User user;
    std::string sender_signature_hex;
};
/// What the user signs (no hash): id, name, email, host, description and key, nothing between.
std::string user_update_text(const User& user);

/// POST users/{id}/validate
struct ValidateRequest {
    std::string payload;    ///< Hex; the decoded bytes are signed.
    std::string signature;  ///< Hex.
};
struct ValidateReply {
    bool is_valid = false;
};

/// Dollars per unit and month, as the originals' clients expect them.
struct Prices {
    double cu_dollar_month = 0;
    double su_dollar_month = 0;
    double tft_price_mill = 0;
    double ip4u_dollar_month = 0;
};

/// Answer of POST farms.
struct CreatedId {
    std::int64_t id = 0;
};

}  // namespace znode::grid
