#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace znode {

/// Lower-case hex without prefix.
std::string to_hex(std::span<const unsigned char> bytes);
std::string to_hex(std::string_view bytes);

/// Errc::invalid on an odd length or a character that is no hex digit (either case is taken).
Result<std::string> from_hex(std::string_view text);

/// RFC 4648 with padding.
std::string to_base64(std::string_view bytes);
/// Padding may be absent; anything else outside of the alphabet is Errc::invalid.
Result<std::string> from_base64(std::string_view text);

}  // namespace znode
