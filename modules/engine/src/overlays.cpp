#include "engine/overlays.hpp"

#include "base/text.hpp"
#include "kernel/mount.hpp"

namespace znode::engine {

std::vector<std::filesystem::path> overlay_lowers(std::string_view mountinfo)
{
    std::vector<std::filesystem::path> lowers;
    for (const auto& mount : kernel::parse_mountinfo(mountinfo)) {
        if (mount.type != "overlay") continue;
        for (const auto option : split(mount.super_options, ',')) {
            const auto equals = option.find('=');
            const auto name = option.substr(0, equals);
            // Newer kernels may name each layer by itself.
            if (equals == option.npos ||
                (name != "lowerdir" && name != "lowerdir+" && name != "datadir+"))
                continue;
            // Escapes are undone last: some kernels write a colon of a path as one. A path that the
            // overlay's own backslash goes through is none of ours (`container::overlay_options`).
            for (const auto layer : split(option.substr(equals + 1), ':'))
                if (!layer.empty()) lowers.emplace_back(kernel::unescape_mountinfo(layer));
        }
    }
    return lowers;
}

}  // namespace znode::engine
