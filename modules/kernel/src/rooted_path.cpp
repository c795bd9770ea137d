#include "kernel/rooted_path.hpp"

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.hpp"

namespace znode::kernel {
namespace {

Result<Fd> open_at(int root, const std::string& path, int flags)
{
    struct open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    // EAGAIN: a rename beside us made ".." unsafe to follow this time.
    for (int attempt = 0;; ++attempt) {
        const auto fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
        const int err = error_of(fd);
        if (!err) return Fd{static_cast<int>(fd)};
        if ((err == EAGAIN || err == EINTR) && attempt < 100) continue;
        return fail_errno(err, "open " + printable(path) + " inside of the root");
    }
}

}  // namespace

Result<RootedPath> RootedPath::open(const std::filesystem::path& root)
{
    TRY(auto fd, open_file(root.c_str(), O_PATH | O_DIRECTORY));
    return RootedPath{std::move(fd)};
}

Result<Fd> RootedPath::open_inside(std::string_view path, int flags) const
{
    return open_at(root_.get(), std::string{path}, flags);
}

Result<Fd> RootedPath::make_folders_inside(
    std::string_view path, mode_t mode, uid_t uid, gid_t gid) const
{
    std::string done = "/";
    TRY(auto here, open_at(root_.get(), done, O_PATH | O_DIRECTORY));
    for (const auto& part : split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part == "..")
            return fail(Errc::invalid, "make folder " + printable(path) + ": \"..\" in the path");
        done += (done.size() > 1 ? "/" : "") + std::string{part};
        auto next = open_at(root_.get(), done, O_PATH | O_DIRECTORY);
        if (!next && next.error().code == Errc::not_found) {
            const std::string name{part};
            const int err = error_of(::mkdirat(here.get(), name.c_str(), mode));
            // EEXIST: a symlink that leads nowhere, or somebody was faster.
            if (err && err != EEXIST) return fail_errno(err, "make folder " + printable(done));
            next = open_at(root_.get(), done, O_PATH | O_DIRECTORY);
            if (!err && next) {
                const int chown_err = error_of(
                    ::fchownat(next->get(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
                if (chown_err) return fail_errno(chown_err, "give folder " + printable(done));
            }
        }
        if (!next) return tl::unexpected(std::move(next).error());
        here = *std::move(next);
    }
    return here;
}

Result<std::string> RootedPath::read_inside(std::string_view path, std::size_t limit) const
{
    // O_NONBLOCK: a FIFO of this name must not hold us up.
    TRY(const auto fd, open_at(root_.get(), std::string{path}, O_RDONLY | O_NONBLOCK | O_NOCTTY));
    struct stat info{};
    const int err = error_of(::fstat(fd.get(), &info));
    if (err) return fail_errno(err, "read " + printable(path));
    if (!S_ISREG(info.st_mode) || static_cast<std::uint64_t>(info.st_size) > limit)
        return fail(Errc::invalid, "read " + printable(path) + ": no plain file, or too large");
    std::string content(limit, '\0');
    std::size_t size = 0;
    while (size < limit) {
        const auto got =
            retry_eintr([&] { return ::read(fd.get(), content.data() + size, limit - size); });
        const int read_err = error_of(got);
        if (read_err) return fail_errno(read_err, "read " + printable(path));
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    content.resize(size);
    return content;
}

}  // namespace znode::kernel
