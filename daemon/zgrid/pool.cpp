#include <array>
#include <cmath>

#include "base/text.hpp"
#include "commands.hpp"
#include "grid/document.hpp"
#include "session.hpp"
#include "status/terminal.hpp"
#include "status/time.hpp"

namespace znode::zgrid {

namespace {

struct PoolOptions {
    std::int64_t id = 0;
    std::vector<std::string> nodes;
    double cu = 0;
    double su = 0;
    double days = 30;
};

std::uint64_t unit_seconds(double units, double days)
{
    return static_cast<std::uint64_t>(std::llround(units * days * 86400));
}

Task<Result<>> reserve_pool(Context* context, PoolOptions options)
{
    if (options.cu <= 0 && options.su <= 0)
        co_return fail(Errc::invalid, "a pool needs --cu (compute units) or --su (storage units)");
    CO_TRY(auto session, co_await open_session(context, Who::user));
    grid::PoolData data;
    data.pool_id = options.id;
    data.cus = unit_seconds(options.cu, options.days);
    data.sus = unit_seconds(options.su, options.days);
    if (options.id != 0) {
        // An extension names all nodes again: none may be taken away.
        CO_TRY(auto pool, co_await session->api->pool(options.id));
        data.node_ids = std::move(pool.node_ids);
    }
    for (const auto& node : options.nodes)
        if (std::ranges::find(data.node_ids, node) == data.node_ids.end())
            data.node_ids.push_back(node);
    data.currencies = {"TFT"};
    CO_TRY(const auto reply, co_await session->api->reserve_pool(std::move(data)));

    const auto id = options.id != 0 ? options.id : reply.reservation_id;
    const auto& escrow = reply.escrow_information;
    if (context->json) {
        print(
            "{\"pool_id\":" + std::to_string(id) +
            ",\"reservation_id\":" + std::to_string(reply.reservation_id) +
            ",\"amount\":" + std::to_string(escrow.amount) + "}\n");
        co_return Result<>{};
    }
    print("pool " + std::to_string(id) + (options.id != 0 ? " extended\n" : " created\n"));
    if (escrow.amount > 0)
        print(
            "to be paid: " + std::to_string(static_cast<double>(escrow.amount) / 1e7) + " " +
            status::shown(escrow.asset) + " to " + status::shown(escrow.address) +
            " with the memo p-" + std::to_string(reply.reservation_id) + '\n');
    co_return Result<>{};
}

std::string left_text(const grid::Pool& pool)
{
    if (pool.empty_at == grid::Pool::never || pool.empty_at > 100'000'000'000) return "unused";
    const auto left = pool.empty_at - unix_now();
    return left > 0 ? status::format_seconds(static_cast<double>(left)) : "empty";
}

Task<Result<>> list_pools(Context* context)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(const auto pools, co_await session->api->pools());
    if (context->json) {
        print(grid::list_to_json(pools) + '\n');
        co_return Result<>{};
    }
    status::Table table{
        {">pool", ">CU days", ">SU days", ">CU used", ">SU used", ">lasts", ">workloads", "nodes"}};
    const auto number = [](double value) {
        std::array<char, 32> text{};
        std::snprintf(text.data(), text.size(), "%.2f", value);
        return std::string{text.data()};
    };
    for (const auto& pool : pools) {
        std::string nodes;
        for (const auto& node : pool.node_ids)
            nodes += (nodes.empty() ? "" : " ") + status::shown(node.substr(0, 8));
        table.row(
            {std::to_string(pool.pool_id),
             number(pool.cus / 86400),
             number(pool.sus / 86400),
             number(pool.active_cu),
             number(pool.active_su),
             left_text(pool),
             std::to_string(pool.active_workload_ids.size()),
             nodes});
    }
    print(
        table.empty() ? "no pools; make one with: zgrid pool create --node ID --cu 1 --su 1\n"
                      : table.text(terminal_width(), terminal_has_colors()));
    co_return Result<>{};
}

}  // namespace

void add_pool(CLI::App& app, Context& context)
{
    auto* pool = app.add_subcommand("pool", "capacity that you have");
    pool->require_subcommand(1);
    auto options = std::make_shared<PoolOptions>();
    const auto amounts = [options](CLI::App* command) {
        command->add_option("--cu", options->cu, "compute units: 2 CPU and 4 GB of memory each");
        command->add_option(
            "--su", options->su, "storage units: 300 GB of SSD or 1200 of HDD each");
        command->add_option("--days", options->days, "for so long")
            ->check(CLI::Range(0.001, 36500.0))
            ->capture_default_str();
    };

    auto* create = pool->add_subcommand("create", "a new pool over nodes of one farm");
    create->add_option("--node", options->nodes)->required();
    amounts(create);
    create->callback([&context, options] { execute(context, reserve_pool(&context, *options)); });

    auto* extend = pool->add_subcommand("extend", "more of it, or more nodes");
    extend->add_option("ID", options->id)->required();
    extend->add_option("--node", options->nodes, "to be added");
    amounts(extend);
    extend->callback([&context, options] { execute(context, reserve_pool(&context, *options)); });

    pool->add_subcommand("list", "your pools")->callback([&context] {
        execute(context, list_pools(&context));
    });
}

}  // namespace znode::zgrid
