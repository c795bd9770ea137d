#include "room.hpp"

#include <sys/statvfs.h>

#include "base/text.hpp"

namespace znode {
namespace {

/// For each workload the agent writes some KiB; this is what a hundred of them need in a hurry.
constexpr std::uint64_t least_room = std::uint64_t{4} << 20U;

}  // namespace

Task<Result<>> Room::look()
{
    auto found = co_await disks_.run([this] {
        std::vector<std::string> shortages;
        for (const auto& folder : folders_) {
            struct statvfs disk{};
            if (::statvfs(folder.path.c_str(), &disk) != 0) continue;
            const std::uint64_t free = disk.f_bavail * disk.f_frsize;
            if (free < least_room)
                shortages.push_back(
                    "the disk of the node's " + folder.purpose + " (" + folder.path.string() +
                    ") is full: " + format_size(free) + " free, " + format_size(least_room) +
                    " needed");
        }
        return shortages;
    });
    shortages_ = std::move(found);
    if (!shortages_.empty()) co_return fail(Errc::exhausted, shortages_.front());
    co_return Result<>{};
}

}  // namespace znode
