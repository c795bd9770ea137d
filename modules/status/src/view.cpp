#include "status/view.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "status/time.hpp"
#include "view_parts.hpp"

namespace znode::status {

namespace {

/// In the order in which they are counted: what goes well first.
constexpr std::array<std::string_view, 9> states{
    "running",
    "finished",
    "waiting",
    "deploying",
    "retiring",
    "backing_off",
    "quarantined",
    "failed",
    "gone"};

std::string problem_text(const v1::Problem& problem, const Look& look)
{
    const bool error = problem.severity() == "error";
    std::string text;
    auto lines = wrap(shown(problem.text()), look.width - 4);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        text += i == 0 ? "  " + paint("!", error ? Ink::bad : Ink::warn, look.color) + " " : "    ";
        text += lines[i] + '\n';
    }
    if (!problem.remedy().empty()) {
        lines = wrap(shown(problem.remedy()), look.width - 6);
        for (std::size_t i = 0; i < lines.size(); ++i)
            text += (i == 0 ? "    → " : "      ") + lines[i] + '\n';
    }
    return text;
}

std::string address_list(const v1::Status& status)
{
    std::string text;
    for (const auto& address : status.addresses()) {
        if (address.scope() == "link") continue;
        if (!text.empty()) text += "   ";
        text += shown(address.address()) + " (" + shown(address.interface()) + ")";
    }
    return text;
}

std::string resources_of(const v1::Resources& resources)
{
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    if (resources.cpu() > 0) add(cores_text(resources.cpu()) + " CPU");
    if (resources.memory() > 0) add(size_text(resources.memory()) + " memory");
    if (resources.ssd() > 0) add(size_text(resources.ssd()) + " SSD");
    if (resources.hdd() > 0) add(size_text(resources.hdd()) + " HDD");
    return text;
}

std::string exit_text(const v1::Exit& exit, const Look& look)
{
    std::string text;
    if (exit.signal() != 0)
        text = "signal " + std::to_string(exit.signal());
    else if (exit.reason() != "unknown" && exit.reason() != "not executed")
        text = "code " + std::to_string(exit.code());
    if (!exit.reason().empty() && exit.reason() != "exit" && exit.reason() != "signal")
        text += (text.empty() ? "" : ", ") + shown(exit.reason());
    if (const auto ago = age(exit.time(), look); !ago.empty()) text += ", " + ago + " ago";
    return text;
}

}  // namespace

std::string age(std::string_view time, const Look& look)
{
    const auto then = parse_time(time);
    if (!then || look.now_unix_ns == 0) return {};
    const auto seconds = static_cast<double>(look.now_unix_ns - *then) / 1e9;
    // An age is read at a glance: no tenths.
    if (seconds < 10) return std::to_string(std::max(0, static_cast<int>(seconds))) + " s";
    return format_seconds(seconds);
}

std::string clock(std::string_view time, const Look& look)
{
    const auto then = parse_time(time);
    if (!then) return shown(time);
    const auto text = format_time(*then);
    if (text.substr(0, 10) == format_time(look.now_unix_ns).substr(0, 10))
        return text.substr(11, 12);
    return text.substr(0, 10) + " " + text.substr(11, 8);
}

std::string size_text(double bytes)
{
    return format_size(bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0);
}

std::string cores_text(double cores)
{
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.2f", cores);
    std::string number = text.data();
    while (number.ends_with('0')) number.pop_back();
    if (number.ends_with('.')) number.pop_back();
    return number;
}

Ink ink_of_state(std::string_view state)
{
    if (state == "running" || state == "ok") return Ink::good;
    if (state == "failed" || state == "quarantined") return Ink::bad;
    if (state == "gone" || state == "finished" || state == "skipped") return Ink::dim;
    return Ink::warn;
}

std::string field(std::string_view name, std::string_view value, const Look& look)
{
    constexpr std::size_t name_width = 12;
    return paint(pad(name, name_width), Ink::dim, look.color) +
           clip(value, look.width - name_width) + '\n';
}

