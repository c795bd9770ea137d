#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace znode::kernel {

/// Which of the kernel's two interfaces rules the controllers. A hybrid host counts as v1: its v2
/// tree has no controllers.
enum class CgroupLayout { v1, v2 };

/// How often a limit was hit in a cgroup.
struct CgroupEvents {
    std::uint64_t oom_kills = 0;      ///< Processes killed for want of memory.
    std::uint64_t forks_refused = 0;  ///< Forks that hit the limit of pids.
};

/// What a cgroup uses at the moment.
struct CgroupUse {
    std::uint64_t memory_bytes = 0;
    std::uint64_t pids = 0;
    std::uint64_t cpu_ns = 0;  ///< Since the cgroup was made.
};

/// The part of the cgroup hierarchies that belongs to one node: below "/znode-<8>", or below a
/// systemd unit's delegated cgroup. Names are single path components below it.
///
/// Every call may be repeated, reads and writes the kernel's files only and remembers nothing.
class Cgroups {
public:
    /// Looks at what is mounted below `mount`. `root` begins with "/". Errc::unsupported when there
    /// is neither layout.
    [[nodiscard]] static Result<Cgroups> find(
        std::string root, const std::filesystem::path& mount = "/sys/fs/cgroup");

    CgroupLayout layout() const noexcept { return layout_; }
    /// "/znode-01234567": what an OCI cgroupsPath begins with.
    const std::string& root() const noexcept { return root_; }

    /// Makes the cgroup, ready to take processes, in every hierarchy, and answers with the
    /// cgroup.procs files by which a process enters it (ChildSpec::cgroup_procs).
    [[nodiscard]] Result<std::vector<std::string>> ensure(const std::string& name) const;
    /// Every process in it or below it; empty when there is no such cgroup.
    [[nodiscard]] Result<std::vector<pid_t>> pids(const std::string& name) const;
    /// SIGKILL to every process in it or below it. Does not wait for their end.
    [[nodiscard]] Result<> kill_all(const std::string& name) const;
    /// Gives back the page cache that it and what is below it are charged with. A removed group
    /// with such a charge stays in the kernel, unseen, for as long as somebody uses one of these
    /// pages. For groups without processes; may take some 100 ms.
    void give_back_cache(const std::string& name) const;
    /// Removes it and what is below it. Errc::unavailable (EBUSY) while a process lives there.
    [[nodiscard]] Result<> remove(const std::string& name) const;
    /// Removes the root itself once everything below it is gone.
    [[nodiscard]] Result<> remove_root() const;
    [[nodiscard]] Result<std::vector<std::string>> names() const;
    /// Zeros for a cgroup that does not exist: they end with it, so ask before it is removed.
    CgroupEvents events(const std::string& name) const;
    CgroupUse use(const std::string& name) const;

private:
    Cgroups(CgroupLayout layout, std::string root, std::vector<std::filesystem::path> trees)
        : layout_{layout}, root_{std::move(root)}, trees_{std::move(trees)}
    {
    }
    std::filesystem::path tree_with(const std::string& controller) const;
    std::filesystem::path in(const std::filesystem::path& tree, const std::string& name) const;

    CgroupLayout layout_;
    std::string root_;
    std::vector<std::filesystem::path>
        trees_;  // Mount points: one for v2, one a controller for v1.
};

}  // namespace znode::kernel
