#include "placement.hpp"

#include <algorithm>
#include <functional>

namespace znode::zgrid {

namespace {

/// What is left on a node, going down as parts are placed there. GiB.
struct Room {
    double memory = 0;
    double ssd = 0;
    double hdd = 0;
};

class Placer {
public:
    Placer(const Deployment& deployment, const PlacementFacts& facts)
        : deployment_{deployment}, facts_{facts}
    {
        for (const auto& node : facts.nodes)
            room_[node.node_id] = {
                node.total_resources.mru - node.reserved_resources.mru,
                node.total_resources.sru - node.reserved_resources.sru,
                node.total_resources.hru - node.reserved_resources.hru};
    }

    Result<Placement> run()
    {
        for (const auto& network : deployment_.networks) TRY_DO(place_network(network));
        for (const auto& container : deployment_.containers) TRY_DO(place_container(container));
        for (const auto& volume : deployment_.volumes)
            TRY_DO(place_storage("volume." + volume.name, volume.node, volume.type, volume.size));
        for (const auto& zdb : deployment_.zdbs)
            TRY_DO(place_storage("zdb." + zdb.name, zdb.node, zdb.type, zdb.size));
        return std::move(placement_);
    }

private:
    using Rank = std::function<double(const Room&)>;

    /// The best of the candidates that the pool has; "" when there is none.
    std::string best(const std::vector<std::string>& candidates, const Rank& rank) const
    {
        std::string chosen;
        double most = 0;
        for (const auto& node : candidates) {
            const auto room = room_.find(node);
            if (room == room_.end()) continue;
            const double score = rank(room->second);
            if (chosen.empty() || score > most) {
                chosen = node;
                most = score;
            }
        }
        return chosen;
    }

    std::vector<std::string> all_nodes() const
    {
        std::vector<std::string> ids;
        for (const auto& node : facts_.nodes) ids.push_back(node.node_id);
        return ids;
    }

    /// Nodes that parts of this network name themselves come first, so that "auto" means them.
    Result<> place_network(const NetworkWish& wish)
    {
        auto& nodes = placement_.networks[wish.name];
        std::size_t open = 0;
        for (const auto& node : wish.nodes) {
            if (node == any_node)
                ++open;
            else
                nodes.push_back(node);
        }
        const auto take = [&](const std::string& node) {
            if (open == 0 || node.empty() || node == any_node ||
                std::ranges::find(nodes, node) != nodes.end())
                return;
            nodes.push_back(node);
            --open;
        };
        for (const auto& container : deployment_.containers) {
            if (container.network != wish.name) continue;
            if (const auto fixed = fixed_node(container)) take(*fixed);
        }
        for (const auto& [key, node] : facts_.settled)
            if (key.starts_with("network." + wish.name + "@")) take(node);
        while (open > 0) {
            std::vector<std::string> rest;
            for (const auto& node : all_nodes())
                if (std::ranges::find(nodes, node) == nodes.end()) rest.push_back(node);
            const auto chosen = best(rest, [](const Room& room) { return room.memory; });
            if (chosen.empty())
                return fail(
                    Errc::exhausted,
                    "network." + wish.name +
                        ": the pool has no further node that is up for \"auto\"");
            take(chosen);
        }
        return {};
    }

    /// Where a container must be: by its own word, its volumes', or because it is there.
    std::optional<std::string> fixed_node(const ContainerWish& container) const
    {
        if (container.node != any_node) return container.node;
        for (const auto& mount : container.volumes) {
            if (mount.is_gwid) {
                const auto at = facts_.volume_nodes.find(mount.volume);
                if (at != facts_.volume_nodes.end()) return at->second;
                continue;
            }
            for (const auto& volume : deployment_.volumes)
                if (volume.name == mount.volume && volume.node != any_node) return volume.node;
            if (const auto at = facts_.settled.find("volume." + mount.volume);
                at != facts_.settled.end())
                return at->second;
        }
        if (const auto at = facts_.settled.find("container." + container.name);
            at != facts_.settled.end())
            return at->second;
        return std::nullopt;
    }

    /// Volumes of this file that this container mounts are placed with it.
    Result<> settle_volumes(const ContainerWish& container, const std::string& node)
    {
        for (const auto& mount : container.volumes) {
            if (mount.is_gwid) {
                const auto at = facts_.volume_nodes.find(mount.volume);
                if (at != facts_.volume_nodes.end() && at->second != node)
                    return fail(
                        Errc::invalid,
                        "container." + container.name + " goes to " + node + ", but volume " +
                            mount.volume + " is on " + at->second);
                continue;
            }
            const auto key = "volume." + mount.volume;
            const auto [at, fresh] = placement_.parts.emplace(key, node);
            if (!fresh && at->second != node)
                return fail(
                    Errc::invalid,
                    "container." + container.name + " goes to " + node + ", but " + key +
                        " is on " + at->second +
                        ": two containers with one volume must be on one node");
        }
        return {};
    }

