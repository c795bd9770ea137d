#include "base/text.hpp"
#include "commands.hpp"
#include "grid/json.hpp"
#include "kernel/files.hpp"
#include "network_run.hpp"
#include "status/terminal.hpp"

namespace znode::zgrid {

namespace {

struct NetworkOptions {
    std::string name;
    std::string range;
    std::vector<std::string> nodes;
    std::string access;
    std::vector<std::string> endpoints;
    bool lan = false;
    std::int64_t pool = 0;
    bool no_wait = false;
    std::string output;
};

Result<NetworkOrder> network_order_of(const NetworkOptions& options)
{
    NetworkOrder order;
    order.name = options.name;
    const auto range = IpNetwork::parse(options.range);
    if (!range || !range->address.is_v4() || range->length < 8 || range->length > 23)
        return fail(
            Errc::invalid,
            "the range must be private IPv4 with room for a /24 per node, such as 172.20.0.0/16");
    order.range = range->network();
    order.nodes = options.nodes;
    order.access = options.access;
    order.lan = options.lan;
    for (const auto& text : options.endpoints) {
        const auto equals = text.find('=');
        const auto address = equals == std::string::npos
                                 ? std::nullopt
                                 : IpAddress::parse(std::string_view{text}.substr(equals + 1));
        if (!address)
            return fail(
                Errc::invalid,
                "endpoint '" + printable(text) + "' must be NODE=ADDRESS, without a port");
        order.endpoints[text.substr(0, equals)].push_back(*address);
    }
    return order;
}

Task<Result<>> create_network(Context* context, NetworkOptions options)
{
    CO_TRY(auto order, network_order_of(options));
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(auto state, co_await open_state(context, session.get()));
    const auto wanted = options.pool != 0 ? std::optional{options.pool} : std::nullopt;
    CO_TRY(const auto pool, co_await choose_pool(session.get(), wanted, order.nodes));

    Progress progress{*context, *session};
    auto outcome =
        co_await run_network_order(session.get(), &state, &progress, order, pool.pool_id);
    state.release();
    if (outcome && !options.no_wait) outcome = co_await progress.wait({}, std::chrono::minutes{10});
    if (context->json) print(progress.json());
    co_return outcome;
}

Task<Result<>> write_laptop_file(Context* context, NetworkOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(auto state, State::load(context->identity, context->explorer, session->user()));
    const auto known = state.grid().networks.find(options.name);
    if (known == state.grid().networks.end())
        co_return fail(
            Errc::not_found,
            "network '" + printable(options.name) + "' was not made with this identity");
    CO_TRY(const auto file, laptop_file(known->second, options.access));
    if (!options.output.empty()) {
        CO_TRY_DO(kernel::write_file_atomically(options.output, file.reveal(), 0600));
        co_return Result<>{};
    }
    if (!context->json) {
        print(file.reveal());
        co_return Result<>{};
    }
    std::string json = "{\"wg_quick\":";
    grid::json::append_string(json, file.reveal());
    print(json + "}\n");
    co_return Result<>{};
}

Task<Result<>> list_networks(Context* context)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(auto state, State::load(context->identity, context->explorer, session->user()));
    status::Table table{{"network", "range", "subnet", "node", ">port", "workload"}};
    std::string json = "[";
    for (const auto& [name, network] : state.grid().networks)
        for (const auto& member : network.members) {
            table.row(
                {status::shown(name),
                 network.range.text(),
                 member.subnet.text(),
                 status::shown(member.node.substr(0, 8)),
                 std::to_string(member.port),
                 std::to_string(member.workload) + "-1"});
            json += json.size() > 1 ? ",{\"name\":" : "{\"name\":";
            grid::json::append_string(json, name);
            json += ",\"subnet\":\"" + member.subnet.text() + "\",\"node\":\"" + member.node +
                    "\",\"gwid\":\"" + std::to_string(member.workload) + "-1\"}";
        }
    if (context->json)
        print(json + "]\n");
    else
        print(
            table.empty() ? "no networks\n" : table.text(terminal_width(), terminal_has_colors()));
    co_return Result<>{};
}

}  // namespace

void add_network(CLI::App& app, Context& context)
{
    auto* network = app.add_subcommand("network", "overlay networks");
    network->require_subcommand(1);
    auto options = std::make_shared<NetworkOptions>();

    auto* make =
        network->add_subcommand("create", "a network, or further nodes and laptops for it");
    make->add_option("NAME", options->name)->required();
    make->add_option("--range", options->range, "such as 172.20.0.0/16")->required();
    make->add_option("--node", options->nodes, "each gets a /24: .1.0, .2.0, …")->required();
    make->add_option("--access", options->access, "node that a laptop dials");
    make->add_option(
        "--endpoint", options->endpoints, "NODE=ADDRESS in place of what the node reports");
    make->add_flag("--lan", options->lan, "private addresses can be dialled, too");
    make->add_option("--pool", options->pool, "one of yours that has the nodes without it");
    make->add_flag("--no-wait", options->no_wait, "do not wait for the nodes");
    make->callback([&context, options] { execute(context, create_network(&context, *options)); });

    auto* wg = network->add_subcommand("wg", "the laptop's WireGuard file");
    wg->add_option("NAME", options->name)->required();
    wg->add_option("--access", options->access, "the laptop of this node");
    wg->add_option("-o,--output", options->output, "into a file (0600)");
    wg->callback([&context, options] { execute(context, write_laptop_file(&context, *options)); });

    network->add_subcommand("list", "networks made with this identity")->callback([&context] {
        execute(context, list_networks(&context));
    });
}

}  // namespace znode::zgrid
