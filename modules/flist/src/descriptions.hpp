#pragma once
// What `znode-flist info --json` says of a flist, kept beside the download: reading a stranger's
// flist takes a process of its own.

#include <filesystem>
#include <string>

#include "flist/flists.hpp"

namespace znode::flist {

/// The file that the description of this download lies in.
inline std::filesystem::path description_of(std::filesystem::path flist)
{
    return flist.replace_extension(".info");
}

/// Entry point and environment as the packer wrote them; whatever makes no sense is left out, for
/// nothing depends on them.
void take_metadata(const std::string& description, MountedFlist& mounted);

/// Entries and bytes; none where the description does not say.
void take_sizes(const std::string& description, FlistStatus& status);

}  // namespace znode::flist
