#include "base/failpoint.hpp"
#include "planner.hpp"

namespace znode::engine {
namespace {

struct NetworkState {
    NodePlanner::Impl& node;
    network::NetworkResourceSpec spec;
    std::string sealed_key;
};

Task<Result<>> make_network(std::shared_ptr<NetworkState> state)
{
    // WireGuard keys are sealed boxes in every version of the documents.
    CO_TRY(state->spec.private_key, state->node.resources.identity.open_sealed(state->sealed_key));
    CO_FP("engine.network.make");
    CO_TRY_DO(co_await state->node.resources.networks.ensure(state->spec));
    state->spec.private_key = Secret{};
    CO_FP("engine.network.made");
    co_return Result<>{};
}

Task<Result<>> remove_network(std::shared_ptr<NetworkState> state)
{
    CO_FP("engine.network.remove");
    co_return co_await state->node.resources.networks.remove(state->spec.gwid);
}

}  // namespace

Result<std::unique_ptr<Plan>> NodePlanner::Impl::network_plan(
    const Order& order, const grid::Workload& workload)
{
    const auto& resource = std::get<grid::NetworkResource>(workload.data);
    auto state = std::make_shared<NetworkState>(*this);
    state->sealed_key = resource.wireguard_private_key_encrypted;
    auto& spec = state->spec;
    spec.gwid = order.gwid;
    spec.user_id = std::to_string(order.owner);
    spec.name = resource.name;
    spec.range = resource.network_iprange.text();
    spec.subnet = resource.iprange.text();
    spec.public_key = resource.wireguard_public_key;
    spec.listen_port = resource.wireguard_listen_port;
    for (const auto& peer : resource.peers) {
        network::NetworkResourceSpec::Peer known;
        known.public_key = peer.public_key;
        known.endpoint = peer.endpoint;
        known.subnet = peer.iprange.text();
        for (const auto& range : peer.allowed_iprange) known.allowed.push_back(range.text());
        spec.peers.push_back(std::move(known));
    }
    if (spec.name.empty()) return fail(Errc::invalid, "member name of the network is missing");

    auto plan = std::make_unique<Plan>();
    plan->provides.push_back(network_key(order.owner, spec.name));
    add_step(*plan, "make the network", state, make_network, remove_network);
    return plan;
}

}  // namespace znode::engine
