#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "async/blocking.hpp"
#include "async/task.hpp"
#include "base/log.hpp"
#include "base/result.hpp"

namespace znode::flist {

/// A flist file on this node.
struct LocalFlist {
    std::filesystem::path path;
    std::string md5;
};

/// Flist files by their md5, and which one a URL gave last. The file of an md5 is hashed before it
/// is given out, so what is there is right or not there.
class Downloads {
public:
    Downloads(
        asio::io_context& loop,
        Blocking& lane,
        std::filesystem::path folder,
        std::uint64_t limit,
        std::string ca_file,
        Log log);

    /// The flist of a URL: from the disk when the hub announces a hash that is there, or does not
    /// answer; else downloaded and compared with the announced hash.
    Task<Result<LocalFlist>> get(std::string url, std::optional<std::string> md5);

    /// Removes what dead processes left half-downloaded, and above `limit` bytes the flists used
    /// longest ago, but none of the md5s in `used` and none of the last hour. Blocks: for a lane.
    void drop(const std::set<std::string>& used, std::uint64_t limit) const;

private:
    Task<Result<std::optional<std::string>>> announced(std::string url);
    Task<Result<LocalFlist>> local(std::string md5);
    Task<Result<LocalFlist>> download(std::string url, std::optional<std::string> expected);
    Task<Result<LocalFlist>> remembered(std::string url, Error why);
    std::filesystem::path file_of(const std::string& md5) const;
    std::filesystem::path note_of(const std::string& url) const;

    asio::io_context& loop_;
    Blocking& lane_;
    std::filesystem::path folder_;
    std::uint64_t limit_;
    std::string ca_file_;
    Log log_;
    std::uint64_t counter_ = 0;
};

}  // namespace znode::flist
