#include "bundle.hpp"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"

namespace znode::container {

namespace fs = std::filesystem;

bool process_lives(pid_t pid, std::uint64_t start_time)
{
    if (pid <= 0) return false;
    const auto started = kernel::start_time_of(pid);
    if (!started || *started != start_time) return false;
    const auto stat = kernel::read_file("/proc/" + std::to_string(pid) + "/stat");
    if (!stat) return false;
    const auto end = stat->rfind(')');
    return end != std::string::npos && end + 2 < stat->size() && (*stat)[end + 2] != 'Z' &&
           (*stat)[end + 2] != 'X';
}

bool PageFacts::container_lives() const { return process_lives(pid, pid_start); }
bool PageFacts::monitor_lives() const { return process_lives(monitor_pid, monitor_start); }

Result<PageFacts> read_page(const fs::path& bundle)
{
    const auto path = bundle / "phase";
    TRY(const auto file, kernel::open_file(path.c_str(), O_RDONLY | O_NOFOLLOW));
    struct stat info{};
    const int err = error_of(::fstat(file.get(), &info));
    if (err) return fail_errno(err, "read " + path.string());
    if (info.st_size < static_cast<off_t>(sizeof(MonitorPage)))
        return fail(Errc::not_found, path.string() + " is not whole");
    void* mapped =
        ::mmap(nullptr, offsetof(MonitorPage, buffers), PROT_READ, MAP_SHARED, file.get(), 0);
    if (mapped == MAP_FAILED) return fail_errno(errno, "map " + path.string());

    const auto* page = static_cast<const MonitorPage*>(mapped);
    PageFacts facts{
        .version = page->version,
        .phase = page->phase,
        .monitor_pid = page->monitor_pid,
        .monitor_start = page->monitor_start,
        .pid = page->pid,
        .pid_start = page->pid_start,
        .started_ns = page->started_ns,
        .ended_ns = page->ended_ns,
        .exit = page->exit,
        .exit_number = page->exit_number,
    };
    const bool known = page->magic == monitor_page_magic && page->version == monitor_page_version;
    const std::string page_boot{page->boot_id, ::strnlen(page->boot_id, sizeof page->boot_id)};
    ::munmap(mapped, offsetof(MonitorPage, buffers));
    TRY(const auto boot, kernel::boot_id());
    if (!known || page_boot != boot)
        return fail(Errc::not_found, path.string() + " is of another time");
    return facts;
}

void read_status(const fs::path& bundle, PageFacts& facts)
{
    // "znode1 exited 7 123456\n" and zeros up to 64 bytes.
    const auto text = kernel::read_file(bundle / "status", 4096);
    if (!text) return;
    const auto words = split(std::string_view{*text}.substr(0, text->find('\n')), ' ');
    if (words.size() < 3 || words[0] != "znode1") return;
    auto kind = ExitKind::unknown;
    if (words[1] == "exited") kind = ExitKind::exited;
    if (words[1] == "signaled") kind = ExitKind::signaled;
    if (words[1] == "exec_errno") kind = ExitKind::exec_errno;
    if (kind == ExitKind::unknown) return;
    facts.exit = kind;
    facts.exit_number = to_number<int>(words[2]).value_or(0);
}

std::vector<std::string> last_lines(const fs::path& logs, std::size_t count)
{
    std::uint64_t newest = 0;
    std::error_code ec;
    for (fs::directory_iterator it{logs, ec}, end; !ec && it != end; it.increment(ec)) {
        const auto name = it->path().filename().string();
        if (name.size() >= logs::segment_digits)
            newest = std::max(newest, logs::segment_number(name.c_str()));
    }
    if (newest == 0) return {};
    std::array<char, 32> name{};
    logs::segment_name(newest, name.data());
    const auto file = kernel::open_file((logs / name.data()).c_str(), O_RDONLY | O_NOFOLLOW);
    struct stat info{};
    if (!file || ::fstat(file->get(), &info) < 0) return {};
    const auto size = static_cast<std::uint64_t>(info.st_size);
    if (size < sizeof(logs::SegmentHeader)) return {};
    void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file->get(), 0);
    if (mapped == MAP_FAILED) return {};

    const std::string_view bytes{static_cast<const char*>(mapped), size};
    std::vector<std::string> lines;
    for (auto at = sizeof(logs::SegmentHeader); at + sizeof(logs::RecordHeader) <= size;) {
        logs::RecordHeader record;
        std::memcpy(&record, bytes.data() + at, sizeof record);
        at += sizeof record;
        if (!logs::is_valid(record) || at + record.length > size) break;
        if (record.kind == logs::Kind::started) lines.clear();
        if (record.kind == logs::Kind::out || record.kind == logs::Kind::err) {
            auto text = bytes.substr(at, record.length);
            if (text.ends_with('\n')) text.remove_suffix(1);
            for (const auto line : split(text, '\n')) lines.push_back(printable(line, 200));
            if (lines.size() > count)
                lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
        }
        at += record.length;
    }
    ::munmap(mapped, size);
    return lines;
}

Result<> make_places(const Places& places, const ContainerSpec& spec)
{
    // The way to the root is walked by the runtime below a user namespace.
    TRY_DO(kernel::make_folders(places.root.parent_path(), 0711));
    TRY_DO(kernel::make_folders(places.root, 0711));
    TRY_DO(kernel::make_folders(places.bundle.parent_path(), 0711));
    TRY_DO(kernel::make_folders(places.bundle, 0700));
    TRY_DO(kernel::make_folders(places.logs.parent_path(), 0700));
    if (spec.root.writable.empty()) return {};

    TRY(const auto layer, kernel::open_file(spec.root.writable.c_str(), O_RDONLY | O_DIRECTORY));
    int err = error_of(::mkdirat(layer.get(), "work", 0700));
    if (err && err != EEXIST) return fail_errno(err, "make the root's work folder");
    err = error_of(::mkdirat(layer.get(), "upper", 0755));
    if (err && err != EEXIST) return fail_errno(err, "make the root's upper folder");
    err = error_of(
        ::fchownat(layer.get(), "upper", spec.ids.first, spec.ids.first, AT_SYMLINK_NOFOLLOW));
    if (err) return fail_errno(err, "give the root's upper folder to the container");
    return {};
}

Result<std::string> overlay_options(const RootLayers& layers)
{
    const auto check = [](const fs::path& path) -> Result<> {
        if (path.string().find_first_of(":,\\") != std::string::npos)
            return fail(Errc::invalid, "overlay: a layer's path must have no : , or backslash");
        return {};
    };
    std::string lower;
    for (const auto& layer : layers.lower) {
        TRY_DO(check(layer));
        lower += (lower.empty() ? "" : ":") + layer.string();
    }
    TRY_DO(check(layers.writable));
    // Every option is said: what the kernel does otherwise was chosen when it was built.
    auto options = "lowerdir=" + lower + ",upperdir=" + (layers.writable / "upper").string() +
                   ",workdir=" + (layers.writable / "work").string() +
                   ",index=off,metacopy=off,redirect_dir=on,xino=off";
    if (options.size() >= 4096) return fail(Errc::invalid, "overlay: too many or too long layers");
    return options;
}

}  // namespace znode::container
