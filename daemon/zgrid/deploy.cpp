#include <algorithm>
#include <cstdio>
#include <set>

#include "base/text.hpp"
#include "commands.hpp"
#include "container_order.hpp"
#include "cost.hpp"
#include "grid/document.hpp"
#include "grid/json.hpp"
#include "kernel/files.hpp"
#include "network_run.hpp"
#include "placement.hpp"
#include "status/terminal.hpp"
#include "status/time.hpp"

namespace znode::zgrid {

namespace {

constexpr std::chrono::seconds default_lifetime{86'400};

struct DeployOptions {
    std::string file;
    bool wait = false;
    bool dry_run = false;
    double timeout_minutes = 10;
};

/// One run of `zgrid deploy`: asks what is there, decides, then orders what differs: networks,
/// storage, containers. Whatever was ordered is remembered at once.
class Deployer {
public:
    Deployer(const Context& context, Session& session, State& state, Deployment deployment)
        : context_{context},
          session_{session},
          state_{state},
          deployment_{std::move(deployment)},
          progress_{context, session},
          known_{state.grid().deployments[deployment_.name]}
    {
    }

    Task<Result<>> run(DeployOptions options)
    {
        patience_ = std::chrono::duration_cast<Duration>(
            std::chrono::duration<double, std::ratio<60>>{options.timeout_minutes});
        if (session_.api->era() == explorer::Era::reservations)
            session_.api->set_lifetime(deployment_.duration.value_or(default_lifetime));
        else if (deployment_.duration)
            co_return fail(
                Errc::invalid,
                "line " + std::to_string(deployment_.duration_line) +
                    ": duration is for explorers of the reservations era; here the pool says how "
                    "long things live");
        CO_TRY_DO(co_await gather());
        CO_TRY(placement_, place(deployment_, facts_));
        CO_TRY_DO(check_nodes());
        if (options.dry_run) co_return show_plan();

        for (const auto& wish : deployment_.networks) CO_TRY_DO(co_await order_network(&wish));
        for (const auto& wish : deployment_.volumes) CO_TRY_DO(co_await order_volume(&wish));
        for (const auto& wish : deployment_.zdbs) CO_TRY_DO(co_await order_zdb(&wish));
        for (const auto& wish : deployment_.containers) CO_TRY_DO(co_await order_container(&wish));
        CO_TRY_DO(co_await end_what_is_not_wished());
        state_.release();
        if (options.wait) CO_TRY_DO(co_await progress_.wait({}, patience_));
        co_return Result<>{};
    }

    const Progress& progress() const { return progress_; }

private:
    Task<Result<>> gather()
    {
        CO_TRY(const auto mine, co_await session_.api->workloads(grid::NextAction::deploy));
        for (auto& [key, item] : known_) {
            // Ordered, but the answer was never heard.
            if (item.workload == 0)
                for (const auto& workload : mine)
                    if (is_alive(workload) && carries(workload, item.token))
                        item.workload = workload.id;
            if (item.workload == 0) continue;
            auto workload = co_await session_.api->workload(item.workload);
            if (!workload && workload.error().code != Errc::not_found)
                co_return tl::unexpected(std::move(workload).error());
            if (!workload || !is_alive(*workload)) continue;
            facts_.settled[key] = item.node;
            alive_.emplace(key, std::move(*workload));
        }
        for (const auto& [name, network] : state_.grid().networks) {
            for (const auto& member : network.members) {
                facts_.settled["network." + name + "@" + member.node] = member.node;
                facts_.settled["subnet." + name + "@" + member.node] = member.subnet.text();
            }
            for (const auto& access : network.accesses)
                facts_.settled["subnet." + name + "@ laptop " + access.public_key] =
                    access.subnet.text();
        }
        CO_TRY_DO(co_await find_older_volumes());

        CO_TRY(pool_, co_await choose_pool(&session_, deployment_.pool, named_nodes()));
        CO_TRY(auto nodes, co_await session_.api->nodes({}));
        const auto now = unix_now();
        for (auto& node : nodes)
            if (is_up(node, now) &&
                std::ranges::find(pool_.node_ids, node.node_id) != pool_.node_ids.end())
                facts_.nodes.push_back(std::move(node));

        for (const auto& workload : mine)
            if (const auto* container = std::get_if<grid::Container>(&workload.data))
                for (const auto& connection : container->network_connection)
                    if (const auto ip = IpAddress::parse(connection.ipaddress.text()))
                        used_ips_[connection.network_id].insert(*ip);
        co_return Result<>{};
    }

    Task<Result<>> find_older_volumes()
    {
        for (const auto& container : deployment_.containers)
            for (const auto& mount : container.volumes) {
                if (!mount.is_gwid) continue;
                CO_TRY(const auto gwid, grid::Gwid::parse(mount.volume));
                auto workload = co_await session_.api->workload(gwid.id);
                if (!workload)
                    co_return tl::unexpected(
                        std::move(workload).error().during("volume " + mount.volume));
                facts_.volume_nodes[mount.volume] = workload->node_id;
            }
        co_return Result<>{};
    }

    std::vector<std::string> named_nodes() const
    {
        std::set<std::string> named;
        const auto add = [&](const std::string& node) {
            if (node != any_node) named.insert(node);
        };
        for (const auto& wish : deployment_.networks)
            for (const auto& node : wish.nodes) add(node);
        for (const auto& wish : deployment_.volumes) add(wish.node);
        for (const auto& wish : deployment_.zdbs) add(wish.node);
        for (const auto& wish : deployment_.containers) add(wish.node);
        for (const auto& [key, workload] : alive_) named.insert(workload.node_id);
        return {named.begin(), named.end()};
    }

    /// What is new must go to a node that is up; what is there may stay on one that is not.
    Result<> check_nodes() const
    {
        for (const auto& [key, node] : placement_.parts) {
            if (alive_.contains(key)) continue;
            if (std::ranges::find(facts_.nodes, node, &grid::Node::node_id) == facts_.nodes.end())
                return fail(
                    Errc::unavailable,
                    key + ": node " + node +
                        " has not been heard of for ten minutes; choose another");
        }
        return {};
    }

    /// What is to be ordered, and what it costs.
    Result<> show_plan()
    {
        status::Table table{{"part", "node", "what happens", ">CU", ">SU"}};
        std::string json;
        grid::CloudUnits sum;
        const auto row = [&](const std::string& part,
                             const std::string& node,
                             const std::string& what,
                             const grid::CloudUnits& units) {
            table.row({part, node.substr(0, 8), what, units_text(units.cu), units_text(units.su)});
            json += json.empty() ? "{\"part\":" : ",{\"part\":";
            grid::json::append_string(json, part);
            json += ",\"node\":\"" + node + "\",\"what\":";
            grid::json::append_string(json, what);
            json += ",\"cu\":" + units_text(units.cu) + ",\"su\":" + units_text(units.su) + "}";
            sum.cu += units.cu;
            sum.su += units.su;
        };
        for (const auto& wish : deployment_.networks) {
            const auto& nodes = placement_.networks.at(wish.name);
            TRY(const auto subnets, divide(wish.range, nodes, taken_of(wish.name)));
            for (const auto& node : nodes)
                row("network." + wish.name,
                    node,
                    (facts_.settled.contains("network." + wish.name + "@" + node) ? "is there: "
                                                                                  : "ordered: ") +
                        subnets.at(node).text(),
                    {});
        }
        for (const auto& [key, node] : placement_.parts) {
            const bool there = alive_.contains(key);
            TRY(const auto units, there ? Result<grid::CloudUnits>{} : units_of(deployment_, key));
            row(key, node, there ? "is there" : "ordered", units);
        }
        if (context_.json) {
            print(
                "{\"dry_run\":true,\"parts\":[" + json + "],\"cu\":" + units_text(sum.cu) +
                ",\"su\":" + units_text(sum.su) + ",\"pool\":" + std::to_string(pool_.pool_id) +
                ",\"pool_seconds\":" + std::to_string(pool_lasts(pool_, sum)) + "}\n");
            return {};
        }
        print(table.text(terminal_width(), terminal_has_colors()));
        print(cost_text(sum));
        return {};
    }

    std::string cost_text(const grid::CloudUnits& sum) const
    {
        if (session_.api->era() == explorer::Era::reservations) {
            const auto lifetime = deployment_.duration.value_or(default_lifetime);
            return "new: " + units_text(sum.cu) + " CU, " + units_text(sum.su) +
                   " SU; reserved for " +
                   status::format_seconds(static_cast<double>(lifetime.count())) +
                   ", then it ends by itself\n";
        }
        const auto seconds = pool_lasts(pool_, sum);
        return "new: " + units_text(sum.cu) + " CU, " + units_text(sum.su) + " SU; pool " +
               std::to_string(pool_.pool_id) +
               (seconds < 0 ? " is not used by anything\n"
                : seconds == 0
                    ? " is empty: extend it first with zgrid pool extend\n"
                    : " then lasts " + status::format_seconds(static_cast<double>(seconds)) + "\n");
    }

    std::vector<std::pair<std::string, IpNetwork>> taken_of(const std::string& name) const
    {
        std::vector<std::pair<std::string, IpNetwork>> taken;
        const auto at = state_.grid().networks.find(name);
        if (at == state_.grid().networks.end()) return taken;
        for (const auto& member : at->second.members)
            taken.emplace_back(member.node, member.subnet);
        for (const auto& access : at->second.accesses) taken.emplace_back("", access.subnet);
        return taken;
    }

    Task<Result<>> order_network(const NetworkWish* wished)
    {
        const auto& wish = *wished;
        NetworkOrder order;
        order.name = wish.name;
        order.range = wish.range;
        order.nodes = placement_.networks.at(wish.name);
        order.access = wish.access;
        if (order.access == any_node) order.access = order.nodes.front();
        co_return co_await run_network_order(
            &session_, &state_, &progress_, std::move(order), pool_.pool_id);
    }

    /// Whether the part is there as wished; then it is only shown.
    bool is_kept(const std::string& key, const std::string& fingerprint)
    {
        const auto there = alive_.find(key);
        if (there == alive_.end() || known_.at(key).fingerprint != fingerprint) return false;
        progress_.keep(key, there->second);
        return true;
    }

    Task<Result<>> order(
        std::string key, std::string fingerprint, grid::Workload::Data data, std::string ip)
    {
        const auto& node = placement_.parts.at(key);
        auto& item = known_[key];
        // A number is heard only after the workload exists; by the token the next run finds one
        // of which none was heard. The same wish keeps its token: an earlier POST may still land.
        const bool again = item.workload == 0 && item.fingerprint == fingerprint;
        item = {0, node, std::move(fingerprint), std::move(ip), again ? item.token : new_token()};
        CO_TRY_DO(state_.save());
        auto workload = common_workload(
            session_, pool_.pool_id, node, deployment_.name + ": " + key, item.token);
        workload.data = std::move(data);
        CO_TRY(const auto* ordered, co_await progress_.post(key, std::move(workload)));
        item.workload = ordered->id;
        co_return state_.save();
    }

    tl::unexpected<Error> data_would_be_lost(const std::string& key) const
    {
        const auto id = std::to_string(known_.at(key).workload);
        return fail(
            Errc::exists,
            key + " is there with other properties (" + id +
                "-1), and its data would be lost: give the new one another name, or "
                "delete it first with: zgrid workload delete " +
                id);
    }

    Sealer sealer() const { return {session_.self, session_.api->workload_version()}; }

    Task<Result<>> order_volume(const VolumeWish* wished)
    {
        const auto& wish = *wished;
        const auto key = "volume." + wish.name;
        const auto print_of_it = fingerprint(wish);
        if (is_kept(key, print_of_it)) co_return Result<>{};
        if (alive_.contains(key)) co_return data_would_be_lost(key);
        co_return co_await order(key, print_of_it, volume_of(wish), "");
    }

    Task<Result<>> order_zdb(const ZdbWish* wished)
    {
        const auto& wish = *wished;
        const auto key = "zdb." + wish.name;
        const auto print_of_it = fingerprint(wish);
        if (is_kept(key, print_of_it)) co_return Result<>{};
        if (alive_.contains(key)) co_return data_would_be_lost(key);
        CO_TRY(auto data, zdb_of(wish, placement_.parts.at(key), sealer()));
        co_return co_await order(key, print_of_it, std::move(data), "");
    }

    Task<Result<>> order_container(const ContainerWish* wished)
    {
        const auto& wish = *wished;
        const auto key = "container." + wish.name;
        ContainerParts parts;
        parts.node = placement_.parts.at(key);
        auto print_of_it = fingerprint(wish);
        for (const auto& mount : wish.volumes) {
            if (mount.is_gwid) continue;
            const auto* volume = progress_.find("volume." + mount.volume);
            if (volume == nullptr)
                co_return fail(Errc::internal, "volume." + mount.volume + " was not ordered");
            parts.volumes[mount.volume] = std::to_string(volume->id) + "-1";
            print_of_it += " " + parts.volumes[mount.volume];
        }
        // A part that was replaced has another number, and the container must hear of it.
        for (const auto& name : referred(wish))
            print_of_it += " " + std::to_string(progress_.find("zdb." + name)->id);
        if (is_kept(key, print_of_it)) co_return Result<>{};

        CO_TRY(parts.zdbs, co_await references(&wish));
        CO_TRY(parts.ip, address_of(wish, key, parts.node));
        CO_TRY(auto data, container_of(wish, parts, sealer()));
        if (const auto old = alive_.find(key); old != alive_.end()) {
            const auto ended = co_await session_.api->delete_workload(old->second.id);
            if (!ended && ended.error().code != Errc::exists)
                co_return tl::unexpected(ended.error());
            CO_TRY_DO(co_await progress_.wait_deleted(key, old->second.id, patience_));
        }
        const auto ip = parts.ip.text();
        co_return co_await order(key, print_of_it, std::move(data), ip);
    }

    static std::set<std::string> referred(const ContainerWish& wish)
    {
        std::set<std::string> names;
        for (const auto& [name, value] : wish.env)
            for (auto& zdb : zdbs_in(value)) names.insert(std::move(zdb));
        for (const auto& [name, value] : wish.secret_env)
            for (auto& zdb : zdbs_in(value.reveal())) names.insert(std::move(zdb));
        return names;
    }

    /// Waits for the 0-dbs that the container wants to know of.
    Task<Result<std::map<std::string, std::string>>> references(const ContainerWish* wished)
    {
        const auto& wish = *wished;
        std::map<std::string, std::string> found;
        const auto names = referred(wish);
        if (names.empty()) co_return found;
        std::set<std::string> keys;
        for (const auto& name : names) keys.insert("zdb." + name);
        CO_TRY_DO(co_await progress_.wait(keys, patience_));
        for (const auto& name : names) {
            const auto* order = progress_.find("zdb." + name);
            CO_TRY(const auto result, grid::from_json<grid::ZdbResult>(order->data_json));
            const auto host = !result.ips.empty() ? result.ips.front() : result.ip.value_or("");
            if (host.empty() || result.port == 0)
                co_return fail(Errc::unavailable, "zdb." + name + ": its node told no address");
            const auto wanted = std::ranges::find(deployment_.zdbs, name, &ZdbWish::name);
            found[name] = zdb_reference(result.name, wanted->password, host, result.port);
        }
        co_return found;
    }

    Result<IpAddress> address_of(
        const ContainerWish& wish, const std::string& key, const std::string& node)
    {
        const auto network = state_.grid().networks.find(wish.network);
        if (network == state_.grid().networks.end())
            return fail(
                Errc::not_found,
                key + ": network " + printable(wish.network) +
                    " is neither in this file nor was it made with this identity");
        const auto* member = network->second.member(node);
        if (member == nullptr)
            return fail(
                Errc::invalid, key + ": node " + node + " is not in network " + wish.network);
        const auto& subnet = member->subnet;
        if (wish.ip) {
            if (subnet.contains(*wish.ip)) return *wish.ip;
            return fail(
                Errc::invalid,
                key + ": ip " + wish.ip->text() + " is not in " + subnet.text() +
                    ", which is what its node has of the network");
        }
        auto& used = used_ips_[wish.network];
        if (const auto known = known_.find(key); known != known_.end())
            if (const auto ip = IpAddress::parse(known->second.ip);
                ip && subnet.contains(*ip) && alive_.contains(key))
                return *ip;
        // .1 is the gateway, .255 the broadcast address.
        for (auto number = subnet.first().number() + 2; number < subnet.last().number(); ++number) {
            const auto ip = IpAddress::v4(number);
            if (is_wished(wish.network, ip) || !used.insert(ip).second) continue;
            return ip;
        }
        return fail(Errc::exhausted, key + ": no free address is left in " + subnet.text());
    }

    bool is_wished(const std::string& network, const IpAddress& ip) const
    {
        return std::ranges::any_of(deployment_.containers, [&](const auto& other) {
            return other.network == network && other.ip == ip;
        });
    }

    bool is_in_file(const std::string& key) const { return placement_.parts.contains(key); }

    Task<Result<>> end_what_is_not_wished()
    {
        std::vector<std::string> extra;
        for (const auto& [key, item] : known_)
            if (!is_in_file(key)) extra.push_back(key);
        for (const auto& key : extra) {
            const auto id = known_.at(key).workload;
            if (alive_.contains(key) && !key.starts_with("container.")) {
                progress_.say(
                    "             " + key + " (" + std::to_string(id) +
                    "-1) is no longer in the file; its data is kept until: zgrid workload delete " +
                    std::to_string(id));
                continue;
            }
            if (alive_.contains(key)) {
                const auto ended = co_await session_.api->delete_workload(id);
                if (!ended && ended.error().code != Errc::exists)
                    co_return tl::unexpected(ended.error());
                progress_.say("             " + key + " is no longer in the file: ended");
            }
            known_.erase(key);
        }
        co_return state_.save();
    }

    const Context& context_;
    Session& session_;
    State& state_;
    Deployment deployment_;
    Progress progress_;
    std::map<std::string, KnownItem>& known_;
    PlacementFacts facts_;
    Placement placement_;
    grid::Pool pool_;
    std::map<std::string, grid::Workload> alive_;
    std::map<std::string, std::set<IpAddress>> used_ips_;
    Duration patience_{};
};

Task<Result<>> deploy(Context* context, Deployment deployment, DeployOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    // A mere question waits for nobody.
    auto opened = options.dry_run
                      ? State::load(context->identity, context->explorer, session->user())
                      : co_await open_state(context, session.get());
    CO_TRY(auto state, std::move(opened));
    Deployer deployer{*context, *session, state, std::move(deployment)};
    auto outcome = co_await deployer.run(options);
    if (context->json && !options.dry_run) print(deployer.progress().json());
    co_return outcome;
}

void read_and_deploy(Context& context, const DeployOptions& options)
{
    const auto text = kernel::read_file(options.file);
    if (!text) return report(context, text.error(), usage);
    auto read = read_deployment(*text);
    if (!read.mistakes.empty()) {
        const auto mistakes = to_text(read.mistakes, options.file);
        for (const auto line : split(mistakes, '\n'))
            std::fprintf(stderr, "%s\n", status::shown(line).c_str());
        context.exit_code = usage;
        return;
    }
    execute(context, deploy(&context, std::move(read.deployment), options));
}

}  // namespace

void add_deploy(CLI::App& app, Context& context)
{
    auto* command = app.add_subcommand("deploy", "networks, storage and containers of a file");
    auto options = std::make_shared<DeployOptions>();
    command->add_option("FILE", options->file)->required()->check(CLI::ExistingFile);
    command->add_flag("--wait", options->wait, "until everything has a result");
    command->add_flag(
        "--dry-run", options->dry_run, "only say where things would go and what they cost");
    command->add_option("--timeout", options->timeout_minutes, "minutes")->capture_default_str();
    command->callback([&context, options] { read_and_deploy(context, *options); });
}

}  // namespace znode::zgrid
