#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace znode::flist {

/// Corrected block TEA over the whole text, which is zero-padded to words and followed by one word
/// with its length. `key` has 16 bytes, all of them used.
std::string xxtea_encrypt(std::string_view text, std::string_view key);

/// Errc::corrupt when the length cannot be that of a cipher text or the length word does not fit.
Result<std::string> xxtea_decrypt(std::string_view cipher, std::string_view key);

}  // namespace znode::flist
