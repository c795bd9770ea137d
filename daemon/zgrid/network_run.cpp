#include "network_run.hpp"

#include <algorithm>
#include <map>

namespace znode::zgrid {

namespace {

constexpr Duration update_patience = std::chrono::minutes{10};

/// Finds parts whose numbers were never heard, and forgets those that the explorer has no more.
Task<Result<>> check_members(
    Session* session, KnownNetwork* known, std::map<std::string, grid::Workload>* alive)
{
    const auto open = [](const KnownMember& member) { return member.workload == 0; };
    if (!known->token.empty() && std::ranges::any_of(known->members, open)) {
        CO_TRY(const auto mine, co_await session->api->workloads(grid::NextAction::deploy));
        for (const auto& workload : mine)
            for (auto& member : known->members)
                if (open(member) && member.node == workload.node_id && is_alive(workload) &&
                    carries(workload, known->token))
                    member.workload = workload.id;
    }
    for (auto& member : known->members) {
        if (member.workload == 0) continue;
        auto workload = co_await session->api->workload(member.workload);
        if (!workload && workload.error().code != Errc::not_found)
            co_return tl::unexpected(std::move(workload).error());
        if (workload && is_alive(*workload))
            alive->insert_or_assign(member.node, std::move(*workload));
        else
            member.workload = 0;
    }
    co_return Result<>{};
}

/// Ends a workload unless that was asked for before.
Task<Result<>> end_workload(Session* session, std::int64_t id)
{
    const auto workload = co_await session->api->workload(id);
    if (!workload) {
        if (workload.error().code == Errc::not_found) co_return Result<>{};
        co_return tl::unexpected(workload.error());
    }
    if (!is_alive(*workload)) co_return Result<>{};
    const auto ended = co_await session->api->delete_workload(id);
    if (!ended && ended.error().code != Errc::exists) co_return tl::unexpected(ended.error());
    co_return Result<>{};
}

bool covers(const grid::Pool& pool, const std::vector<std::string>& nodes)
{
    return std::ranges::all_of(nodes, [&](const auto& node) {
        return std::ranges::find(pool.node_ids, node) != pool.node_ids.end();
    });
}

}  // namespace

bool is_alive(const grid::Workload& workload)
{
    if (workload.next_action != grid::NextAction::deploy) return false;
    return workload.result.workload_id.empty() || workload.result.state == grid::ResultState::ok;
}

Task<Result<grid::Pool>> choose_pool(
    Session* session, std::optional<std::int64_t> wanted, std::vector<std::string> nodes)
{
    if (session->api->era() == explorer::Era::reservations) {
        if (wanted)
            co_return fail(
                Errc::invalid, "this explorer is of the reservations era, which has no pools");
        // Everything is reserved for a time, on whatever node.
        CO_TRY(const auto nodes_there, co_await session->api->nodes({}));
        grid::Pool all;
        for (const auto& node : nodes_there) all.node_ids.push_back(node.node_id);
        co_return all;
    }
    CO_TRY(auto pools, co_await session->api->pools());
    for (auto& pool : pools) {
        if (wanted && pool.pool_id != *wanted) continue;
        if (covers(pool, nodes)) co_return std::move(pool);
        if (wanted)
            co_return fail(
                Errc::not_found,
                "pool " + std::to_string(*wanted) +
                    " does not have all the nodes; add them with: zgrid pool extend " +
                    std::to_string(*wanted) + " --node ID --cu N");
    }
    if (wanted)
        co_return fail(
            Errc::not_found,
            "you have no pool " + std::to_string(*wanted) + "; see: zgrid pool list");
    co_return fail(
        Errc::not_found,
        pools.empty() ? "you have no pool; make one with: zgrid pool create --node ID --cu 1 --su 1"
                      : "none of your pools has all the nodes; see: zgrid pool list");
}

Task<Result<std::vector<grid::Node>>> nodes_of(Session* session, std::vector<std::string> ids)
{
    std::vector<grid::Node> nodes;
    for (const auto& id : ids) {
        auto node = co_await session->api->node(id);
        if (!node) co_return tl::unexpected(std::move(node).error().during("node " + id));
        nodes.push_back(std::move(*node));
    }
    co_return nodes;
}

Task<Result<>> run_network_order(
    Session* session, State* state, Progress* progress, NetworkOrder order, std::int64_t pool)
{
    auto& networks = state->grid().networks;
    std::optional<KnownNetwork> before;
    std::map<std::string, grid::Workload> alive;
    if (const auto at = networks.find(order.name); at != networks.end()) {
        before = at->second;
        CO_TRY_DO(co_await check_members(session, &*before, &alive));
    }
    auto ids = order.nodes;
    if (before)
        for (const auto& member : before->members)
            if (std::ranges::find(ids, member.node) == ids.end()) ids.push_back(member.node);
    CO_TRY(const auto nodes, co_await nodes_of(session, ids));
    CO_TRY(auto plan, plan_network_order(order, before ? &*before : nullptr, nodes));

    const auto key = [&](const std::string& node) {
        return "network." + order.name + "@" + node.substr(0, 8);
    };
    if (plan.changed) plan.network.pool = pool;
    // Before the first POST, and as not ordered yet: an order whose keys were lost could never be
    // changed again, and one that was stopped half-way is taken up where it stopped.
    auto& known = networks[order.name] = plan.network;
    CO_TRY_DO(state->save());
    std::set<std::string> parts;
    for (std::size_t i = 0; i < known.members.size(); ++i) {
        auto& member = known.members[i];
        parts.insert(key(member.node));
        if (member.workload != 0) {
            progress->keep(key(member.node), alive.at(member.node));
            continue;
        }
        auto workload =
            common_workload(*session, pool, member.node, "network " + order.name, known.token);
        workload.data = plan.resources[i];
        CO_TRY(const auto* ordered, co_await progress->post(key(member.node), std::move(workload)));
        member.workload = ordered->id;
        CO_TRY_DO(state->save());
    }
    if (known.ending.empty()) co_return Result<>{};

    CO_TRY_DO(co_await progress->wait(parts, update_patience));
    while (!known.ending.empty()) {
        CO_TRY_DO(co_await end_workload(session, known.ending.back()));
        known.ending.pop_back();
        CO_TRY_DO(state->save());
    }
    co_return Result<>{};
}

}  // namespace znode::zgrid
