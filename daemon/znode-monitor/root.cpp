// znode-monitor --prepare-root TARGET OPTIONS: mounts the overlay (unless it is mounted already)
// and prints the root's /.startup.toml, if it has one. znode-monitor --unmount TARGET.
// Both may hang below a FUSE server, and can be killed.

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "options.hpp"

namespace znode::monitor {
namespace {

constexpr std::size_t startup_limit = 64U * 1024U;

int complain(const char* step)
{
    const int err = errno;
    std::fprintf(stderr, "%s: %s\n", step, std::strerror(err));
    return err == ENOENT ? 3 : 1;
}

}  // namespace

int prepare_root(int argc, char** argv)
{
    if (argc < 2) return 2;
    const char* target = argv[0];
    const char* options = argv[1];
    if (options[0] != '\0' && ::mount("overlay", target, "overlay", MS_NODEV, options) < 0)
        return complain("mount overlay");

    const int root = ::open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) return complain("open root");
    struct open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    const int file =
        static_cast<int>(::syscall(SYS_openat2, root, "/.startup.toml", &how, sizeof how));
    if (file < 0) return 0;  // Most have none; an unreadable one counts as none, as it always did.
    struct stat info{};
    if (::fstat(file, &info) < 0 || !S_ISREG(info.st_mode)) return 0;
    static char text[startup_limit];
    std::size_t size = 0;
    while (size < sizeof text) {
        const auto got = ::read(file, text + size, sizeof text - size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        size += static_cast<std::size_t>(got);
    }
    for (std::size_t done = 0; done < size;) {
        const auto put = ::write(1, text + done, size - done);
        if (put < 0) return 1;
        done += static_cast<std::size_t>(put);
    }
    return 0;
}

int unmount(const char* target)
{
    while (::umount2(target, UMOUNT_NOFOLLOW) == 0) {
    }
    return errno == EINVAL || errno == ENOENT ? 0 : complain("unmount");
}

}  // namespace znode::monitor
