#include "kernel/files.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include "base/text.hpp"

namespace znode::kernel {

Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit)
{
    TRY(const Fd fd, open_file(path.c_str(), O_RDONLY));
    std::string content;
    // Files in /proc say size 0: read until the end.
    std::size_t size = 0;
    for (;;) {
        content.resize(size + 4096 + size / 2);
        const auto got = retry_eintr(
            [&] { return ::read(fd.get(), content.data() + size, content.size() - size); });
        const int err = error_of(got);
        if (err) return fail_errno(err, "read " + path.string());
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
        if (size > limit)
            return fail(
                Errc::invalid,
                "read " + path.string() + ": larger than " + std::to_string(limit) + " bytes");
    }
    content.resize(size);
    return content;
}

Result<> write_all(int fd, std::string_view content)
{
    while (!content.empty()) {
        const auto put = retry_eintr([&] { return ::write(fd, content.data(), content.size()); });
        const int err = error_of(put);
        if (err) return fail_errno(err, "write");
        content.remove_prefix(static_cast<std::size_t>(put));
    }
    return {};
}

Result<> pwrite_all(int fd, std::string_view content, off_t offset)
{
    while (!content.empty()) {
        const auto put =
            retry_eintr([&] { return ::pwrite(fd, content.data(), content.size(), offset); });
        const int err = error_of(put);
        if (err) return fail_errno(err, "write");
        content.remove_prefix(static_cast<std::size_t>(put));
        offset += put;
    }
    return {};
}

Result<std::size_t> pread_full(int fd, std::span<char> into, off_t offset)
{
    std::size_t done = 0;
    while (done < into.size()) {
        const auto got = retry_eintr([&] {
            return ::pread(
                fd, into.data() + done, into.size() - done, offset + static_cast<off_t>(done));
        });
        const int err = error_of(got);
        if (err) return fail_errno(err, "read");
        if (got == 0) break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

Result<> write_file_atomically(
    const std::filesystem::path& path, std::string_view content, mode_t mode)
{
    auto beside = path;
    beside += ".new";
    // A leftover of a crash may have another mode or owner: never written into.
    TRY_DO(remove_file(beside));
    TRY(Fd fd, open_file(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
    if (auto written = write_all(fd.get(), content); !written)
        return tl::unexpected(std::move(written).error().during("write " + beside.string()));
    // Not by open's mode, which the umask cuts.
    int err = error_of(::fchmod(fd.get(), mode));
    if (err) return fail_errno(err, "set mode of " + beside.string());
    err = error_of(::fsync(fd.get()));
    if (err) return fail_errno(err, "sync " + beside.string());
    err = error_of(::rename(beside.c_str(), path.c_str()));
    if (err) return fail_errno(err, "rename " + beside.string() + " to " + path.string());
    return sync_folder(path.has_parent_path() ? path.parent_path() : ".");
}

Result<> write_existing(const std::filesystem::path& path, std::string_view content)
{
    TRY(const Fd fd, open_file(path.c_str(), O_WRONLY));
    const auto put = retry_eintr([&] { return ::write(fd.get(), content.data(), content.size()); });
    const int err = error_of(put);
    if (err)
        return fail_errno(err, "write '" + printable(trim(content), 40) + "' to " + path.string());
    return {};
}

Result<> make_folders(const std::filesystem::path& path, mode_t mode)
{
    std::filesystem::path made;
    for (const auto& part : path) {
        made /= part;
        if (part == "/" || part.empty()) continue;
        if (::mkdir(made.c_str(), mode) == 0) {
            // Not cut by the umask of whoever started us.
            const int err = error_of(::chmod(made.c_str(), mode));
            if (err) return fail_errno(err, "set mode of " + made.string());
            continue;
        }
        const int err = errno;
        if (err != EEXIST) return fail_errno(err, "make folder " + made.string());
    }
    struct stat info{};
    const int err = error_of(::stat(path.c_str(), &info));
    if (err) return fail_errno(err, "make folder " + path.string());
    if (!S_ISDIR(info.st_mode))
        return fail(Errc::exists, "make folder " + path.string() + ": is no folder");
    return {};
}

Result<> sync_folder(const std::filesystem::path& path)
{
    TRY(const Fd fd, open_file(path.c_str(), O_RDONLY | O_DIRECTORY));
    const int err = error_of(::fsync(fd.get()));
    if (err) return fail_errno(err, "sync " + path.string());
    return {};
}

Result<> remove_file(const std::filesystem::path& path)
{
    const int err = error_of(::unlink(path.c_str()));
    if (err && err != ENOENT) return fail_errno(err, "remove " + path.string());
    return {};
}

Result<std::uint64_t> start_time_of(pid_t pid)
{
    TRY(const auto stat, read_file("/proc/" + std::to_string(pid) + "/stat"));
    // The name in parentheses may hold anything: fields are counted after the last ')'.
    const auto end = stat.rfind(')');
    if (end == std::string::npos) return fail(Errc::internal, "/proc/PID/stat has no name");
    const auto fields = split(std::string_view{stat}.substr(end + 2), ' ');
    constexpr std::size_t start_field = 22 - 3;  // The first after the name is field 3.
    if (fields.size() <= start_field) return fail(Errc::internal, "/proc/PID/stat is too short");
    const auto ticks = to_number<std::uint64_t>(fields[start_field]);
    if (!ticks) return fail(Errc::internal, "/proc/PID/stat has no start time");
    return *ticks;
}

Result<std::string> boot_id()
{
    TRY(const auto text, read_file("/proc/sys/kernel/random/boot_id"));
    return std::string{trim(text)};
}

}  // namespace znode::kernel
