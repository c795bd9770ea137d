#include "base/text.hpp"
#include "commands.hpp"
#include "grid/document.hpp"
#include "session.hpp"
#include "status/terminal.hpp"

namespace znode::zgrid {

namespace {

struct FarmOptions {
    std::int64_t id = 0;
    std::string name;
    std::vector<std::string> wallets;
    std::string email;
    bool mine = false;
    std::string address;
    std::string gateway;
    std::string node;
    std::int64_t customer = 0;
    double cu = 0;
    double su = 0;
    double ipv4u = 0;
};

/// "TFT:GADDRESS"
Result<grid::List<grid::WalletAddress>> wallets_of(const std::vector<std::string>& texts)
{
    auto wallets = grid::List<grid::WalletAddress>::none();
    for (const auto& text : texts) {
        const auto colon = text.find(':');
        if (colon == 0 || colon == std::string::npos || colon + 1 == text.size())
            return fail(
                Errc::invalid,
                "wallet '" + printable(text) +
                    "' must be ASSET:ADDRESS, such as "
                    "TFT:G…");
        wallets.push_back({text.substr(0, colon), text.substr(colon + 1)});
    }
    return wallets;
}

Task<Result<>> create_farm(Context* context, FarmOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    grid::Farm farm;
    farm.name = options.name;
    farm.threebot_id = session->user();
    farm.email = options.email;
    CO_TRY(farm.wallet_addresses, wallets_of(options.wallets));
    CO_TRY(const auto id, co_await session->api->create_farm(std::move(farm)));
    print(
        context->json ? "{\"id\":" + std::to_string(id) + "}\n"
                      : "farm " + std::to_string(id) + " created; put farm_id = " +
                            std::to_string(id) + " into the [node] section of its nodes\n");
    co_return Result<>{};
}

Task<Result<>> update_farm(Context* context, FarmOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(auto farm, co_await session->api->farm(options.id));
    if (!options.name.empty()) farm.name = options.name;
    if (!options.email.empty()) farm.email = options.email;
    if (!options.wallets.empty()) {
        CO_TRY(farm.wallet_addresses, wallets_of(options.wallets));
    }
    CO_TRY_DO(co_await session->api->update_farm(std::move(farm)));
    print(
        context->json ? "{\"id\":" + std::to_string(options.id) + "}\n"
                      : "farm " + std::to_string(options.id) + " updated\n");
    co_return Result<>{};
}

Task<Result<>> list_farms(Context* context, bool mine)
{
    CO_TRY(auto session, co_await open_session(context, mine ? Who::user : Who::anybody));
    const auto owner = mine ? std::optional{session->user()} : std::nullopt;
    CO_TRY(const auto farms, co_await session->api->farms(owner));
    if (context->json) {
        print(grid::list_to_json(farms) + '\n');
        co_return Result<>{};
    }
    status::Table table{{">id", "name", ">owner", "wallets"}};
    for (const auto& farm : farms) {
        std::string wallets;
        for (const auto& wallet : farm.wallet_addresses)
            wallets += (wallets.empty() ? "" : " ") + status::shown(wallet.asset) + ":" +
                       status::shown(wallet.address);
        table.row(
            {std::to_string(farm.id),
             status::shown(farm.name),
             std::to_string(farm.threebot_id),
             wallets});
    }
    print(table.empty() ? "no farms\n" : table.text(terminal_width(), terminal_has_colors()));
    co_return Result<>{};
}

void done(const Context& context, const std::string& what)
{
    print(context.json ? "{}\n" : what + '\n');
}

Task<Result<>> add_ip(Context* context, FarmOptions options)
{
    grid::FarmIp ip;
    CO_TRY(ip.address, grid::IpRange::parse(options.address));
    CO_TRY(ip.gateway, grid::Ip::parse(options.gateway));
    CO_TRY(auto session, co_await open_session(context, Who::user));
    std::vector<grid::FarmIp> ips{ip};
    CO_TRY_DO(co_await session->api->add_farm_ips(options.id, std::move(ips)));
    done(*context, "farm " + std::to_string(options.id) + " lends " + options.address);
    co_return Result<>{};
}

Task<Result<>> remove_ip(Context* context, FarmOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    std::vector<std::string> ips{options.address};
    CO_TRY_DO(co_await session->api->remove_farm_ips(options.id, std::move(ips)));
    done(*context, "farm " + std::to_string(options.id) + " no longer lends " + options.address);
    co_return Result<>{};
}

Task<Result<>> set_deal(Context* context, FarmOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    grid::Deal deal;
    deal.farm_id = options.id;
    deal.threebot_id = options.customer;
    deal.custom_cloudunits_price = {grid::Currency::usd, options.cu, options.su, 0, options.ipv4u};
    CO_TRY_DO(co_await session->api->set_deal(deal));
    done(*context, "deal with user " + std::to_string(options.customer) + " set");
    co_return Result<>{};
}

Task<Result<>> remove_deal(Context* context, FarmOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY_DO(co_await session->api->remove_deal(options.id, options.customer));
    done(*context, "deal with user " + std::to_string(options.customer) + " removed");
    co_return Result<>{};
}

Task<Result<>> list_deals(Context* context, std::int64_t farm)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(const auto deals, co_await session->api->deals(farm));
    if (context->json) {
        print(grid::list_to_json(deals) + '\n');
        co_return Result<>{};
    }
    status::Table table{{">customer", ">CU", ">SU", ">IPv4"}};
    for (const auto& deal : deals) {
        const auto& price = deal.custom_cloudunits_price;
        table.row(
            {std::to_string(deal.threebot_id),
             std::to_string(price.cu),
             std::to_string(price.su),
             std::to_string(price.ipv4u)});
    }
    print(table.empty() ? "no deals\n" : table.text(terminal_width(), terminal_has_colors()));
    co_return Result<>{};
}

Task<Result<>> remove_node(Context* context, FarmOptions options)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY_DO(co_await session->api->remove_node(options.id, options.node));
    done(*context, "node " + options.node + " is out of the list until it registers again");
    co_return Result<>{};
}

