#pragma once

#include <string>
#include <string_view>

#include "status/terminal.hpp"
#include "status/view.hpp"

namespace znode::status {

/// "3 min" since then, "" for no time.
std::string age(std::string_view time, const Look& look);
/// "13:06:15.123" of today, "2026-11-21 13:06" of another day.
std::string clock(std::string_view time, const Look& look);
std::string size_text(double bytes);
std::string cores_text(double cores);
Ink ink_of_state(std::string_view state);
/// "name      value" with the name dim.
std::string field(std::string_view name, std::string_view value, const Look& look);
/// Total, promised and free as a table with bars.
std::string resources_text(
    const v1::Resources& total, const v1::Resources& used, const Look& look, std::size_t indent);
/// A list in one string.
template <class List>
std::string joined(const List& list, std::string_view separator)
{
    std::string text;
    for (const auto& each : list) {
        if (!text.empty()) text += separator;
        text += shown(each);
    }
    return text;
}

std::string workload_table(const v1::WorkloadList& list, const Look& look, std::size_t indent);
/// "● reachable, registered · polled 2 s ago"
std::string explorer_text(const v1::Explorer& explorer, const Look& look);
std::string workload_counts(const v1::Status& status, bool color);

}  // namespace znode::status
