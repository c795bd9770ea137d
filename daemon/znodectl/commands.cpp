#include "commands.hpp"

#include <unistd.h>

#include "base/text.hpp"
#include "exec.hpp"
#include "http/url.hpp"
#include "status/time.hpp"

namespace znode::ctl {

namespace {

http::Request get(std::string target, bool json)
{
    http::Request request;
    request.target = std::move(target);
    request.headers.set("Accept", json ? "application/json" : "application/x-protobuf");
    return request;
}

http::Request post(std::string target, const google::protobuf::Message& body, bool json)
{
    auto request = get(std::move(target), json);
    request.method = http::Method::post;
    request.headers.set("Content-Type", "application/json");
    request.body = status::to_json(body);
    return request;
}

/// Prints the answer, as JSON or through the view, and judges it.
template <class Message>
Task<int> show(Context context, http::Request request, bool (*is_good)(const Message&))
{
    const auto reply = co_await call(context, std::move(request));
    if (!reply) co_return report(reply.error());

    Message message;
    if (context.json) {
        if (auto read = status::from_json(reply->body, message); !read)
            co_return report({failed, read.error().message});
        print(reply->body);
    } else {
        if (!message.ParseFromString(reply->body))
            co_return report({failed, "the agent's answer makes no sense; is it another version?"});
        print(status::to_text(message, context.look()));
    }
    co_return is_good == nullptr || is_good(message) ? good : failed;
}

/// Calls `line` with each complete line of a stream. Fails when nobody reads our output.
class LineFeed {
public:
    explicit LineFeed(std::function<bool(const std::string&)> line) : line_{std::move(line)} {}