std::string resources_text(
    const v1::Resources& total, const v1::Resources& used, const Look& look, std::size_t indent)
{
    std::string text;
    const auto line = [&](std::string_view name, double has, double takes, auto print) {
        if (has <= 0 && takes <= 0) return;
        text += std::string(indent, ' ') + paint(pad(name, 12), Ink::dim, look.color) +
                bar(has > 0 ? takes / has : 1, 24, look.color) + "  " + print(takes) + " of " +
                print(has) + '\n';
    };
    line("cpu", total.cpu(), used.cpu(), cores_text);
    line("memory", total.memory(), used.memory(), size_text);
    line("ssd", total.ssd(), used.ssd(), size_text);
    line("hdd", total.hdd(), used.hdd(), size_text);
    return text;
}

std::string explorer_text(const v1::Explorer& explorer, const Look& look)
{
    std::string text = explorer.reachable() ? paint("● reachable", Ink::good, look.color)
                                            : paint("○ not reachable", Ink::bad, look.color);
    text += explorer.registered() ? ", registered"
                                  : ", " + paint("not registered", Ink::warn, look.color);
    if (const auto ago = age(explorer.last_poll(), look); !ago.empty())
        text += " · polled " + ago + " ago";
    if (explorer.results_waiting() > 0)
        text += " · " + std::to_string(explorer.results_waiting()) + " results waiting";
    return text;
}

std::string workload_counts(const v1::Status& status, bool color)
{
    std::string text;
    const auto add = [&](std::string_view state, unsigned count) {
        if (count == 0) return;
        if (!text.empty()) text += " · ";
        text += paint(
            std::to_string(count) + " " + shown(state),
            state == "running" ? Ink::plain : ink_of_state(state),
            color);
    };
    for (const auto state : states) {
        const auto at = status.workloads().find(std::string{state});
        if (at != status.workloads().end()) add(state, at->second);
    }
    return text.empty() ? "none" : text;
}

std::string to_text(const v1::Status& status, const Look& look)
{
    std::string text;
    text += field("addresses", address_list(status), look);
    text += field("node", shown(status.node_id()), look);
    std::string farm = std::to_string(status.farm_id());
    if (!status.farm_name().empty()) farm += " " + shown(status.farm_name());
    text += field("farm", farm, look);
    text += field(
        "znoded",
        shown(status.version()) + ", " + shown(status.mode()) + " mode, up " +
            format_seconds(status.uptime_seconds()),
        look);
    text += field("host", shown(status.hostname()) + ", Linux " + shown(status.kernel()), look);
    const auto& explorer = status.explorer();
    text += field(
        "explorer",
        shown(explorer.url()) + (explorer.era().empty() ? "" : " (" + shown(explorer.era()) + ")"),
        look);
    text += field("", explorer_text(explorer, look), look);
    if (!explorer.message().empty()) text += field("", shown(explorer.message()), look);
    if (status.maintenance().on())
        text += field(
            "maintenance",
            paint("on", Ink::warn, look.color) + ": " + shown(status.maintenance().reason()),
            look);
    text += field("workloads", workload_counts(status, look.color), look);
    text += '\n' + resources_text(status.total(), status.used(), look, 0);
    for (const auto& helper : status.outdated())
        text += field(
            "outdated",
            shown(helper.name()) + " " + shown(helper.version()) + " (pid " +
                std::to_string(helper.pid()) + ") of " + shown(helper.workload()),
            look);
    if (!status.problems().empty()) text += '\n' + paint("problems", Ink::bold, look.color) + '\n';
    for (const auto& problem : status.problems()) text += problem_text(problem, look);
    return text;
}

