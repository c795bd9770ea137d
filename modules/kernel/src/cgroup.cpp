#include "kernel/cgroup.hpp"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::kernel {
namespace {

namespace fs = std::filesystem;

constexpr long cgroup_v1_magic = 0x27e0eb;
constexpr long cgroup_v2_magic = 0x63677270;
constexpr long tmpfs_magic = 0x01021994;

long magic_of(const fs::path& path)
{
    struct statfs info{};
    return ::statfs(path.c_str(), &info) == 0 ? static_cast<long>(info.f_type) : 0;
}

std::vector<fs::path> folders_in(const fs::path& path)
{
    std::vector<fs::path> found;
    std::error_code ec;
    for (fs::directory_iterator it{path, ec}, end; !ec && it != end; it.increment(ec)) {
        std::error_code ignored;
        if (it->is_directory(ignored) && !it->is_symlink(ignored)) found.push_back(it->path());
    }
    std::ranges::sort(found);
    return found;
}

/// A v1 cpuset takes no process before it says which CPUs and memory nodes it has.
Result<> copy_cpuset(const fs::path& folder)
{
    for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
        auto own = read_file(folder / file);
        if (!own) return {};  // Another controller's tree.
        if (!trim(*own).empty()) continue;
        TRY(const auto parents, read_file(folder.parent_path() / file));
        TRY_DO(write_existing(folder / file, trim(parents)));
    }
    return {};
}

/// Makes what is below `folder` able to have limits (v2). Controllers that this kernel lacks are
/// left out; a refusal shows when a limit is set.
void enable_controllers(const fs::path& folder)
{
    const auto known = read_file(folder / "cgroup.controllers");
    if (!known) return;
    for (const auto name : split(trim(*known), ' '))
        if (name == "cpu" || name == "memory" || name == "pids" || name == "io")
            (void)write_existing(folder / "cgroup.subtree_control", "+" + std::string{name});
}

void gather_pids(const fs::path& folder, std::vector<pid_t>& into)
{
    if (const auto text = read_file(folder / "cgroup.procs"))
        for (const auto line : split(*text, '\n'))
            if (const auto pid = to_number<pid_t>(line); pid && *pid > 0) into.push_back(*pid);
    for (const auto& below : folders_in(folder)) gather_pids(below, into);
}

/// As far as the kernel can: what is in use or not yet written stays.
void give_back_cache_of(const fs::path& folder)
{
    for (const auto& below : folders_in(folder)) give_back_cache_of(below);
    if (write_existing(folder / "memory.force_empty", "0")) return;
    if (const auto held = read_file(folder / "memory.current"))
        (void)write_existing(folder / "memory.reclaim", std::string{trim(*held)});
}

Result<> remove_tree(const fs::path& folder)
{
    for (const auto& below : folders_in(folder)) TRY_DO(remove_tree(below));
    const int err = error_of(::rmdir(folder.c_str()));
    if (err && err != ENOENT) return fail_errno(err, "remove cgroup " + folder.string());
    return {};
}

/// The number behind a word at a line's begin: "oom_kill 3".
std::uint64_t number_after(const Result<std::string>& text, std::string_view word)
{
    if (!text) return 0;
    for (const auto line : split(*text, '\n')) {
        const auto fields = split(line, ' ');
        if (fields.size() == 2 && fields[0] == word)
            return to_number<std::uint64_t>(fields[1]).value_or(0);
    }
    return 0;
}

std::uint64_t number_in(const fs::path& file)
{
    const auto text = read_file(file);
    return text ? to_number<std::uint64_t>(trim(*text)).value_or(0) : 0;
}

}  // namespace

Result<Cgroups> Cgroups::find(std::string root, const fs::path& mount)
{
    const auto magic = magic_of(mount);
    if (magic == cgroup_v2_magic) return Cgroups{CgroupLayout::v2, std::move(root), {mount}};

    std::vector<fs::path> trees;
    if (magic == tmpfs_magic)
        for (auto& folder : folders_in(mount))
            if (magic_of(folder) == cgroup_v1_magic) trees.push_back(std::move(folder));
    if (trees.empty())
        return fail(
            Errc::unsupported,
            "no cgroups at " + mount.string() + ": mount cgroup2 there, or the v1 controllers");
    return Cgroups{CgroupLayout::v1, std::move(root), std::move(trees)};
}

