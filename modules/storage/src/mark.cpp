#include "storage/mark.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace znode::storage {
namespace {

constexpr int mark_version = 1;

std::optional<Purpose> purpose_of(std::string_view text)
{
    for (const auto purpose : {Purpose::volume, Purpose::rootfs, Purpose::zdb})
        if (text == to_string(purpose)) return purpose;
    return std::nullopt;
}

}  // namespace

std::string_view to_string(Purpose purpose) noexcept
{
    switch (purpose) {
        case Purpose::volume:
            return "volume";
        case Purpose::rootfs:
            return "root";
        case Purpose::zdb:
            return "zdb";
    }
    return "";
}

std::string_view to_string(Media media) noexcept { return media == Media::ssd ? "ssd" : "hdd"; }

std::string_view to_string(PoolState state) noexcept
{
    switch (state) {
        case PoolState::ready:
            return "ready";
        case PoolState::full:
            return "full";
        case PoolState::failed:
            return "failed";
    }
    return "";
}

std::string encode(const Mark& mark)
{
    const nlohmann::ordered_json json{
        {"version", mark_version},
        {"node", mark.node},
        {"gwid", mark.gwid},
        {"owner", mark.owner},
        {"type", to_string(mark.purpose)},
        {"size", mark.bytes},
        {"generation", mark.generation}};
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Mark> decode_mark(std::string_view text)
try {
    if (text.empty() || text.size() > 4096) return std::nullopt;
    const auto json = nlohmann::json::parse(text);
    if (json.at("version").get<int>() != mark_version) return std::nullopt;
    const auto purpose = purpose_of(json.at("type").get<std::string>());
    if (!purpose) return std::nullopt;
    return Mark{
        .node = json.at("node").get<std::string>(),
        .gwid = json.at("gwid").get<std::string>(),
        .owner = json.at("owner").get<std::string>(),
        .purpose = *purpose,
        .bytes = json.at("size").get<std::uint64_t>(),
        .generation = json.at("generation").get<std::uint64_t>()};
} catch (const nlohmann::json::exception&) {
    return std::nullopt;
}

bool looks_like_ours(std::string_view name) noexcept
{
    if (name.starts_with("zdb") && name.size() > 3) return true;
    const auto dash = name.find('-');
    if (dash == std::string_view::npos || dash == 0 || dash + 1 == name.size()) return false;
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    return std::ranges::all_of(name.substr(0, dash), digit) &&
           std::ranges::all_of(name.substr(dash + 1), digit);
}

}  // namespace znode::storage
