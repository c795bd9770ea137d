#include "folder_scan.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/text.hpp"
#include "kernel/fd.hpp"

namespace znode::flist {
namespace {

struct CloseFolder {
    void operator()(DIR* folder) const noexcept { ::closedir(folder); }
};

Result<std::vector<std::string>> names_in(int parent, const char* name)
{
    const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const int err = error_of(fd);
    if (err) return fail_errno(err, "open folder");
    const std::unique_ptr<DIR, CloseFolder> folder{::fdopendir(fd)};
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(folder.get())) {
        const std::string_view found = entry->d_name;
        if (found != "." && found != "..") names.emplace_back(found);
    }
    return names;
}

Result<std::string> target_of(int folder, const char* path, std::size_t size)
{
    std::string target(size + 1, '\0');
    const auto length = ::readlinkat(folder, path, target.data(), target.size());
    const int err = error_of(length);
    if (err) return fail_errno(err, "read link");
    target.resize(static_cast<std::size_t>(length));
    return target;
}

}  // namespace

Result<std::vector<Scanned>> scan_folder(const std::filesystem::path& folder)
{
    TRY(const auto top, kernel::open_file(folder.string(), O_RDONLY | O_DIRECTORY));
    std::vector<Scanned> found(1);
    const int err = error_of(::fstat(top.get(), &found[0].status));
    if (err) return fail_errno(err, "stat " + folder.string());

    // By number and not by reference: the list grows while it is walked.
    for (std::size_t at = 0; at < found.size(); ++at) {
        if (!S_ISDIR(found[at].status.st_mode)) continue;
        const std::string path = found[at].path;
        auto names = names_in(top.get(), path.empty() ? "." : path.c_str());
        if (!names) return tl::unexpected(std::move(names).error().during(printable("/" + path)));

        std::vector<Scanned> entries;
        for (auto& name : *names) {
            Scanned entry;
            entry.path = path.empty() ? name : path + "/" + name;
            entry.name = std::move(name);
            const int no_stat = error_of(
                ::fstatat(top.get(), entry.path.c_str(), &entry.status, AT_SYMLINK_NOFOLLOW));
            if (no_stat) return fail_errno(no_stat, "stat /" + printable(entry.path));
            if (S_ISLNK(entry.status.st_mode)) {
                const auto size = static_cast<std::size_t>(entry.status.st_size);
                TRY(entry.target,
                    target_of(top.get(), entry.path.c_str(), std::max<std::size_t>(size, 4095)));
            }
            entries.push_back(std::move(entry));
        }
        std::sort(entries.begin(), entries.end(), [](const Scanned& a, const Scanned& b) {
            const bool folder_a = S_ISDIR(a.status.st_mode);
            const bool folder_b = S_ISDIR(b.status.st_mode);
            return folder_a != folder_b ? folder_a : a.name < b.name;
        });
        for (auto& entry : entries) {
            found[at].children.push_back(found.size());
            found.push_back(std::move(entry));
        }
    }
    return found;
}

}  // namespace znode::flist