fs::path Cgroups::in(const fs::path& tree, const std::string& name) const
{
    auto path = tree / root_.substr(1);
    return name.empty() ? path : path / name;
}

fs::path Cgroups::tree_with(const std::string& controller) const
{
    if (layout_ == CgroupLayout::v2) return trees_.front();
    for (const auto& tree : trees_) {
        const auto name = tree.filename().string();  // "cpu,cpuacct" where they are mounted as one.
        for (const auto part : split(name, ','))
            if (part == controller) return tree;
    }
    return {};
}

Result<std::vector<std::string>> Cgroups::ensure(const std::string& name) const
{
    std::vector<std::string> doors;
    for (const auto& tree : trees_) {
        auto here = tree;
        const auto path = in(tree, name);
        for (const auto& part : path.lexically_relative(tree)) {
            if (layout_ == CgroupLayout::v2) enable_controllers(here);
            here /= part;
            const int err = error_of(::mkdir(here.c_str(), 0755));
            if (err && err != EEXIST) return fail_errno(err, "make cgroup " + here.string());
            if (layout_ == CgroupLayout::v1) TRY_DO(copy_cpuset(here));
        }
        doors.push_back(path / "cgroup.procs");
    }
    return doors;
}

Result<std::vector<pid_t>> Cgroups::pids(const std::string& name) const
{
    std::vector<pid_t> found;
    for (const auto& tree : trees_) gather_pids(in(tree, name), found);
    std::ranges::sort(found);
    found.erase(std::ranges::unique(found).begin(), found.end());
    return found;
}

Result<> Cgroups::kill_all(const std::string& name) const
{
    if (layout_ == CgroupLayout::v2) {
        const auto killed = write_existing(in(trees_.front(), name) / "cgroup.kill", "1");
        if (killed || killed.error().code == Errc::not_found) return {};
    }
    TRY(const auto victims, pids(name));
    for (const auto pid : victims) {
        // By descriptor, and asked again: the number may have gone to somebody else meanwhile.
        const Fd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
        if (!pidfd) continue;
        TRY(const auto still, pids(name));
        if (std::ranges::binary_search(still, pid))
            (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
    }
    return {};
}

void Cgroups::give_back_cache(const std::string& name) const
{
    if (!name.empty()) give_back_cache_of(in(tree_with("memory"), name));
}

Result<> Cgroups::remove(const std::string& name) const
{
    if (name.empty()) return fail(Errc::internal, "remove cgroup: no name");
    for (const auto& tree : trees_) TRY_DO(remove_tree(in(tree, name)));
    return {};
}

Result<> Cgroups::remove_root() const
{
    give_back_cache_of(in(tree_with("memory"), {}));
    for (const auto& tree : trees_) {
        const auto path = in(tree, {});
        const int err = error_of(::rmdir(path.c_str()));
        if (err && err != ENOENT) return fail_errno(err, "remove cgroup " + path.string());
    }
    return {};
}

Result<std::vector<std::string>> Cgroups::names() const
{
    std::vector<std::string> found;
    for (const auto& tree : trees_)
        for (const auto& folder : folders_in(in(tree, {}))) found.push_back(folder.filename());
    std::ranges::sort(found);
    found.erase(std::ranges::unique(found).begin(), found.end());
    return found;
}

CgroupEvents Cgroups::events(const std::string& name) const
{
    const char* file = layout_ == CgroupLayout::v2 ? "memory.events" : "memory.oom_control";
    return {
        .oom_kills = number_after(read_file(in(tree_with("memory"), name) / file), "oom_kill"),
        .forks_refused =
            number_after(read_file(in(tree_with("pids"), name) / "pids.events"), "max"),
    };
}

CgroupUse Cgroups::use(const std::string& name) const
{
    const bool v2 = layout_ == CgroupLayout::v2;
    CgroupUse use;
    use.memory_bytes = number_in(
        in(tree_with("memory"), name) / (v2 ? "memory.current" : "memory.usage_in_bytes"));
    use.pids = number_in(in(tree_with("pids"), name) / "pids.current");
    use.cpu_ns =
        v2 ? number_after(read_file(in(trees_.front(), name) / "cpu.stat"), "usage_usec") * 1000
           : number_in(in(tree_with("cpuacct"), name) / "cpuacct.usage");
    return use;
}

}  // namespace znode::kernel
