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
    CO_TRY(auto session, open_session(*context, Who::user));
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
    CO_TRY(auto session, open_session(*context, Who::user));
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
    CO_TRY(auto session, open_session(*context, mine ? Who::user : Who::anybody));
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

    auto* show = farm->add_subcommand("list", "all farms");
    show->add_flag("--mine", options->mine, "only yours");
    show->callback([&context, options] { execute(context, list_farms(&context, options->mine)); });
}

}  // namespace znode::zgrid