std::string workload_table(const v1::WorkloadList& list, const Look& look, std::size_t indent)
{
    Table table{{"id", "type", "state", ">for", "what"}};
    for (const auto& workload : list.workloads()) {
        std::string what = shown(workload.message());
        if (what.empty()) {
            what = joined(workload.addresses(), " ");
            if (!workload.name().empty())
                what += (what.empty() ? "" : "  ") + shown(workload.name());
            if (what.empty()) what = resources_of(workload.resources());
        }
        table.row(
            {shown(workload.gwid()),
             shown(workload.type()),
             paint(shown(workload.state()), ink_of_state(workload.state()), look.color),
             age(workload.since(), look),
             what});
    }
    return table.text(look.width, look.color, indent);
}

std::string to_text(const v1::WorkloadList& list, const Look& look)
{
    if (list.workloads().empty()) return "no workloads\n";
    return workload_table(list, look, 0);
}

std::string to_text(const v1::Workload& workload, const Look& look)
{
    std::string text;
    const auto add = [&](std::string_view name, const std::string& value) {
        if (!value.empty()) text += field(name, value, look);
    };
    add("workload", shown(workload.gwid()) + "  " + shown(workload.type()));
    add("name", shown(workload.name()));
    add("owner", shown(workload.owner()));
    const auto since = age(workload.since(), look);
    add("state",
        paint(shown(workload.state()), ink_of_state(workload.state()), look.color) +
            (since.empty() ? "" : ", for " + since));
    for (const auto& line : wrap(shown(workload.message()), look.width - 12)) add("", line);
    add("addresses", joined(workload.addresses(), ", "));
    add("resources", resources_of(workload.resources()));
    add("needs", joined(workload.needs(), ", "));
    std::string pids;
    for (const auto pid : workload.pids()) pids += (pids.empty() ? "" : ", ") + std::to_string(pid);
    add("pids", pids);
    if (workload.restarts() > 0) add("restarts", std::to_string(workload.restarts()));
    if (workload.has_last_exit()) add("last exit", exit_text(workload.last_exit(), look));
    std::vector<std::pair<std::string, std::string>> details{
        workload.details().begin(), workload.details().end()};
    std::ranges::sort(details);
    for (const auto& [name, value] : details) add(shown(name), shown(value));
    if (workload.has_result()) {
        const auto& result = workload.result();
        add("result",
            paint(shown(result.state()), ink_of_state(result.state()), look.color) +
                (result.message().empty() ? "" : ": " + shown(result.message())) +
                (result.delivered() ? "" : "  (on its way to the explorer)"));
        add("", shown(result.data_json()));
    }
    if (workload.history().empty()) return text;

    Table table{{"time", "from", "to", ">after", "message"}};
    for (const auto& step : workload.history())
        table.row(
            {clock(step.time(), look),
             shown(step.from()),
             shown(step.to()),
             step.from().empty() ? "" : format_seconds(step.seconds()),
             shown(step.message())});
    return text + '\n' + table.text(look.width, look.color);
}

std::string to_text(const v1::Event& event, const Look& look)
{
    std::string text = paint(clock(event.time(), look), Ink::dim, look.color) + "  " +
                       pad(shown(event.workload()), 8) + "  " + pad(shown(event.type()), 16) + "  ";
    if (!event.from().empty()) text += shown(event.from()) + " → ";
    text += paint(shown(event.to()), ink_of_state(event.to()), look.color);
    if (event.seconds() > 0 && !event.from().empty())
        text += " after " + format_seconds(event.seconds());
    if (!event.message().empty()) text += ": " + shown(event.message());
    return text + '\n';
}

std::string to_text(const v1::LogLine& line, const Look& look, bool raw)
{
    const std::string& content = line.has_line_base64() ? line.line_base64() : line.line();
    if (raw) return content + '\n';

    std::string text = paint(clock(line.time(), look), Ink::dim, look.color) + " ";
    const auto safe = shown(content);
    if (line.stream() == "stderr")
        text += paint("! ", Ink::bad, look.color) + safe;
    else
        text += "  " + safe;
    return text + '\n';
}

}  // namespace znode::status
