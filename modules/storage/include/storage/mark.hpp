#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "storage/volumes.hpp"

namespace znode::storage {

/// Extended attribute on the root folder of each subvolume of ours.
inline constexpr char mark_attribute[] = "trusted.znode";

/// Says whose a subvolume is: JSON `{"version", "node", "gwid", "owner", "type", "size",
/// "generation"}`. Ownership is read from here and never from a name.
struct Mark {
    std::string node;
    std::string gwid;
    std::string owner;
    Purpose purpose = Purpose::volume;
    std::uint64_t bytes = 0;
    std::uint64_t generation = 0;

    bool operator==(const Mark&) const = default;
};

std::string encode(const Mark& mark);
/// Nothing for text that is no mark (of a version we know).
std::optional<Mark> decode_mark(std::string_view text);

/// Whether a subvolume's name looks like one of ours: a gwid ("12-1") or `zdb<…>`.
bool looks_like_ours(std::string_view name) noexcept;

}  // namespace znode::storage
