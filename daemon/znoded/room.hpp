#pragma once
// The disks that the agent itself writes to: what they lack stops new work, not the work that is.

#include <filesystem>
#include <string>
#include <vector>

#include "async/blocking.hpp"

namespace znode {

class Room {
public:
    struct Folder {
        std::string purpose;  ///< "state", as people read it.
        std::filesystem::path path;
    };
    /// `disks`: where statvfs may hang without holding up anything else.
    Room(Blocking& disks, std::vector<Folder> folders) : disks_{disks}, folders_{std::move(folders)}
    {
    }

    /// Errc::exhausted names the folder and the numbers.
    Task<Result<>> look();

    /// What the last look found, for the status; empty: enough everywhere.
    const std::vector<std::string>& shortages() const noexcept { return shortages_; }

private:
    Blocking& disks_;
    std::vector<Folder> folders_;
    std::vector<std::string> shortages_;
};

}  // namespace znode
