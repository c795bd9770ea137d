#include "storage/placement.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace znode::storage {
namespace {

constexpr std::uint64_t metadata_percent = 3;
constexpr std::uint64_t host_reserve_percent = 5;

std::uint64_t minus(std::uint64_t from, std::uint64_t what) noexcept
{
    return from > what ? from - what : 0;
}

std::uint64_t without_metadata(std::uint64_t bytes) noexcept
{
    return bytes - bytes / 100 * metadata_percent;
}

}  // namespace

Room room_of(const Measured& pool) noexcept
{
    Room room;
    room.total = without_metadata(std::min(pool.used + pool.available, pool.size));
    room.free = minus(room.total, pool.promised);
    if (!pool.sparse) return room;

    // What the volumes may still write, they write to the host's disk.
    const auto reserve = pool.host_size / 100 * host_reserve_percent;
    const auto host = minus(pool.host_available, reserve);
    const auto outstanding = minus(pool.promised, pool.used);
    room.free = std::min(room.free, without_metadata(minus(host, outstanding)));
    room.host_full = host == 0;
    return room;
}

std::string no_room(std::uint64_t asked, std::uint64_t free, std::uint64_t total, Media media)
{
    return "asked " + format_size(asked) + ", " + format_size(free) + " free of " +
           format_size(total) + " (" + std::string{to_string(media)} + ")";
}

Result<std::size_t> choose_pool(
    std::span<const PoolInfo> pools, Media media, std::uint64_t bytes, const std::string& only)
{
    std::optional<std::size_t> best;
    std::uint64_t most_free = 0;
    std::uint64_t total = 0;
    bool any = false;
    std::string problem;
    for (std::size_t i = 0; i < pools.size(); ++i) {
        const auto& pool = pools[i];
        if (pool.media != media || (!only.empty() && pool.name != only)) continue;
        any = true;
        if (pool.state != PoolState::ready) {
            problem = "pool " + pool.name + ": " + pool.problem;
            if (pool.state == PoolState::full) total += pool.total;
            continue;
        }
        total += pool.total;
        most_free = std::max(most_free, pool.free);
        if (pool.free >= bytes && (!best || pool.free > pools[*best].free)) best = i;
    }
    if (best) return *best;
    if (!any && !only.empty())
        return fail(
            Errc::not_found, "this node has no " + std::string{to_string(media)} + " pool " + only);
    if (!any)
        return fail(
            Errc::exhausted, "this node has no " + std::string{to_string(media)} + " storage");
    if (total == 0) return fail(Errc::unavailable, problem);
    auto message = no_room(bytes, most_free, total, media);
    if (!problem.empty()) message += "; " + problem;
    return fail(Errc::exhausted, std::move(message));
}

}  // namespace znode::storage
