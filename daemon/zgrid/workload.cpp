#include "base/text.hpp"
#include "commands.hpp"
#include "grid/document.hpp"
#include "progress.hpp"
#include "status/terminal.hpp"
#include "status/time.hpp"

namespace znode::zgrid {

namespace {

/// "12", or the gwid "12-1".
Result<std::int64_t> id_of(const std::string& text)
{
    if (const auto number = to_number<std::int64_t>(text); number && *number > 0) return *number;
    TRY(const auto gwid, grid::Gwid::parse(text));
    return gwid.id;
}

std::string state_of(const grid::Workload& workload)
{
    if (workload.next_action == grid::NextAction::deleted) return "deleted";
    if (workload.next_action == grid::NextAction::remove) return "deleting";
    if (workload.next_action == grid::NextAction::invalid) return "invalid";
    if (workload.result.workload_id.empty()) return "ordered";
    return std::string{grid::to_string(workload.result.state)};
}

Task<Result<>> list_workloads(Context* context, bool all)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    const auto filter = all ? std::nullopt : std::optional{grid::NextAction::deploy};
    CO_TRY(const auto workloads, co_await session->api->workloads(filter));
    if (context->json) {
        print(grid::list_to_json(workloads) + '\n');
        co_return Result<>{};
    }
    status::Table table{{"id", "type", "node", "state", ">age", "what"}};
    const auto now = unix_now();
    for (const auto& workload : workloads)
        table.row(
            {workload.gwid().text(),
             std::string{grid::to_string(grid::type_of(workload.data))},
             status::shown(workload.node_id.substr(0, 8)),
             state_of(workload),
             status::format_seconds(static_cast<double>(now - workload.epoch.unix)),
             status::shown(
                 workload.result.message.empty() ? workload.description
                                                 : workload.result.message)});
    print(table.empty() ? "no workloads\n" : table.text(terminal_width(), terminal_has_colors()));
    co_return Result<>{};
}

Task<Result<>> show_workload(Context* context, std::string id)
{
    CO_TRY(const auto number, id_of(id));
    CO_TRY(auto session, co_await open_session(context, Who::anybody));
    CO_TRY(const auto workload, co_await session->api->workload(number));
    if (context->json) {
        print(grid::to_json(workload) + '\n');
        co_return Result<>{};
    }
    const auto line = [](const char* name, const std::string& value) {
        if (!value.empty()) print(status::pad(name, 12) + value + '\n');
    };
    line(
        "workload",
        workload.gwid().text() + "  " + std::string{grid::to_string(grid::type_of(workload.data))});
    line("what", status::shown(workload.description));
    line("node", status::shown(workload.node_id));
    line("pool", std::to_string(workload.pool_id));
    line("owner", std::to_string(workload.customer_tid));
    line("state", state_of(workload));
    line("message", status::shown(workload.result.message));
    line(
        "result",
        workload.result.workload_id.empty() ? "" : status::shown(workload.result.data.text));
    co_return Result<>{};
}

Task<Result<>> delete_workload(Context* context, std::string id, bool wait)
{
    CO_TRY(const auto number, id_of(id));
    CO_TRY(auto session, co_await open_session(context, Who::user));
    const auto deleted = co_await session->api->delete_workload(number);
    if (!deleted && deleted.error().code != Errc::exists) co_return tl::unexpected(deleted.error());
    if (wait) {
        Progress progress{*context, *session};
        CO_TRY_DO(co_await progress.wait_deleted("workload", number, std::chrono::minutes{10}));
    } else if (!context->json) {
        print("workload " + std::to_string(number) + " will be deleted by its node\n");
    }
    if (context->json)
        print(
            "{\"id\":" + std::to_string(number) + ",\"deleted\":" + (wait ? "true" : "false") +
            "}\n");
    co_return Result<>{};
}

Task<Result<>> consent(Context* context, std::string id)
{
    CO_TRY(const auto number, id_of(id));
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY_DO(co_await session->api->consent(number));
    print(
        context->json ? "{\"id\":" + std::to_string(number) + "}\n"
                      : "you have consented to workload " + std::to_string(number) + '\n');
    co_return Result<>{};
}

}  // namespace

void add_workload(CLI::App& app, Context& context)
{
    auto* workload = app.add_subcommand("workload", "what you have on the grid");
    workload->require_subcommand(1);
    auto id = std::make_shared<std::string>();
    auto flag = std::make_shared<bool>(false);

    auto* every = workload->add_subcommand("list", "your workloads");
    every->add_flag("--all", *flag, "also what is deleted");
    every->callback([&context, flag] { execute(context, list_workloads(&context, *flag)); });

    auto* one = workload->add_subcommand("show", "one workload and its result");
    one->add_option("ID", *id, "12 or 12-1")->required();
    one->callback([&context, id] { execute(context, show_workload(&context, *id)); });

    auto* yes = workload->add_subcommand("consent", "sign somebody's order that waits for you");
    yes->add_option("ID", *id, "12 or 12-1")->required();
    yes->callback([&context, id] { execute(context, consent(&context, *id)); });

    auto* gone = workload->add_subcommand("delete", "end it; its data goes, too");
    gone->add_option("ID", *id, "12 or 12-1")->required();
    gone->add_flag("--wait", *flag, "until its node says that it is gone");
    gone->callback(
        [&context, id, flag] { execute(context, delete_workload(&context, *id, *flag)); });
}

}  // namespace znode::zgrid
