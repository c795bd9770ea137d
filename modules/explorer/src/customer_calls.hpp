#pragma once
// What customers and farmers say in both eras: users, farms, nodes, and whole reservations of the
// first one.

#include "calls.hpp"
#include "explorer/customer_api.hpp"
#include "http/url.hpp"

namespace znode::explorer {

class HttpCustomerApi : public CustomerApi {
public:
    HttpCustomerApi(http::Client& client, const identity::Identity& self, Era era)
        : calls_{client, self, era}, legacy_{client, self, Era::reservations}, era_{era}
    {
    }
    Era era() const noexcept override { return era_; }

    Task<Result<grid::User>> create_user(std::string name, std::string email) override;
    Task<Result<grid::User>> user(std::int64_t id) override;
    Task<Result<grid::User>> user_named(std::string name) override;
    Task<Result<>> update_user(grid::User user) override;
    Task<Result<bool>> validate(
        std::int64_t user, std::string payload, std::string signature) override;

    Task<Result<std::int64_t>> create_farm(grid::Farm farm) override;
    Task<Result<>> update_farm(grid::Farm farm) override;
    Task<Result<grid::Farm>> farm(std::int64_t id) override;
    Task<Result<std::vector<grid::Farm>>> farms(std::optional<std::int64_t> owner) override;
    Task<Result<>> add_farm_ips(std::int64_t farm, std::vector<grid::FarmIp> ips) override;
    Task<Result<>> remove_farm_ips(std::int64_t farm, std::vector<std::string> ips) override;
    Task<Result<std::vector<grid::Deal>>> deals(std::int64_t farm) override;
    Task<Result<>> set_deal(grid::Deal deal) override;
    Task<Result<>> remove_deal(std::int64_t farm, std::int64_t customer) override;
    Task<Result<>> remove_node(std::int64_t farm, std::string node_id) override;

    Task<Result<std::vector<grid::Gateway>>> gateways(NodeFilter filter) override;
    Task<Result<grid::Gateway>> gateway(std::string node_id) override;
    Task<Result<std::vector<grid::Node>>> nodes(NodeFilter filter) override;
    Task<Result<grid::Node>> node(std::string node_id) override;
    Task<Result<>> set_public_config(std::string node_id, grid::PublicConfig config) override;
    Task<Result<>> set_free(std::string node_id, bool free_to_use) override;
    Task<Result<>> set_dedicated(std::string node_id, std::int64_t user) override;

    Task<Result<std::int64_t>> create_reservation(grid::legacy::ReservationData data) override;
    Task<Result<grid::legacy::Reservation>> reservation(std::int64_t id) override;
    Task<Result<std::vector<grid::legacy::Reservation>>> reservations() override;
    Task<Result<>> delete_reservation(std::int64_t id) override;
    Task<Result<>> consent_to_reservation(std::int64_t id);

protected:
    Result<std::int64_t> user_id() const;
    /// Signs as the user where there is one.
    std::string key_if_any() const;
    Task<Result<>> tell(http::Method method, std::string path, std::string body);
    /// Sends the user's signature of `text`.
    Task<Result<>> sign(Calls* calls, std::string path, std::string text);

    Calls calls_;
    Calls legacy_;

private:
    const Era era_;
};

std::unique_ptr<CustomerApi> make_pools_customer_api(
    http::Client& client, const identity::Identity& self);
std::unique_ptr<CustomerApi> make_reservations_customer_api(
    http::Client& client, const identity::Identity& self);

}  // namespace znode::explorer
