#include "kernel/mount.hpp"

#include <sys/mount.h>

#include <algorithm>

#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::kernel {

std::string unescape_mountinfo(std::string_view text)
{
    std::string plain;
    const auto octal = [](char c) { return c >= '0' && c <= '7'; };
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) &&
            octal(text[i + 3])) {
            plain += static_cast<char>(
                (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

Result<Mount> Mount::attach(const MountSpec& spec)
{
    const int err = error_of(::mount(
        spec.source.empty() ? nullptr : spec.source.c_str(),
        spec.target.c_str(),
        spec.type.empty() ? nullptr : spec.type.c_str(),
        spec.flags,
        spec.options.empty() ? nullptr : spec.options.c_str()));
    if (err) {
        const auto what = spec.type.empty() ? spec.source : spec.type;
        return fail_errno(err, "mount " + what + " on " + spec.target.string());
    }
    return Mount{spec.target};
}

Result<> Mount::detach()
{
    if (target_.empty()) return {};
    const int err = error_of(::umount2(target_.c_str(), UMOUNT_NOFOLLOW));
    if (err) return fail_errno(err, "unmount " + target_.string());
    target_.clear();
    return {};
}

Mount::~Mount()
{
    if (!target_.empty()) ::umount2(target_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

std::vector<MountInfo> parse_mountinfo(std::string_view text)
{
    std::vector<MountInfo> mounts;
    for (const auto line : split(text, '\n')) {
        const auto fields = split(line, ' ');
        const auto dash = std::ranges::find(fields, "-");
        if (fields.size() < 10 || fields.end() - dash < 4 || dash - fields.begin() < 6) continue;
        const auto id = to_number<std::uint64_t>(fields[0]);
        const auto parent = to_number<std::uint64_t>(fields[1]);
        if (!id || !parent) continue;
        mounts.push_back({
            .id = *id,
            .parent = *parent,
            .device = std::string{fields[2]},
            .root = unescape_mountinfo(fields[3]),
            .target = unescape_mountinfo(fields[4]),
            .options = std::string{fields[5]},
            .type = std::string{dash[1]},
            .source = unescape_mountinfo(dash[2]),
            .super_options = std::string{dash[3]},
        });
    }
    return mounts;
}

Result<std::vector<MountInfo>> read_mounts(const std::string& who)
{
    TRY(const auto text, read_file("/proc/" + who + "/mountinfo"));
    return parse_mountinfo(text);
}

Result<bool> is_mounted(const std::filesystem::path& target)
{
    TRY(const auto mounts, read_mounts());
    return std::ranges::any_of(mounts, [&](const auto& mount) { return mount.target == target; });
}

Result<> unmount_all(const std::filesystem::path& target, bool lazy)
{
    TRY(const auto mounts, read_mounts());
    const auto count =
        std::ranges::count_if(mounts, [&](const auto& mount) { return mount.target == target; });
    for (auto left = count; left > 0; --left) {
        const int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
        const int err = error_of(::umount2(target.c_str(), flags));
        if (err == EINVAL || err == ENOENT) return {};  // Went away by itself.
        if (err) return fail_errno(err, "unmount " + target.string());
    }
    return {};
}

}  // namespace znode::kernel
