#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace znode::explorer {

/// The two kinds of explorers: capacity pools with one workload per document (April 2021, prefix
/// /api/v1), and reservations with lists that end by themselves (spring 2020, prefix /explorer).
enum class Era : std::uint8_t { pools, reservations };

/// "pools", "reservations": the words of the config, the status and the journal.
constexpr std::string_view to_string(Era era) noexcept
{
    return era == Era::pools ? "pools" : "reservations";
}
constexpr std::optional<Era> era_of(std::string_view name) noexcept
{
    if (name == "pools") return Era::pools;
    if (name == "reservations") return Era::reservations;
    return std::nullopt;
}
constexpr std::string_view prefix_of(Era era) noexcept
{
    return era == Era::pools ? "/api/v1" : "/explorer";
}

}  // namespace znode::explorer
