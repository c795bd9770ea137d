#include "base/text.hpp"
#include "commands.hpp"
#include "grid/document.hpp"
#include "network_order.hpp"
#include "placement.hpp"
#include "session.hpp"
#include "status/terminal.hpp"
#include "status/time.hpp"

namespace znode::zgrid {

namespace {

constexpr double gib = 1024.0 * 1024.0 * 1024.0;

struct NodeOptions {
    explorer::NodeFilter filter;
    std::int64_t farm = 0;
    bool up = false;
    std::string id;
    std::string master;
    std::string ipv4;
    std::string ipv6;
    std::string gw4;
    std::string gw6;
    std::int64_t user = 0;
    std::string on;
};

std::string gib_text(double free, double total)
{
    return format_size(static_cast<std::uint64_t>(std::max(0.0, free) * gib)) + " of " +
           format_size(static_cast<std::uint64_t>(std::max(0.0, total) * gib));
}

Task<Result<>> list_nodes(Context* context, NodeOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::anybody));
    if (options.farm != 0) options.filter.farm = options.farm;
    CO_TRY(auto nodes, co_await session->api->nodes(options.filter));
    const auto now = unix_now();
    // Explorers compare with what a node has in total.
    std::erase_if(nodes, [&](const auto& node) {
        return !has_free(node, options.filter) || (options.up && !is_up(node, now));
    });
    if (context->json) {
        print(grid::list_to_json(nodes) + '\n');
        co_return Result<>{};
    }
    const bool color = terminal_has_colors();
    status::Table table{{"node", ">farm", "state", ">cpu", ">memory free", ">ssd free", "where"}};
    for (const auto& node : nodes) {
        const auto& total = node.total_resources;
        const auto& used = node.reserved_resources;
        table.row(
            {status::shown(node.node_id),
             std::to_string(node.farm_id),
             is_up(node, now) ? status::paint("up", status::Ink::good, color)
                              : status::paint("down", status::Ink::bad, color),
             std::to_string(total.cru > used.cru ? total.cru - used.cru : 0),
             format_size(static_cast<std::uint64_t>(std::max(0.0, total.mru - used.mru) * gib)),
             format_size(static_cast<std::uint64_t>(std::max(0.0, total.sru - used.sru) * gib)),
             status::shown(node.location.city)});
    }
    // A node id is there to be copied: the line may be longer than the screen.
    print(
        table.empty() ? "no nodes\n"
                      : table.text(std::max<std::size_t>(terminal_width(), 110), color));
    co_return Result<>{};
}

Task<Result<>> show_node(Context* context, std::string id)
{
    CO_TRY(auto session, co_await open_session(context, Who::anybody));
    CO_TRY(const auto node, co_await session->api->node(id));
    if (context->json) {
        print(grid::to_json(node) + '\n');
        co_return Result<>{};
    }
    const auto now = unix_now();
    const auto line = [](const char* name, const std::string& value) {
        if (!value.empty()) print(status::pad(name, 12) + value + '\n');
    };
    line("node", status::shown(node.node_id));
    line("farm", std::to_string(node.farm_id));
    line("host", status::shown(node.hostname));
    line("version", status::shown(node.os_version));
    line(
        "state",
        std::string{is_up(node, now) ? "up" : "down"} + ", last heard of " +
            (node.updated.is_set()
                 ? status::format_seconds(static_cast<double>(now - node.updated.unix)) + " ago"
                 : "never"));
    line("where", status::shown(node.location.city + ", " + node.location.country));
    const auto& total = node.total_resources;
    const auto& used = node.reserved_resources;
    line(
        "cpu",
        std::to_string(total.cru > used.cru ? total.cru - used.cru : 0) + " of " +
            std::to_string(total.cru) + " free");
    line("memory", gib_text(total.mru - used.mru, total.mru) + " free");
    line("ssd", gib_text(total.sru - used.sru, total.sru) + " free");
    line("hdd", gib_text(total.hru - used.hru, total.hru) + " free");
    std::string endpoints;
    for (const auto& each : reported_endpoints(node, false))
        endpoints += (endpoints.empty() ? "" : " ") + each.text();
    line("endpoints", endpoints.empty() ? "none: a hidden node" : endpoints);
    for (const auto& interface : node.ifaces) {
        std::string addresses;
        for (const auto& address : interface.addrs) addresses += " " + address.text();
        line("interface", status::shown(interface.name) + addresses);
    }
    co_return Result<>{};
}

