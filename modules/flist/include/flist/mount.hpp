#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/log.hpp"
#include "base/result.hpp"
#include "flist/content.hpp"
#include "flist/tree.hpp"
#include "kernel/fd.hpp"

namespace znode::flist {

/// Opens /dev/fuse and mounts it read-only on `folder`. The descriptor is the mount's only life:
/// when its last holder closes it, the mount is dead. It may be handed to other processes, so that
/// a server can die and be replaced; nothing answers until `serve` runs on it. `name` is shown as
/// the source of the mount. Errc::denied without CAP_SYS_ADMIN, Errc::unsupported without FUSE.
Result<kernel::Fd> attach_fuse(const std::filesystem::path& folder, const std::string& name);

struct ServeOptions {
    /// Added to every uid and gid: the first id of the user namespace that will see the tree.
    std::uint32_t uid_shift = 0;
    unsigned threads = 10;
    /// File (best on a tmpfs) with what a later server needs to take over: what the kernel and the
    /// first server agreed on, and the requests under way. Empty: nobody can take over.
    std::filesystem::path state_file;
    /// Called once when requests are being answered.
    std::function<void()> ready;
};

/// Answers the kernel's requests until the file system is unmounted; blocks. Where the state file
/// knows of an earlier server of the same mount, goes on where it died, requests under way
/// included, without the users of the mount noticing.
Result<> serve(
    kernel::Fd fuse, const Tree& tree, Content& content, Log log, const ServeOptions& options);

}  // namespace znode::flist
