#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace znode::flist {

/// What lies in a folder that is to be packed.
struct Scanned {
    std::string path;  ///< Below the packed folder, without a slash at either end.
    std::string name;
    struct stat status{};
    std::string target;                 ///< Of a link.
    std::vector<std::size_t> children;  ///< Of a folder: folders first, each kind by name.
    std::string refs;                   ///< Of a file: id and key of each block.
};

/// Everything below `folder`; the first is the folder itself. Links are not followed.
Result<std::vector<Scanned>> scan_folder(const std::filesystem::path& folder);

}  // namespace znode::flist
