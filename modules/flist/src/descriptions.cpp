#include "descriptions.hpp"

#include <nlohmann/json.hpp>

namespace znode::flist {

void take_metadata(const std::string& description, MountedFlist& mounted)
{
    const auto json = nlohmann::json::parse(description, nullptr, false);
    if (!json.is_object() || !json.contains("metadata")) return;
    const auto parsed = [&](const char* name) {
        const auto& table = json["metadata"];
        if (!table.is_object() || !table.contains(name) || !table[name].is_string())
            return nlohmann::json{};
        return nlohmann::json::parse(table[name].get<std::string>(), nullptr, false);
    };
    const auto entry_point = parsed("entrypoint");
    if (entry_point.is_array())
        for (const auto& word : entry_point)
            if (word.is_string()) mounted.entry_point.push_back(word.get<std::string>());
    const auto environment = parsed("environ");
    if (environment.is_object())
        for (const auto& [name, value] : environment.items())
            if (value.is_string()) mounted.environment[name] = value.get<std::string>();
}

void take_sizes(const std::string& description, FlistStatus& status)
{
    const auto json = nlohmann::json::parse(description, nullptr, false);
    if (!json.is_object()) return;
    const auto number = [&](const char* name) {
        const auto member = json.find(name);
        return member != json.end() && member->is_number_unsigned() ? member->get<std::uint64_t>()
                                                                    : 0;
    };
    status.entries = number("entries");
    status.bytes = number("content_bytes");
}

}  // namespace znode::flist
