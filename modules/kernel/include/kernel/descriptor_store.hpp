#pragma once

#include <filesystem>
#include <string>

#include "kernel/fd.hpp"

namespace znode::kernel {

/// Descriptors that outlive the agent, in the hands of znode-holder: the third holder of a mount's
/// /dev/fuse, so that even the death of agent and server together costs no mount.
///
/// Each call is an exchange with the holder, well below a millisecond, 2 s at most. A holder from
/// before this existed, or none, is Errc::unavailable.
class DescriptorStore {
public:
    explicit DescriptorStore(const std::filesystem::path& run_dir);

    /// Keeps a duplicate under this name (1 to 63 bytes, no blanks), instead of one that is there.
    /// Errc::exhausted when the holder has no place.
    [[nodiscard]] Result<> put(const std::string& name, const Fd& descriptor) const;
    /// Errc::not_found.
    [[nodiscard]] Result<Fd> get(const std::string& name) const;
    /// Succeeds when there is none.
    [[nodiscard]] Result<> drop(const std::string& name) const;
    /// Drops all whose names begin so. Succeeds when there are none. Errc::unsupported: the holder
    /// is of a version before this.
    [[nodiscard]] Result<> drop_all(const std::string& prefix) const;

private:
    Result<std::string> ask(const std::string& request, const Fd* give, Fd* take) const;

    std::filesystem::path socket_;
};

}  // namespace znode::kernel
