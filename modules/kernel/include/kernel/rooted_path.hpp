#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string_view>

#include "base/result.hpp"
#include "kernel/fd.hpp"

namespace znode::kernel {

/// A folder whose content somebody else made, and which no path of ours may leave.
///
/// Every path is taken as if this folder were "/": absolute symlinks and ".." stay inside, magic
/// links are refused. Blocks when the folder lies on a file system that hangs.
class RootedPath {
public:
    [[nodiscard]] static Result<RootedPath> open(const std::filesystem::path& root);

    /// Opens an existing path. Flags as of open(2); O_CLOEXEC is added.
    [[nodiscard]] Result<Fd> open_inside(std::string_view path, int flags) const;
    /// Makes a folder and its missing parents, owned by `uid` and `gid`, and opens it (O_PATH).
    /// Errc::exists when something on the way is no folder.
    [[nodiscard]] Result<Fd> make_folders_inside(
        std::string_view path, mode_t mode, uid_t uid, gid_t gid) const;
    /// A file's content; Errc::not_found, or Errc::invalid if it is larger or no plain file.
    [[nodiscard]] Result<std::string> read_inside(std::string_view path, std::size_t limit) const;

    int fd() const noexcept { return root_.get(); }

private:
    explicit RootedPath(Fd root) noexcept : root_{std::move(root)} {}
    Fd root_;
};

}  // namespace znode::kernel
