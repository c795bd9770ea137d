#include "base/text.hpp"
#include "commands.hpp"
#include "grid/document.hpp"
#include "session.hpp"
#include "status/terminal.hpp"
#include "status/time.hpp"

namespace znode::zgrid {

namespace {

struct GatewayOptions {
    explorer::NodeFilter filter;
    std::int64_t farm = 0;
    bool up = false;
    std::string id;
};

bool has_been_heard(const grid::Gateway& gateway, std::int64_t now)
{
    grid::Node as_node;
    as_node.updated = gateway.updated;
    return is_up(as_node, now);
}

std::string joined(const grid::List<std::string>& names)
{
    std::string text;
    for (const auto& name : names) text += (text.empty() ? "" : " ") + status::shown(name);
    return text;
}

Task<Result<>> list_gateways(Context* context, GatewayOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::anybody));
    if (options.farm != 0) options.filter.farm = options.farm;
    CO_TRY(auto gateways, co_await session->api->gateways(options.filter));
    const auto now = unix_now();
    if (options.up)
        std::erase_if(gateways, [&](const auto& each) { return !has_been_heard(each, now); });
    if (context->json) {
        print(grid::list_to_json(gateways) + '\n');
        co_return Result<>{};
    }
    const bool color = terminal_has_colors();
    status::Table table{{"gateway", ">farm", "state", "domains", "where"}};
    for (const auto& gateway : gateways)
        table.row(
            {status::shown(gateway.node_id),
             std::to_string(gateway.farm_id),
             has_been_heard(gateway, now) ? status::paint("up", status::Ink::good, color)
                                          : status::paint("down", status::Ink::bad, color),
             joined(gateway.managed_domains),
             status::shown(gateway.location.city)});
    // An id is there to be copied: the line may be longer than the screen.
    print(
        table.empty() ? "no gateways\n"
                      : table.text(std::max<std::size_t>(terminal_width(), 110), color));
    co_return Result<>{};
}

Task<Result<>> show_gateway(Context* context, std::string id)
{
    CO_TRY(auto session, co_await open_session(context, Who::anybody));
    CO_TRY(const auto gateway, co_await session->api->gateway(id));
    if (context->json) {
        print(grid::to_json(gateway) + '\n');
        co_return Result<>{};
    }
    const auto now = unix_now();
    const auto line = [](const char* name, const std::string& value) {
        if (!value.empty()) print(status::pad(name, 12) + value + '\n');
    };
    line("gateway", status::shown(gateway.node_id));
    line("farm", std::to_string(gateway.farm_id));
    line("version", status::shown(gateway.os_version));
    line(
        "state",
        std::string{has_been_heard(gateway, now) ? "up" : "down"} + ", last heard of " +
            (gateway.updated.is_set()
                 ? status::format_seconds(static_cast<double>(now - gateway.updated.unix)) + " ago"
                 : "never"));
    line("where", status::shown(gateway.location.city + ", " + gateway.location.country));
    line("domains", joined(gateway.managed_domains));
    line("dns", joined(gateway.dns_nameserver));
    line("tcp router", gateway.tcp_router_port == 0 ? "" : std::to_string(gateway.tcp_router_port));
    line("free to use", gateway.free_to_use ? "yes" : "no");
    co_return Result<>{};
}

}  // namespace

void add_gateway(CLI::App& app, Context& context)
{
    auto* gateway = app.add_subcommand("gateway", "the directory of gateways to the web");
    gateway->require_subcommand(1);
    auto options = std::make_shared<GatewayOptions>();

    auto* find = gateway->add_subcommand("list", "gateways, by farm and place");
    find->add_option("--farm", options->farm);
    find->add_option("--city", options->filter.city);
    find->add_option("--country", options->filter.country);
    find->add_flag("--up", options->up, "only those heard of within ten minutes");
    find->callback([&context, options] { execute(context, list_gateways(&context, *options)); });

    auto* one = gateway->add_subcommand("show", "one gateway");
    one->add_option("ID", options->id)->required();
    one->callback([&context, options] { execute(context, show_gateway(&context, options->id)); });
}

}  // namespace znode::zgrid
