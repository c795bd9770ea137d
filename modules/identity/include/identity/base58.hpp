#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace znode::identity {

/// Bitcoin's alphabet; each leading zero byte becomes a `1`.
std::string to_base58(std::string_view bytes);

/// Errc::invalid on a character outside of the alphabet, and beyond 256 characters: nothing of the
/// grid is longer, and the work grows with the square of the length.
Result<std::string> from_base58(std::string_view text);

}  // namespace znode::identity
