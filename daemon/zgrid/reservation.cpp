// Whole reservations of the first era: what a notebook of that time does, from a file.

#include <iostream>

#include "base/text.hpp"
#include "commands.hpp"
#include "deployment.hpp"
#include "grid/document.hpp"
#include "grid/json.hpp"
#include "kernel/files.hpp"
#include "session.hpp"
#include "status/terminal.hpp"
#include "status/time.hpp"

namespace znode::zgrid {

namespace {

struct ReservationOptions {
    std::int64_t id = 0;
    std::string file;
    std::string node;
    std::string duration;
    bool wait = false;
};

std::string state_of(const grid::legacy::Reservation& reservation)
{
    const auto expected = grid::legacy::split(reservation, "").size();
    std::size_t good = 0;
    for (const auto& result : reservation.results)
        good += result.state == grid::ResultState::ok ? 1 : 0;
    return std::string{grid::to_string(reservation.next_action)} + ", " + std::to_string(good) +
           " of " + std::to_string(expected) + " ok";
}

/// Until every workload has a result. Errc::unavailable names those that failed.
Task<Result<grid::legacy::Reservation>> wait_for_results(Session* session, std::int64_t id)
{
    const auto end = Clock::now() + std::chrono::minutes{10};
    auto pause = std::chrono::milliseconds{20};
    for (;;) {
        CO_TRY(auto reservation, co_await session->api->reservation(id));
        const auto wanted = grid::legacy::split(reservation, "").size();
        if (reservation.results.size() >= wanted) co_return std::move(reservation);
        if (Clock::now() > end)
            co_return fail(
                Errc::timeout,
                "reservation " + std::to_string(id) + " has " +
                    std::to_string(reservation.results.size()) + " of " + std::to_string(wanted) +
                    " results; are all of its nodes up?");
        co_await sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::milliseconds{200});
    }
}

Result<> failures_of(const grid::legacy::Reservation& reservation)
{
    std::string failed;
    for (const auto& result : reservation.results)
        if (result.state != grid::ResultState::ok)
            failed += (failed.empty() ? "" : "; ") + result.workload_id + ": " +
                      (result.message.empty() ? "deleted" : result.message);
    if (failed.empty()) return {};
    return fail(Errc::unavailable, failed);
}

void show(const Context& context, const grid::legacy::Reservation& reservation)
{
    if (context.json) {
        print(grid::to_json(reservation) + '\n');
        return;
    }
    print(
        "reservation " + std::to_string(reservation.id) + "  " + state_of(reservation) +
        ", ends in " +
        status::format_seconds(static_cast<double>(
            std::max<std::int64_t>(reservation.data.expiration_reservation.unix - unix_now(), 0))) +
        '\n');
    status::Table table{{"id", "type", "node", "state", "result"}};
    for (const auto& entry : grid::legacy::split(reservation, "")) {
        std::string state = "ordered";
        std::string text;
        for (const auto& result : reservation.results) {
            if (result.workload_id != entry.workload_id || result.node_id != entry.node_id)
                continue;
            state = grid::to_string(result.state);
            text = result.message.empty() ? result.data.text : result.message;
        }
        table.row(
            {status::shown(entry.workload_id),
             std::string{grid::to_string(entry.type)},
             status::shown(entry.node_id.substr(0, 8)),
             state,
             status::shown(text)});
    }
    print(table.text(terminal_width(), terminal_has_colors()));
}

Task<Result<>> create(Context* context, ReservationOptions options)
{
    CO_TRY(const auto text, kernel::read_file(options.file));
    auto data = grid::from_json<grid::legacy::ReservationData>(text);
    if (!data) co_return tl::unexpected(std::move(data).error().during(options.file));
    CO_TRY(auto session, co_await open_session(context, Who::user));
    if (!options.duration.empty()) {
        auto lifetime = parse_lifetime(options.duration);
        if (!lifetime) co_return tl::unexpected(std::move(lifetime).error().during("--duration"));
        data->expiration_reservation = {};
        session->api->set_lifetime(*lifetime);
    }
    CO_TRY(const auto id, co_await session->api->create_reservation(*std::move(data)));
    if (!options.wait) {
        print(
            context->json ? "{\"reservation_id\":" + std::to_string(id) + "}\n"
                          : "reservation " + std::to_string(id) + " made\n");
        co_return Result<>{};
    }
    CO_TRY(const auto reservation, co_await wait_for_results(session.get(), id));
    show(*context, reservation);
    co_return failures_of(reservation);
}

Task<Result<>> show_one(Context* context, std::int64_t id)
{
    CO_TRY(auto session, co_await open_session(context, Who::anybody));
    CO_TRY(const auto reservation, co_await session->api->reservation(id));
    show(*context, reservation);
    co_return Result<>{};
}

Task<Result<>> list_all(Context* context)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(const auto mine, co_await session->api->reservations());
    if (context->json) {
        print(grid::list_to_json(mine) + '\n');
        co_return Result<>{};
    }
    status::Table table{{">id", "state", ">ends in", "what"}};
    const auto now = unix_now();
    for (const auto& each : mine) {
        const auto left = each.data.expiration_reservation.unix - now;
        table.row(
            {std::to_string(each.id),
             state_of(each),
             left > 0 ? status::format_seconds(static_cast<double>(left)) : "over",
             status::shown(each.data.description)});
    }
    print(
        table.empty() ? "no reservations\n" : table.text(terminal_width(), terminal_has_colors()));
    co_return Result<>{};
}

