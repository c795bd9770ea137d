#pragma once
// Where a volume goes: pure numbers.

#include <span>

#include "storage/volumes.hpp"

namespace znode::storage {

/// What was measured of one pool.
struct Measured {
    std::uint64_t size = 0;       ///< Of the file system, or the operator's cap.
    std::uint64_t available = 0;  ///< What the file system can still take.
    std::uint64_t used = 0;       ///< Written by our volumes.
    std::uint64_t promised = 0;   ///< Sum of their quotas.
    bool sparse = false;
    std::uint64_t host_size = 0;       ///< Sparse images: the disk below,
    std::uint64_t host_available = 0;  ///< and what is free on it.
};

struct Room {
    std::uint64_t total = 0;
    std::uint64_t free = 0;
    bool host_full = false;  ///< A sparse image whose host disk has 5 % or less left.
};

/// What can be promised. The sum of quotas never exceeds what can be written: of what is written
/// and available, 3 % are kept for metadata, and a sparse image never promises what its host disk
/// has not (5 % of that are kept too).
Room room_of(const Measured& pool) noexcept;

/// Index of the pool for so many bytes: of those with room the one with most free space (first
/// among equals). `only` restricts to one name. Errc::exhausted, Errc::unavailable,
/// Errc::not_found.
Result<std::size_t> choose_pool(
    std::span<const PoolInfo> pools, Media media, std::uint64_t bytes, const std::string& only);

/// What is free after all: "asked 40 GiB, 18 GiB free of 20 GiB (ssd)".
std::string no_room(std::uint64_t asked, std::uint64_t free, std::uint64_t total, Media media);

}  // namespace znode::storage
