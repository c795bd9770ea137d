#include "base/text.hpp"
#include "commands.hpp"
#include "explorer/node_api.hpp"
#include "grid/json.hpp"
#include "http/url.hpp"
#include "identity/http_signature.hpp"
#include "kernel/files.hpp"
#include "session.hpp"

namespace znode::zgrid {

namespace {

constexpr std::size_t flist_limit = std::size_t{64} << 20U;

Task<Result<>> publish(Context* context, std::filesystem::path file, std::string name)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    if (name.empty()) {
        CO_TRY(const auto user, co_await session->api->user(session->user()));
        auto folder = user.name;
        if (folder.ends_with(".3bot")) folder.resize(folder.size() - 5);
        name = folder + "/" + file.filename().string();
    }
    const auto parts = split(name, '/');
    if (parts.size() != 2 || !parts[1].ends_with(".flist"))
        co_return fail(
            Errc::invalid,
            "'" + printable(name) + "' must be USER/NAME.flist; give it with --name");

    http::Request request;
    request.method = http::Method::put;
    request.target = "/" + http::percent_encode(parts[0]) + "/" + http::percent_encode(parts[1]);
    CO_TRY(request.body, kernel::read_file(file, flist_limit));
    const auto signature =
        identity::sign_request(session->self, std::to_string(session->user()), unix_now());
    request.headers.set("Date", signature.date);
    request.headers.set("Threebot-Id", signature.threebot_id);
    request.headers.set("Authorization", signature.authorization);
    request.headers.set("Content-Type", "application/octet-stream");
    request.patience = std::chrono::minutes{5};
    const auto target = request.target;
    CO_TRY(const auto reply, co_await session->client->send(std::move(request)));
    if (reply.status / 100 != 2)
        co_return fail(
            reply.status == 403 ? Errc::denied : Errc::unavailable,
            "the hub answered " + std::to_string(reply.status) + ": " + printable(reply.body, 300));

    const auto url = explorer::explorer_root(context->explorer) + target;
    std::string json = "{\"url\":";
    grid::json::append_string(json, url);
    print(context->json ? json + "}\n" : url + '\n');
    co_return Result<>{};
}

}  // namespace

void add_hub(CLI::App& app, Context& context)
{
    auto* hub = app.add_subcommand("hub", "flists for everybody");
    hub->require_subcommand(1);
    auto* put = hub->add_subcommand("publish", "upload a flist; prints its URL");
    auto file = std::make_shared<std::string>();
    auto name = std::make_shared<std::string>();
    put->add_option("FLIST", *file)->required()->check(CLI::ExistingFile);
    put->add_option("--name", *name, "USER/NAME.flist; your name and the file's without it");
    put->callback([&context, file, name] { execute(context, publish(&context, *file, *name)); });
}

}  // namespace znode::zgrid
