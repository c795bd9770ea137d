#pragma once

#include <array>
#include <string_view>

namespace znode::identity {

/// Sorted by bytes.
extern const std::array<std::string_view, 2048> bip39_words;

}  // namespace znode::identity