    Result<> place_container(const ContainerWish& wish)
    {
        const auto key = "container." + wish.name;
        auto node = fixed_node(wish).value_or("");
        if (node.empty()) {
            // A volume placed for another container decides, too.
            for (const auto& mount : wish.volumes)
                if (const auto at = placement_.parts.find("volume." + mount.volume);
                    at != placement_.parts.end())
                    node = at->second;
        }
        const auto network = placement_.networks.find(wish.network);
        if (node.empty()) {
            const auto candidates =
                network != placement_.networks.end() ? network->second : all_nodes();
            node = by_address(wish, candidates);
            if (node.empty()) node = best(candidates, [](const Room& room) { return room.memory; });
        }
        if (node.empty())
            return fail(
                Errc::exhausted,
                key + ": none of the nodes of network " + wish.network + " is up and in the pool");
        if (network != placement_.networks.end() &&
            std::ranges::find(network->second, node) == network->second.end())
            return fail(
                Errc::invalid,
                key + " goes to " + node + ", which is not in network." + wish.network +
                    "; add it to the network's nodes");
        placement_.parts[key] = node;
        room_[node].memory -= static_cast<double>(wish.memory) / 1024;
        return settle_volumes(wish, node);
    }

    /// An address names the node: the one whose subnet it is in.
    std::string by_address(const ContainerWish& wish, const std::vector<std::string>& nodes) const
    {
        if (!wish.ip) return {};
        for (const auto& network : deployment_.networks) {
            if (network.name != wish.network) continue;
            const auto subnets = divide(network.range, nodes, taken_of(network.name));
            if (!subnets) return {};
            for (const auto& [node, subnet] : *subnets)
                if (subnet.contains(*wish.ip)) return node;
        }
        return {};
    }

    std::vector<std::pair<std::string, IpNetwork>> taken_of(const std::string& network) const
    {
        std::vector<std::pair<std::string, IpNetwork>> taken;
        const auto prefix = "subnet." + network + "@";
        for (const auto& [key, subnet] : facts_.settled)
            if (key.starts_with(prefix))
                if (const auto parsed = IpNetwork::parse(subnet))
                    taken.emplace_back(key.substr(prefix.size()), *parsed);
        return taken;
    }

    Result<> place_storage(
        const std::string& key, const std::string& wanted, grid::DiskType type, std::int64_t size)
    {
        auto& node = placement_.parts[key];
        const bool ssd = type == grid::DiskType::ssd;
        if (node.empty() && wanted != any_node) node = wanted;
        if (node.empty())
            if (const auto at = facts_.settled.find(key); at != facts_.settled.end())
                node = at->second;
        if (node.empty())
            node = best(all_nodes(), [&](const Room& room) { return ssd ? room.ssd : room.hdd; });
        if (node.empty()) return fail(Errc::exhausted, key + ": the pool has no node that is up");
        auto& room = room_[node];
        (ssd ? room.ssd : room.hdd) -= static_cast<double>(size);
        return {};
    }

    const Deployment& deployment_;
    const PlacementFacts& facts_;
    std::map<std::string, Room> room_;
    Placement placement_;
};

}  // namespace

Result<Placement> place(const Deployment& deployment, const PlacementFacts& facts)
{
    return Placer{deployment, facts}.run();
}

bool has_free(const grid::Node& node, const explorer::NodeFilter& wanted)
{
    const auto& total = node.total_resources;
    const auto& used = node.reserved_resources;
    // Nodes may report a little more in use than they have.
    const auto holds = [](auto all, auto taken, std::uint64_t least) {
        return least == 0 ||
               static_cast<double>(all) - static_cast<double>(taken) >= static_cast<double>(least);
    };
    return holds(total.cru, used.cru, wanted.cru) && holds(total.mru, used.mru, wanted.mru) &&
           holds(total.sru, used.sru, wanted.sru) && holds(total.hru, used.hru, wanted.hru);
}

Result<std::map<std::string, IpNetwork>> divide(
    const IpNetwork& range,
    const std::vector<std::string>& nodes,
    const std::vector<std::pair<std::string, IpNetwork>>& taken)
{
    constexpr std::uint32_t step = 256;
    std::map<std::string, IpNetwork> subnets;
    const auto is_taken = [&](const IpNetwork& subnet) {
        const auto same = [&](const auto& each) { return each.second.overlaps(subnet); };
        return std::ranges::any_of(taken, same) || std::ranges::any_of(subnets, same);
    };
    for (const auto& node : nodes) {
        const auto known =
            std::ranges::find(taken, node, &std::pair<std::string, IpNetwork>::first);
        if (known != taken.end()) {
            subnets[node] = known->second;
            continue;
        }
        bool found = false;
        const auto last = range.last().number();
        for (auto at = range.first().number() + step; at <= last && !found; at += step) {
            const IpNetwork subnet{IpAddress::v4(at), 24};
            if (is_taken(subnet)) continue;
            subnets[node] = subnet;
            found = true;
        }
        if (!found)
            return fail(
                Errc::exhausted, "the range " + range.text() + " has no free /24 for node " + node);
    }
    return subnets;
}

}  // namespace znode::zgrid
