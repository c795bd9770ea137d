#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "capacity/hardware.hpp"

namespace znode::capacity {

using Json = nlohmann::ordered_json;

std::string disks_report(
    std::string_view version, const std::vector<std::string>& devices, std::string_view environment)
{
    // "smartctl 7.3 2022-02-28 r5338 [x86_64-linux-6.1] (local build)"
    const auto first = version.substr(0, version.find('\n'));
    const auto tool = printable(trim(first.substr(0, first.find('['))));
    Json report;
    report["tool"] = tool;
    report["environment"] = printable(environment);
    report["aggregator"] = "znode";
    report["devices"] = Json::array();
    for (const auto& text : devices) {
        Json device;
        device["Tool"] = tool;
        device["Environment"] = printable(environment);
        device["Information"] = Json::object();
        for (const auto line : split(text, '\n')) {
            const auto colon = line.find(':');
            if (colon == std::string_view::npos || line.starts_with("smartctl") ||
                line.starts_with("Copyright") || line.starts_with("Local Time is"))
                continue;
            device["Information"][printable(trim(line.substr(0, colon)))] =
                printable(trim(line.substr(colon + 1)));
        }
        report["devices"].push_back(std::move(device));
    }
    return report.dump();
}

std::vector<std::string> hypervisors(std::string_view cpuinfo, std::string_view vendor)
{
    if (cpuinfo.find(" hypervisor") == std::string_view::npos) return {};
    const auto name = to_lower(vendor);
    if (name.find("vmware") != std::string::npos) return {"vmware"};
    if (name.find("xen") != std::string::npos) return {"xen"};
    if (name.find("microsoft") != std::string::npos) return {"hyperv"};
    if (name.find("innotek") != std::string::npos) return {"virtualbox"};
    return {"kvm"};
}

}  // namespace znode::capacity
