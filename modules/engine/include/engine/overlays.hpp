#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace znode::engine {

/// What the overlays in the text of a mountinfo file lie over, in no order: whoever unmounts one of
/// these takes the files from the programs above.
std::vector<std::filesystem::path> overlay_lowers(std::string_view mountinfo);

}  // namespace znode::engine
