#include "capacity/disks.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::capacity {
namespace {

constexpr std::array<std::string_view, 8> no_disks{
    "loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"};
// sysfs counts in these, whatever the disk's own blocks are.
constexpr std::uint64_t sector = 512;

std::string fact(const std::filesystem::path& file)
{
    return std::string{trim(kernel::read_file(file, 4096).value_or(""))};
}

}  // namespace

Result<std::vector<Disk>> list_disks(const std::filesystem::path& sysfs)
{
    const auto folder = sysfs / "block";
    std::error_code failed;
    std::filesystem::directory_iterator entries{folder, failed};
    if (failed) return fail_errno(failed.value(), "list " + folder.string());

    std::vector<Disk> disks;
    for (; entries != std::filesystem::directory_iterator{}; entries.increment(failed)) {
        const auto name = entries->path().filename().string();
        const auto fits = [&](std::string_view prefix) { return name.starts_with(prefix); };
        if (std::ranges::any_of(no_disks, fits)) continue;
        const auto sectors = to_number<std::uint64_t>(fact(entries->path() / "size"));
        if (!sectors || *sectors == 0) continue;  // A drive without a medium.
        disks.push_back(
            {.device = "/dev/" + name,
             .model = printable(fact(entries->path() / "device/model")),
             .rotating = fact(entries->path() / "queue/rotational") == "1",
             .removable = fact(entries->path() / "removable") == "1",
             .bytes = *sectors * sector});
        if (failed) break;
    }
    if (failed) return fail_errno(failed.value(), "list " + folder.string());
    std::ranges::sort(disks, {}, &Disk::device);
    return disks;
}

}  // namespace znode::capacity