    Result<> operator()(std::string_view piece)
    {
        rest_ += piece;
        std::size_t begin = 0;
        for (;;) {
            const auto end = rest_.find('\n', begin);
            if (end == std::string::npos) break;
            if (!line_(rest_.substr(begin, end - begin)))
                return fail(Errc::cancelled, "nobody reads the output");
            begin = end + 1;
        }
        rest_.erase(0, begin);
        return {};
    }

private:
    std::function<bool(const std::string&)> line_;
    std::string rest_;
};

template <class Message, class ToText>
Task<int> follow(Context context, http::Request request, ToText to_text)
{
    LineFeed feed{[&](const std::string& line) {
        if (context.json) return print(line + '\n');
        Message message;
        if (!status::from_json(line, message)) return print(line + '\n');
        return print(to_text(message));
    }};
    const auto outcome = co_await stream(context, std::move(request), std::ref(feed));
    co_return outcome ? good : report(outcome.error());
}

Task<int> show_events(Context context, std::uint64_t since, bool on)
{
    auto request =
        get("/v1/events?since=" + std::to_string(since) + (on ? "&follow=true" : ""), true);
    co_return co_await follow<v1::Event>(context, std::move(request), [&](const v1::Event& event) {
        return status::to_text(event, context.look());
    });
}

struct LogOptions {
    std::string id;
    bool follow = false;
    bool only_stderr = false;
    std::optional<std::uint64_t> tail = {};
    std::string since = {};
};

Task<int> show_logs(Context context, LogOptions options)
{
    std::string target = "/v1/workloads/" + http::percent_encode(options.id) + "/logs?follow=";
    target += options.follow ? "true" : "false";
    if (options.only_stderr) target += "&stream=stderr";
    if (options.tail) target += "&tail=" + std::to_string(*options.tail);
    if (!options.since.empty()) {
        const auto since = status::parse_moment(options.since, now_unix_ns());
        if (!since) co_return report({usage, since.error().message});
        target += "&since=" + http::percent_encode(format_time(*since));
    }
    const bool raw = ::isatty(STDOUT_FILENO) == 0;
    co_return co_await follow<v1::LogLine>(
        context, get(std::move(target), true), [&](const v1::LogLine& line) {
            return status::to_text(line, context.look(), raw);
        });
}

/// A command that shows one answer.
template <class Message>
void add_view(
    CLI::App& app,
    Context& context,
    int& exit_code,
    const char* name,
    const char* help,
    bool (*is_good)(const Message&) = nullptr)
{
    auto* command = app.add_subcommand(name, help);
    command->callback([&context, &exit_code, is_good, target = "/v1/" + std::string{name}] {
        exit_code = run(*context.loop, show<Message>(context, get(target, context.json), is_good));
    });
}

void add_workloads(CLI::App& app, Context& context, int& exit_code)
{
    auto* command = app.add_subcommand("workloads", "all workloads, or one with its history");
    auto id = std::make_shared<std::string>();
    command->add_option("ID", *id, "such as 12-1");
    command->callback([&context, &exit_code, id] {
        if (id->empty())
            exit_code =
                run(*context.loop,
                    show<v1::WorkloadList>(context, get("/v1/workloads", context.json), nullptr));
        else
            exit_code =
                run(*context.loop,
                    show<v1::Workload>(
                        context,
                        get("/v1/workloads/" + http::percent_encode(*id), context.json),
                        nullptr));
    });
}

void add_logs(CLI::App& app, Context& context, int& exit_code)
{
    auto* command = app.add_subcommand("logs", "what a container wrote (root only)");
    auto options = std::make_shared<LogOptions>();
    command->add_option("ID", options->id, "such as 15-1")->required();
    command->add_flag("-f,--follow", options->follow, "go on with what comes");
    command->add_option("--tail", options->tail, "only the last N lines");
    command->add_option("--since", options->since, "10m, 2h, or 2026-11-21T13:06:15Z");
    command->add_flag("--stderr", options->only_stderr, "only stderr");
    command->callback([&context, &exit_code, options] {
        exit_code = run(*context.loop, show_logs(context, *options));
    });
}

void add_events(CLI::App& app, Context& context, int& exit_code)
{
    auto* command = app.add_subcommand("events", "every change of a workload's state");
    auto on = std::make_shared<bool>(false);
    auto since = std::make_shared<std::uint64_t>(0);
    command->add_flag("-f,--follow", *on, "go on with what comes");
    command->add_option("--since", *since, "only after this sequence number");
    command->callback([&context, &exit_code, on, since] {
        exit_code = run(*context.loop, show_events(context, *since, *on));
    });
}

void add_changes(CLI::App& app, Context& context, int& exit_code)
{
    auto* restart = app.add_subcommand("restart", "restart a container (root only)");
    auto id = std::make_shared<std::string>();
    restart->add_option("ID", *id)->required();
    restart->callback([&context, &exit_code, id] {
        const auto target = "/v1/workloads/" + http::percent_encode(*id) + "/restart";
        exit_code =
            run(*context.loop,
                show<v1::Done>(context, post(target, v1::Done{}, context.json), nullptr));
    });

    auto* maintenance =
        app.add_subcommand("maintenance", "refuse new workloads for a while (root only)");
    auto wanted = std::make_shared<v1::MaintenanceRequest>();
    auto onoff = std::make_shared<std::string>();
    auto reason = std::make_shared<std::string>();
    maintenance->add_option("STATE", *onoff, "on or off")
        ->required()
        ->check(CLI::IsMember({"on", "off"}));
    maintenance->add_option("--reason", *reason, "what customers are told");
    maintenance->callback([&context, &exit_code, wanted, onoff, reason] {
        wanted->set_on(*onoff == "on");
        wanted->set_reason(*reason);
        exit_code =
            run(*context.loop,
                show<v1::Maintenance>(
                    context, post("/v1/maintenance", *wanted, context.json), nullptr));
    });

    auto* gc = app.add_subcommand("gc", "remove what nobody owns (root only)");
    auto dry = std::make_shared<bool>(false);
    gc->add_flag("--dry-run", *dry, "only name it");
    gc->callback([&context, &exit_code, dry] {
        v1::GcRequest request;
        request.set_dry_run(*dry);
        exit_code = run(
            *context.loop,
            show<v1::GcReport>(
                context, post("/v1/gc", request, context.json), +[](const v1::GcReport& report) {
                    for (const auto& item : report.items())
                        if (!item.failure().empty()) return false;
                    return true;
                }));
    });
}

void add_exec(CLI::App& app, Context& context, int& exit_code)
{
    auto* command = app.add_subcommand("exec", "run a command in a container (root only)");
    auto id = std::make_shared<std::string>();
    auto words = std::make_shared<std::vector<std::string>>();
    command->add_option("ID", *id, "such as 15-1")->required();
    command->add_option("COMMAND", *words, "after --, with its arguments")->required();
    command->callback([&context, &exit_code, id, words] {
        exit_code = exec_in_container(context.socket, *id, *words);
    });
}

}  // namespace

void add_commands(CLI::App& app, Context& context, int& exit_code)
{
    add_view<v1::Status>(app, context, exit_code, "status", "the node at a glance");
    add_workloads(app, context, exit_code);
    add_logs(app, context, exit_code);
    add_events(app, context, exit_code);
    add_view<v1::Storage>(app, context, exit_code, "storage", "pools and volumes on disk");
    add_view<v1::Network>(app, context, exit_code, "network", "interfaces, networks, tunnels");
    add_view<v1::Capacity>(app, context, exit_code, "capacity", "what the machine has");
    add_view<v1::FlistList>(app, context, exit_code, "flists", "mounted flists");
    add_view<v1::Doctor>(
        app,
        context,
        exit_code,
        "doctor",
        "looks for what is wrong; exit code 1 if anything is",
        &status::is_healthy);
    add_changes(app, context, exit_code);
    add_exec(app, context, exit_code);
    app.add_subcommand("console", "full-screen view, addresses first")
        ->callback([&context, &exit_code] { exit_code = run(*context.loop, console(context)); });
}

}  // namespace znode::ctl