void add_deals(CLI::App& farm, Context& context, const std::shared_ptr<FarmOptions>& options)
{
    auto* deal = farm.add_subcommand("deal", "prices for single customers, in dollars a month");
    deal->require_subcommand(1);
    auto* set = deal->add_subcommand("set", "make or change one");
    set->add_option("ID", options->id, "the farm")->required();
    set->add_option("--user", options->customer)->required();
    set->add_option("--cu", options->cu, "per compute unit")->required();
    set->add_option("--su", options->su, "per storage unit")->required();
    set->add_option("--ipv4", options->ipv4u, "per public address");
    set->callback([&context, options] { execute(context, set_deal(&context, *options)); });
    auto* remove = deal->add_subcommand("remove", "back to the farm's prices");
    remove->add_option("ID", options->id, "the farm")->required();
    remove->add_option("--user", options->customer)->required();
    remove->callback([&context, options] { execute(context, remove_deal(&context, *options)); });
    auto* list = deal->add_subcommand("list", "of a farm");
    list->add_option("ID", options->id, "the farm")->required();
    list->callback([&context, options] { execute(context, list_deals(&context, options->id)); });
}

void add_ips(CLI::App& farm, Context& context, const std::shared_ptr<FarmOptions>& options)
{
    auto* ip = farm.add_subcommand("ip", "public addresses that the farm lends");
    ip->require_subcommand(1);
    auto* add = ip->add_subcommand("add", "one more");
    add->add_option("ID", options->id, "the farm")->required();
    add->add_option("ADDRESS", options->address, "ADDRESS/LENGTH")->required();
    add->add_option("--gateway", options->gateway)->required();
    add->callback([&context, options] { execute(context, add_ip(&context, *options)); });
    auto* remove = ip->add_subcommand("remove", "one that nobody uses");
    remove->add_option("ID", options->id, "the farm")->required();
    remove->add_option("ADDRESS", options->address, "ADDRESS/LENGTH")->required();
    remove->callback([&context, options] { execute(context, remove_ip(&context, *options)); });
}

}  // namespace

void add_farm(CLI::App& app, Context& context)
{
    auto* farm = app.add_subcommand("farm", "a farmer's farms");
    farm->require_subcommand(1);
    auto options = std::make_shared<FarmOptions>();

    auto* add = farm->add_subcommand("create", "a new farm of yours");
    add->add_option("NAME", options->name, "letters, digits, - and _")->required();
    add->add_option("--wallet", options->wallets, "where payments go, TFT:ADDRESS")->required();
    add->add_option("--email", options->email);
    add->callback([&context, options] { execute(context, create_farm(&context, *options)); });

    auto* change = farm->add_subcommand("update", "change name, wallets or e-mail");
    change->add_option("ID", options->id)->required();
    change->add_option("--name", options->name);
    change->add_option("--wallet", options->wallets, "replaces all wallets");
    change->add_option("--email", options->email);
    change->callback([&context, options] { execute(context, update_farm(&context, *options)); });

    add_ips(*farm, context, options);
    add_deals(*farm, context, options);
    auto* away = farm->add_subcommand("remove-node", "a machine that is no more");
    away->add_option("ID", options->id, "the farm")->required();
    away->add_option("NODE", options->node)->required();
    away->callback([&context, options] { execute(context, remove_node(&context, *options)); });

    auto* show = farm->add_subcommand("list", "all farms");
    show->add_flag("--mine", options->mine, "only yours");
    show->callback([&context, options] { execute(context, list_farms(&context, options->mine)); });
}

}  // namespace znode::zgrid
