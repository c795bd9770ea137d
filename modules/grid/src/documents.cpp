// Farms, users, pools and what explorers answer.

#include "grid/document.hpp"
#include "grid/farm.hpp"
#include "grid/pool.hpp"
#include "node_tables.hpp"
#include "workload_tables.hpp"

namespace znode::grid {

template <>
struct Table<WalletAddress> {
    static constexpr std::array fields{
        field<&WalletAddress::asset>("asset"), field<&WalletAddress::address>("address")};
};

template <>
struct Table<NodeResourcePrice> {
    using T = NodeResourcePrice;
    static constexpr std::array fields{
        field<&T::currency>("currency"),
        field<&T::cru>("cru"),
        field<&T::mru>("mru"),
        field<&T::hru>("hru"),
        field<&T::sru>("sru"),
        field<&T::nru>("nru")};
};

template <>
struct Table<CloudUnitsPrice> {
    using T = CloudUnitsPrice;
    static constexpr std::array fields{
        field<&T::currency>("currency"),
        field<&T::cu>("cu"),
        field<&T::su>("su"),
        field<&T::nu>("nu"),
        field<&T::ipv4u>("ipv4u")};
};

template <>
struct Table<FarmIp> {
    static constexpr std::array fields{
        field<&FarmIp::address>("address"),
        field<&FarmIp::gateway>("gateway"),
        field<&FarmIp::reservation_id>("reservation_id")};
};

template <>
struct Table<Farm> {
    static constexpr std::array fields{
        field<&Farm::id>("id"),
        field<&Farm::threebot_id>("threebot_id"),
        field<&Farm::iyo_organization>("iyo_organization"),
        field<&Farm::name>("name"),
        field<&Farm::wallet_addresses>("wallet_addresses"),
        field<&Farm::location>("location"),
        field<&Farm::email>("email"),
        field<&Farm::resource_prices>("resource_prices"),
        field<&Farm::prefix_zero>("prefix_zero"),
        field<&Farm::ipaddresses>("ipaddresses"),
        field<&Farm::enable_custom_pricing>("enable_custom_pricing"),
        field<&Farm::farm_cloudunits_price>("farm_cloudunits_price")};
};

template <>
struct Table<Deal> {
    using T = Deal;
    static constexpr std::array fields{
        field<&T::threebot_id>("threebot_id"),
        field<&T::farm_id>("farm_id"),
        field<&T::custom_cloudunits_price>("custom_cloudunits_price")};
};

template <>
struct Table<User> {
    static constexpr std::array fields{
        field<&User::id>("id"),
        field<&User::name>("name"),
        field<&User::email>("email"),
        field<&User::pubkey>("pubkey"),
        field<&User::host>("host"),
        field<&User::description>("description")};
};

template <>
struct Table<UserUpdate> {
    using T = UserUpdate;
    static constexpr std::array fields{
        nested<&T::user, &User::id>("id"),
        nested<&T::user, &User::name>("name"),
        nested<&T::user, &User::email>("email"),
        nested<&T::user, &User::pubkey>("pubkey"),
        nested<&T::user, &User::host>("host"),
        nested<&T::user, &User::description>("description"),
        field<&T::sender_signature_hex>("sender_signature_hex")};
};

template <>
struct Table<ValidateRequest> {
    static constexpr std::array fields{
        field<&ValidateRequest::payload>("payload"),
        field<&ValidateRequest::signature>("signature")};
};

template <>
struct Table<ValidateReply> {
    static constexpr std::array fields{field<&ValidateReply::is_valid, Rule::required>("is_valid")};
};

template <>
struct Table<Prices> {
    static constexpr std::array fields{
        field<&Prices::cu_dollar_month>("CuPriceDollarMonth"),
        field<&Prices::su_dollar_month>("SuPriceDollarMonth"),
        field<&Prices::tft_price_mill>("TftPriceMill"),
        field<&Prices::ip4u_dollar_month>("IP4uPriceDollarMonth")};
};

template <>
struct Table<CreatedId> {
    static constexpr std::array fields{field<&CreatedId::id, Rule::required>("id")};
};

template <>
struct Table<Pool> {
    static constexpr std::array fields{
        field<&Pool::pool_id>("pool_id"),
        field<&Pool::cus>("cus"),
        field<&Pool::sus>("sus"),
        field<&Pool::ipv4us>("ipv4us"),
        field<&Pool::node_ids>("node_ids"),
        field<&Pool::last_updated>("last_updated"),
        field<&Pool::active_cu>("active_cu"),
        field<&Pool::active_su>("active_su"),
        field<&Pool::active_ipv4>("active_ipv4"),
        field<&Pool::empty_at>("empty_at"),
        field<&Pool::customer_tid>("customer_tid"),
        field<&Pool::sponsor_tid>("sponsor_tid"),
        field<&Pool::active_workload_ids>("active_workload_ids")};
};

template <>
struct Table<PoolData> {
    static constexpr std::array fields{
        field<&PoolData::pool_id>("pool_id"),
        field<&PoolData::cus>("cus"),
        field<&PoolData::sus>("sus"),
        field<&PoolData::ipv4us>("ipv4us"),
        field<&PoolData::node_ids>("node_ids"),
        field<&PoolData::currencies>("currencies")};
};

template <>
struct Table<PoolReservation> {
    using T = PoolReservation;
    static constexpr std::array fields{
        field<&T::id>("id"),
        field<&T::json>("json"),
        field<&T::data>("data_reservation"),
        field<&T::customer_tid>("customer_tid"),
        field<&T::customer_signature>("customer_signature"),
        field<&T::sponsor_tid>("sponsor_tid"),
        field<&T::sponsor_signature>("sponsor_signature")};
};

template <>
struct Table<EscrowInformation> {
    using T = EscrowInformation;
    static constexpr std::array fields{
        field<&T::address>("address"), field<&T::asset>("asset"), field<&T::amount>("amount")};
};

template <>
struct Table<PoolReply> {
    static constexpr std::array fields{
        field<&PoolReply::reservation_id, Rule::required>("reservation_id"),
        field<&PoolReply::escrow_information>("escrow_information")};
};

template <>
struct Table<CreateReply> {
    static constexpr std::array fields{
        field<&CreateReply::reservation_id, Rule::required>("reservation_id")};
};

template <>
struct Table<Payment> {
    static constexpr std::array fields{
        field<&Payment::id>("id"),
        field<&Payment::farmer_id>("farmer_id"),
        field<&Payment::address>("address"),
        field<&Payment::expiration>("expiration"),
        field<&Payment::asset>("asset"),
        field<&Payment::amount>("amount"),
        field<&Payment::paid>("paid"),
        field<&Payment::released>("released"),
        field<&Payment::canceled>("canceled"),
        field<&Payment::cause>("cause")};
};

template <>
struct Table<ErrorReply> {
    static constexpr std::array fields{field<&ErrorReply::error, Rule::required>("error")};
};

std::string user_update_text(const User& user)
{
    return std::to_string(user.id) + user.name + user.email + user.host + user.description +
           user.pubkey;
}

ZNODE_DOCUMENT(WalletAddress);
ZNODE_DOCUMENT(CloudUnitsPrice);
ZNODE_DOCUMENT(FarmIp);
ZNODE_DOCUMENT(Farm);
ZNODE_DOCUMENT(Deal);
ZNODE_DOCUMENT(User);
ZNODE_DOCUMENT(UserUpdate);
ZNODE_DOCUMENT(ValidateRequest);
ZNODE_DOCUMENT(ValidateReply);
ZNODE_DOCUMENT(Prices);
ZNODE_DOCUMENT(CreatedId);
ZNODE_DOCUMENT(Pool);
ZNODE_DOCUMENT(PoolData);
ZNODE_DOCUMENT(PoolReservation);
ZNODE_DOCUMENT(PoolReply);
ZNODE_DOCUMENT(CreateReply);
ZNODE_DOCUMENT(Payment);
ZNODE_DOCUMENT(ErrorReply);
ZNODE_DOCUMENT(std::string);
ZNODE_DOCUMENT(std::int64_t);

}  // namespace znode::grid
