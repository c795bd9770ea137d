#include "kernel/loop.hpp"

#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstring>

namespace znode::kernel {
namespace {

bool shows(int device, const struct stat& file)
{
    struct loop_info64 info{};
    if (::ioctl(device, LOOP_GET_STATUS64, &info) != 0) return false;
    // The kernel reports its own encoding of the device number (minor split around the major).
    const auto wanted = file.st_dev;
    const std::uint64_t encoded =
        (minor(wanted) & 0xffU) | (major(wanted) << 8U) | ((minor(wanted) & ~0xffU) << 12U);
    return info.lo_inode == file.st_ino &&
           (info.lo_device == encoded || info.lo_device == static_cast<std::uint64_t>(wanted));
}

Result<std::optional<LoopDevice>> find(const struct stat& file, int flags)
{
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{"/sys/block", ignored}) {
        const auto name = entry.path().filename().string();
        if (name.compare(0, 4, "loop") != 0) continue;
        // Only bound devices have this folder; the others are not worth an open.
        if (!std::filesystem::exists(entry.path() / "loop", ignored)) continue;
        auto device = open_file("/dev/" + name, flags);
        if (!device) continue;
        if (shows(device->get(), file)) return LoopDevice{"/dev/" + name, *std::move(device)};
    }
    return std::nullopt;
}

Result<struct stat> look_at(const std::filesystem::path& file)
{
    struct stat info{};
    const int err = error_of(::stat(file.c_str(), &info));
    if (err) return fail_errno(err, "look at " + file.string());
    return info;
}

}  // namespace

Result<std::optional<std::string>> find_loop(const std::filesystem::path& file)
{
    TRY(const auto info, look_at(file));
    TRY(auto device, find(info, O_RDONLY));
    if (!device) return std::nullopt;
    return std::move(device->path);
}

Result<LoopDevice> attach_loop(const std::filesystem::path& file)
{
    TRY(const auto info, look_at(file));
    TRY(auto existing, find(info, O_RDWR));
    if (existing) return *std::move(existing);

    TRY(const auto backing, open_file(file.c_str(), O_RDWR));
    TRY(const auto control, open_file("/dev/loop-control", O_RDWR));
    // Between asking for a free number and taking it, somebody else may take it.
    for (int attempt = 0; attempt < 64; ++attempt) {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        int err = error_of(number);
        if (err) return fail_errno(err, "get a free loop device");
        LoopDevice device{"/dev/loop" + std::to_string(number), Fd{}};
        TRY(device.fd, open_file(device.path, O_RDWR));

        struct loop_config config{};
        config.fd = static_cast<std::uint32_t>(backing.get());
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
        const auto name = file.string();
        std::memcpy(
            config.info.lo_file_name,
            name.data(),
            std::min<std::size_t>(name.size(), LO_NAME_SIZE - 1));
        err = error_of(::ioctl(device.fd.get(), LOOP_CONFIGURE, &config));
        if (!err) return device;
        if (err != EBUSY) return fail_errno(err, "attach " + name + " to " + device.path);
    }
    return fail(Errc::unavailable, "attach " + file.string() + ": every loop device was taken");
}

}  // namespace znode::kernel
