#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.hpp"
#include "flist/tree.hpp"

namespace znode::flist {

/// What a flist may cost its reader. Flists come from strangers: whatever grows is bounded.
struct Limits {
    std::uint64_t file_bytes = std::uint64_t{256} << 20U;    ///< The flist itself.
    std::uint64_t database_bytes = std::uint64_t{1} << 30U;  ///< Its database, unpacked.
    std::uint64_t text_bytes = std::uint64_t{512} << 20U;    ///< All names and link targets.
    std::uint32_t entries = 10'000'000;
    std::uint32_t blocks = 40'000'000;
};

/// Reads a classic flist: a tar, mostly gzipped, around an sqlite database of Cap'n Proto records.
///
/// Errc::not_found: no such file. Errc::corrupt: this is no flist, or one that lies; the message
/// names the place. Errc::exhausted: it is larger than the limits.
/// Nothing is written anywhere and no name from inside is ever used as a path of ours.
Result<Tree> read_flist(const std::filesystem::path& file, const Limits& limits = {});

/// The same from memory.
Result<Tree> read_flist(std::string_view bytes, const Limits& limits = {});

/// The sqlite database inside of a flist, with every check on the way in.
Result<std::string> unpack_database(std::string_view flist, const Limits& limits = {});

}  // namespace znode::flist
