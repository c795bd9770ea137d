#include "engine/overlays.hpp"

#include "base/text.hpp"
#include "kernel/mount.hpp"

namespace znode::engine {
namespace {

/// What mountinfo writes as a backslash and three octal digits.
std::string unescape(std::string_view text)
{
    std::string plain;
    const auto digit = [&](std::size_t at) {
        return at < text.size() && text[at] >= '0' && text[at] <= '7' ? text[at] - '0' : -1;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && digit(i + 1) >= 0 && digit(i + 2) >= 0 && digit(i + 3) >= 0) {
            plain += static_cast<char>(digit(i + 1) * 64 + digit(i + 2) * 8 + digit(i + 3));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

}  // namespace

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
                if (!layer.empty()) lowers.emplace_back(unescape(layer));
        }
    }
    return lowers;
}

}  // namespace znode::engine
