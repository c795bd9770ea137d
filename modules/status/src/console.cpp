#include <algorithm>

#include "base/text.hpp"
#include "status/time.hpp"
#include "status/view.hpp"
#include "view_parts.hpp"

namespace znode::status {

namespace {

constexpr std::size_t name_width = 12;

std::string named(std::string_view name, std::string_view value, const Look& look)
{
    return " " + paint(pad(name, name_width), Ink::dim, look.color) + std::string{value};
}

std::vector<std::string> lines_of(std::string_view text)
{
    std::vector<std::string> lines;
    for (const auto line : split(text, '\n')) lines.emplace_back(line);
    if (!lines.empty() && lines.back().empty()) lines.pop_back();
    return lines;
}

std::vector<std::string> address_lines(const ConsoleView& view, const Look& look)
{
    constexpr std::size_t at_most = 4;
    const auto& told = view.status.addresses();
    const bool own = told.empty() || !view.failure.empty();
    const std::vector<v1::Address> known =
        own ? view.own_addresses : std::vector<v1::Address>{told.begin(), told.end()};

    std::vector<std::string> lines;
    for (const auto& address : known) {
        if (address.scope() == "link" || lines.size() == at_most) continue;
        lines.push_back(named(
            lines.empty() ? "address" : "",
            paint(pad(shown(address.address()), 28), Ink::bold, look.color) + "  " +
                paint(shown(address.interface()), Ink::dim, look.color),
            look));
    }
    if (lines.empty())
        lines.push_back(
            named("address", paint("none: is the cable in?", Ink::bad, look.color), look));
    return lines;
}

/// Who the node is, whom it talks to, and how full it is.
std::vector<std::string> fact_lines(const v1::Status& status, const Look& look)
{
    std::vector<std::string> lines;
    lines.push_back(named("node", shown(status.node_id()), look));
    std::string farm = std::to_string(status.farm_id());
    if (!status.farm_name().empty()) farm += " " + shown(status.farm_name());
    lines.push_back(named("farm", farm, look));
    lines.push_back(named(
        "version",
        status.version().empty() ? ""
                                 : shown(status.version()) + ", " + shown(status.mode()) +
                                       " mode, up " + format_seconds(status.uptime_seconds()),
        look));
    lines.push_back(named("explorer", shown(status.explorer().url()), look));
    lines.push_back(named("", explorer_text(status.explorer(), look), look));
    lines.emplace_back();
    for (const auto& line : lines_of(resources_text(status.total(), status.used(), look, 1)))
        lines.push_back(line);
    lines.emplace_back();
    return lines;
}

}  // namespace

std::vector<std::string> console_frame(const ConsoleView& view, std::size_t rows, const Look& look)
{
    const auto& status = view.status;
    std::vector<std::string> lines;

    const auto title = " znode  " + shown(status.hostname());
    const auto time = format_time(look.now_unix_ns);
    const auto when = time.substr(0, 10) + " " + time.substr(11, 8) + " UTC ";
    const auto title_width =
        look.width > columns_of(when) ? look.width - columns_of(when) : look.width;
    lines.push_back(paint(pad(title, title_width), Ink::bold, look.color) + when);

    const bool silent = status.node_id().empty();
    for (auto& line : address_lines(view, look)) lines.push_back(std::move(line));
    if (!view.failure.empty()) {
        lines.push_back(named("agent", paint("does not answer", Ink::bad, look.color), look));
        for (const auto& line : wrap(shown(view.failure), look.width - name_width - 1))
            lines.push_back(named("", line, look));
    }
    if (!silent)
        for (auto& line : fact_lines(status, look)) lines.push_back(std::move(line));

    // The last line is the key help; problems come before workloads when there is room for both.
    const auto room = [&] { return rows > lines.size() + 1 ? rows - lines.size() - 1 : 0; };
    if (!silent) {
        const auto problem_room = std::min<std::size_t>(room() / 2, 4);
        std::size_t told = 0;
        for (const auto& problem : status.problems()) {
            if (told == problem_room) break;
            ++told;
            const auto ink = problem.severity() == "error" ? Ink::bad : Ink::warn;
            lines.push_back(
                " " + paint("!", ink, look.color) + " " + shown(problem.text()) +
                (problem.remedy().empty() ? "" : " → " + shown(problem.remedy())));
        }
        lines.push_back(named("workloads", workload_counts(status, look.color), look));
    }
    std::size_t hidden = 0;
    if (!silent && !view.workloads.workloads().empty()) {
        auto table = lines_of(
            workload_table(view.workloads, {look.width - 1, look.color, look.now_unix_ns}, 1));
        lines.push_back(table.front());
        const auto count = table.size() - 1;
        const auto visible = std::min(count, room());
        const auto first = std::min(view.first_workload, count - visible);
        for (std::size_t i = 0; i < visible; ++i) lines.push_back(table[1 + first + i]);
        hidden = count - visible;
    }

    lines.resize(rows > 0 ? rows - 1 : 0);
    std::string help = " q quit";
    if (hidden > 0) help += "   ↑ ↓ scroll (" + std::to_string(hidden) + " more)";
    lines.push_back(paint(help, Ink::dim, look.color));
    for (auto& line : lines) line = clip(line, look.width);
    return lines;
}

}  // namespace znode::status