Task<Result<>> configure_public(Context* context, NodeOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    grid::PublicConfig config;
    config.master = options.master;
    CO_TRY(config.ipv4, grid::IpRange::parse(options.ipv4));
    CO_TRY(config.ipv6, grid::IpRange::parse(options.ipv6));
    CO_TRY(config.gw4, grid::Ip::parse(options.gw4));
    CO_TRY(config.gw6, grid::Ip::parse(options.gw6));
    CO_TRY_DO(co_await session->api->set_public_config(options.id, std::move(config)));
    print(context->json ? "{}\n" : "public side of " + options.id + " configured\n");
    co_return Result<>{};
}

Task<Result<>> dedicate(Context* context, std::string id, std::int64_t user)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY_DO(co_await session->api->set_dedicated(id, user));
    print(
        context->json ? "{}\n"
        : user == 0   ? id + " is for everybody again\n"
                      : id + " is for user " + std::to_string(user) + " alone\n");
    co_return Result<>{};
}

Task<Result<>> set_free(Context* context, std::string id, bool free)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY_DO(co_await session->api->set_free(id, free));
    print(context->json ? "{}\n" : id + (free ? " is free to use\n" : " is to be paid for\n"));
    co_return Result<>{};
}

void add_farmers_choices(
    CLI::App& node, Context& context, const std::shared_ptr<NodeOptions>& options)
{
    auto* alone = node.add_subcommand("dedicated", "a machine of your farm for one user alone");
    alone->add_option("ID", options->id)->required();
    alone->add_option("--user", options->user, "0: for everybody again")
        ->required()
        ->check(CLI::NonNegativeNumber);
    alone->callback(
        [&context, options] { execute(context, dedicate(&context, options->id, options->user)); });

    auto* gift = node.add_subcommand("free", "whether a machine of your farm is free to use");
    gift->add_option("ID", options->id)->required();
    gift->add_option("SWITCH", options->on, "on or off")
        ->required()
        ->check(CLI::IsMember({"on", "off"}));
    gift->callback([&context, options] {
        execute(context, set_free(&context, options->id, options->on == "on"));
    });
}

}  // namespace

void add_node(CLI::App& app, Context& context)
{
    auto* node = app.add_subcommand("node", "the directory of machines");
    node->require_subcommand(1);
    auto options = std::make_shared<NodeOptions>();

    auto* find = node->add_subcommand("list", "machines, by farm, place and what they have free");
    find->add_option("--farm", options->farm);
    find->add_option("--city", options->filter.city);
    find->add_option("--country", options->filter.country);
    find->add_option("--cru", options->filter.cru, "at least so many CPUs free");
    find->add_option("--mru", options->filter.mru, "at least so many GiB of memory free");
    find->add_option("--sru", options->filter.sru, "at least so many GiB of SSD free");
    find->add_option("--hru", options->filter.hru, "at least so many GiB of HDD free");
    find->add_flag("--up", options->up, "only those heard of within ten minutes");
    find->callback([&context, options] { execute(context, list_nodes(&context, *options)); });

    auto* one = node->add_subcommand("show", "one machine");
    one->add_option("ID", options->id)->required();
    one->callback([&context, options] { execute(context, show_node(&context, options->id)); });

    auto* side = node->add_subcommand("public-config", "give a machine of your farm a public side");
    side->add_option("ID", options->id)->required();
    side->add_option("--master", options->master, "interface")->required();
    side->add_option("--ipv4", options->ipv4, "ADDRESS/LENGTH")->required();
    side->add_option("--gw4", options->gw4)->required();
    side->add_option("--ipv6", options->ipv6, "ADDRESS/LENGTH")->required();
    side->add_option("--gw6", options->gw6)->required();
    side->callback([&context, options] { execute(context, configure_public(&context, *options)); });

    add_farmers_choices(*node, context, options);
}

}  // namespace znode::zgrid
