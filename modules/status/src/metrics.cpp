#include "metrics.hpp"

#include <array>
#include <cstdio>
#include <map>

namespace znode::status {

namespace {

std::string number(double value)
{
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%.17g", value);
    return text.data();
}

/// The value of a label: backslash, quote and newline have escapes.
std::string quoted(const std::string& value)
{
    std::string text = "\"";
    for (const char c : value) {
        if (c == '\\' || c == '"') text += '\\';
        if (c == '\n')
            text += "\\n";
        else
            text += c;
    }
    return text + '"';
}

void head(std::string& text, const std::string& name, const char* type, const char* help)
{
    text += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + '\n';
}

void gauge(std::string& text, const std::string& name, const char* help, double value)
{
    head(text, name, "gauge", help);
    text += name + " " + number(value) + '\n';
}

void resources(
    std::string& text, const std::string& name, const char* help, const v1::Resources& resources)
{
    head(text, name, "gauge", help);
    text += name + "{resource=\"cpu\"} " + number(resources.cpu()) + '\n';
    text += name + "{resource=\"memory\"} " + number(resources.memory()) + '\n';
    text += name + "{resource=\"ssd\"} " + number(resources.ssd()) + '\n';
    text += name + "{resource=\"hdd\"} " + number(resources.hdd()) + '\n';
}

}  // namespace

std::string metrics_text(const v1::Status& status, const v1::WorkloadList& workloads)
{
    std::string text;
    head(text, "znode_info", "gauge", "Constant 1; the labels say what runs here.");
    text += "znode_info{node_id=" + quoted(status.node_id()) +
            ",version=" + quoted(status.version()) + ",mode=" + quoted(status.mode()) + ",farm=\"" +
            std::to_string(status.farm_id()) + "\"} 1\n";
    gauge(text, "znode_uptime_seconds", "Since the agent was started.", status.uptime_seconds());
    gauge(
        text,
        "znode_explorer_reachable",
        "Whether the last call went well.",
        status.explorer().reachable() ? 1 : 0);
    gauge(
        text,
        "znode_explorer_registered",
        "Whether the explorer knows this node.",
        status.explorer().registered() ? 1 : 0);
    gauge(
        text,
        "znode_results_waiting",
        "Results that the explorer does not have yet.",
        status.explorer().results_waiting());
    gauge(text, "znode_problems", "Problems shown by the status.", status.problems_size());
    gauge(
        text,
        "znode_maintenance",
        "Whether new workloads are refused.",
        status.maintenance().on() ? 1 : 0);
    resources(text, "znode_resources_total", "Cores, and bytes.", status.total());
    resources(text, "znode_resources_promised", "To workloads.", status.used());

    head(text, "znode_workloads", "gauge", "Number by type and state.");
    std::map<std::pair<std::string, std::string>, unsigned> counts;
    double restarts = 0;
    for (const auto& workload : workloads.workloads()) {
        ++counts[{workload.type(), workload.state()}];
        restarts += workload.restarts();
    }
    for (const auto& [key, count] : counts)
        text += "znode_workloads{type=" + quoted(key.first) + ",state=" + quoted(key.second) +
                "} " + std::to_string(count) + '\n';
    gauge(text, "znode_workload_restarts", "Restarts of the containers that exist now.", restarts);
    return text;
}

}  // namespace znode::status