Task<Result<>> end_one(Context* context, std::int64_t id)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    const auto ended = co_await session->api->delete_reservation(id);
    if (!ended && ended.error().code != Errc::exists) co_return tl::unexpected(ended.error());
    print(
        context->json ? "{\"id\":" + std::to_string(id) + "}\n"
                      : "reservation " + std::to_string(id) + " will be ended by its nodes\n");
    co_return Result<>{};
}

Task<Result<>> convert_all(Context* context)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(const auto converted, co_await session->api->convert());
    if (context->json) {
        print(grid::list_to_json(converted) + '\n');
        co_return Result<>{};
    }
    if (converted.empty()) print("nothing of yours is left to go on in a pool\n");
    for (const auto& workload : converted)
        print(
            status::shown(workload.reference) + " goes on in pool " +
            std::to_string(workload.pool_id) + '\n');
    co_return Result<>{};
}

/// Hides one line of the standard input for a node: a secret is never an argument.
Result<> seal(const ReservationOptions& options)
{
    TRY(const auto key, identity::key_of_node(options.node));
    std::string text;
    std::getline(std::cin, text);
    if (text.empty()) return fail(Errc::invalid, "nothing to hide came on the standard input");
    TRY(const auto sealed, identity::seal_for(key, Secret{std::move(text)}));
    print(sealed + '\n');
    return {};
}

}  // namespace

void add_reservation(CLI::App& app, Context& context)
{
    auto* reservation =
        app.add_subcommand("reservation", "whole reservations of the first era, from a file");
    reservation->require_subcommand(1);
    auto options = std::make_shared<ReservationOptions>();

    auto* make = reservation->add_subcommand("create", "sign and post a data_reservation (JSON)");
    make->add_option("FILE", options->file)->required()->check(CLI::ExistingFile);
    make->add_option("--duration", options->duration, "such as 24h; in place of the file's date");
    make->add_flag("--wait", options->wait, "until every workload has a result");
    make->callback([&context, options] { execute(context, create(&context, *options)); });

    auto* one = reservation->add_subcommand("show", "one reservation and its results");
    one->add_option("ID", options->id)->required();
    one->callback([&context, options] { execute(context, show_one(&context, options->id)); });

    reservation->add_subcommand("list", "your reservations")->callback([&context] {
        execute(context, list_all(&context));
    });

    auto* gone = reservation->add_subcommand("delete", "end all of its workloads");
    gone->add_option("ID", options->id)->required();
    gone->callback([&context, options] { execute(context, end_one(&context, options->id)); });

    reservation->add_subcommand("convert", "let what runs go on in pools, beyond its date")
        ->callback([&context] { execute(context, convert_all(&context)); });

    auto* hide =
        reservation->add_subcommand("seal", "hide a line of the standard input for a node");
    hide->add_option("NODE", options->node)->required();
    hide->callback([&context, options] {
        if (const auto done = seal(*options); !done) report(context, done.error());
    });
}

}  // namespace znode::zgrid
