#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "capacity/hardware.hpp"

namespace znode::capacity {
namespace {

using Json = nlohmann::ordered_json;

/// The names that a report's reader expects for the common types; others go without.
const char* type_name(int number)
{
    static constexpr const char* names[] = {
        "BIOS",
        "System",
        "Baseboard",
        "Chassis",
        "Processor",
        "MemoryController",
        "MemoryModule",
        "Cache",
        "PortConnector",
        "SystemSlots",
        "OnBoardDevices",
        "OEMStrings",
        "SystemConfigurationOptions",
        "BIOSLanguage",
        "GroupAssociations",
        "SystemEventLog",
        "PhysicalMemoryArray",
        "MemoryDevice"};
    return number >= 0 && number < static_cast<int>(std::size(names)) ? names[number] : "";
}

std::size_t indent_of(std::string_view line)
{
    return line.find_first_not_of('\t') == std::string_view::npos ? 0
                                                                  : line.find_first_not_of('\t');
}

int number_of_type(std::string_view handle)
{
    constexpr std::string_view marker = "DMI type ";
    const auto at = handle.find(marker);
    if (at == std::string_view::npos) return -1;
    const auto rest = handle.substr(at + marker.size());
    return to_number<int>(rest.substr(0, rest.find(','))).value_or(-1);
}

}  // namespace

std::string dmi_report(std::string_view dmidecode)
{
    // Put together at the end: a new member of an ordered object moves those that are there.
    Json tooling{{"aggregator", ""}, {"decoder", "znode"}};
    Json sections = Json::array();

    Json* properties = nullptr;
    Json* property = nullptr;
    for (const auto line : split(dmidecode, '\n')) {
        if (line.starts_with("# dmidecode"))
            tooling["aggregator"] = printable(trim(line.substr(2)));
        if (line.starts_with("Handle ")) {
            Json section;
            section["handleline"] = printable(line);
            const int number = number_of_type(line);
            if (*type_name(number) != '\0') section["typestr"] = type_name(number);
            section["typenum"] = number;
            section["subsections"] = Json::array();
            sections.push_back(std::move(section));
            properties = property = nullptr;
            continue;
        }
        if (sections.empty() || trim(line).empty() || line.starts_with('#')) continue;
        const auto text = trim(line);
        if (indent_of(line) == 0) {
            Json subsection;
            subsection["title"] = printable(text);
            sections.back()["subsections"].push_back(std::move(subsection));
            properties = property = nullptr;
        } else if (indent_of(line) == 1 && !sections.back()["subsections"].empty()) {
            const auto colon = text.find(':');
            properties = &sections.back()["subsections"].back()["properties"];
            property = &(*properties)[printable(text.substr(0, colon))];
            (*property)["value"] =
                colon == std::string_view::npos ? "" : printable(trim(text.substr(colon + 1)));
        } else if (property != nullptr) {
            (*property)["items"].push_back(printable(text));
        }
    }
    Json report;
    report["tooling"] = std::move(tooling);
    report["sections"] = std::move(sections);
    return report.dump();
}

}  // namespace znode::capacity
