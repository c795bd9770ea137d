#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "base/result.hpp"
#include "flist/store.hpp"

namespace znode::flist {

/// How far a pack is.
struct PackFigures {
    std::uint64_t entries = 0;
    std::uint64_t files = 0;
    std::uint64_t files_done = 0;
    std::uint64_t bytes = 0;  ///< Of all files.
    std::uint64_t bytes_done = 0;
    std::uint64_t blocks = 0;       ///< Distinct ones.
    std::uint64_t blocks_sent = 0;  ///< Those that the store did not have.
    std::uint64_t bytes_sent = 0;
};

struct PackOptions {
    std::map<std::string, std::string> metadata;  ///< `entrypoint`, `environ`: JSON text.
    unsigned threads = 0;                         ///< 0: one per CPU.
    std::chrono::milliseconds patience{30'000};   ///< How long a store may be away.
    /// Called now and then, from any thread but never from two at once.
    std::function<void(const PackFigures&)> progress;
};

/// Packs a folder: its blocks go to the store, the flist to `output` (written whole or not at all).
///
/// The same tree always gives the same bytes, wherever it lies: nothing of the packing host gets
/// in, neither account names nor the times at which inodes changed. Whatever grows while it is
/// packed is an error (Errc::unavailable) that names it; done blocks stay, so a repeated call
/// goes on where the first one ended.
Result<PackFigures> pack_folder(
    const std::filesystem::path& folder,
    const std::filesystem::path& output,
    BlockStore& store,
    const PackOptions& options = {});

}  // namespace znode::flist
