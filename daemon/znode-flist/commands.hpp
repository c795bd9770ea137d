#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/log.hpp"
#include "base/result.hpp"

namespace znode::flist {

/// Where bytes come from, as every command that reads them is told.
struct Source {
    std::string store;  ///< URL, @FILE or @FD:N.
    std::string cache;  ///< Folder, or empty for none.
    std::string cache_limit = "20GiB";
    bool remote_store = false;  ///< The store must not be on this machine.
    unsigned patience_seconds = 30;
};

struct MountCommand {
    std::string flist;
    std::string folder;
    Source source;
    std::uint32_t uid_shift = 0;
    bool foreground = false;
    std::optional<int> ready_fd;  ///< Gets "ready\n" when requests are answered.
    std::optional<int> fuse_fd;   ///< A /dev/fuse that is mounted already.
    std::string state_file;
    unsigned threads = 10;
};

struct PackCommand {
    std::string folder;
    std::string output;
    std::string store;
    std::string entrypoint;
    bool progress = false;
    unsigned threads = 0;
};

Result<> list_entries(
    const std::string& flist, const std::string& path, bool recursive, bool lengthy);
Result<> print_file(
    const std::string& flist, const std::string& path, const Source& source, Log log);
Result<> print_info(const std::string& flist, bool json);
Result<> verify(const std::string& flist, const Source& source, Log log);
/// `into_cache`: fill the cache. Reads every block of the files below `path`.
Result<> prefetch(const std::string& flist, const std::string& path, const Source& source, Log log);
Result<> mount(const MountCommand& command, Log log);
Result<> pack(const PackCommand& command);

}  // namespace znode::flist
