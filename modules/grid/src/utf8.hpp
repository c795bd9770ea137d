#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace znode::grid::json {

inline constexpr std::uint32_t replacement_character = 0xFFFD;

/// Bytes of the valid UTF-8 character at the front, 0 if there is none (overlong forms and
/// surrogates are none).
std::size_t utf8_length(std::string_view text) noexcept;
void append_utf8(std::string& out, std::uint32_t code);

/// Equal but for the case of ASCII letters.
bool same_name(std::string_view a, std::string_view b) noexcept;

}  // namespace znode::grid::json
