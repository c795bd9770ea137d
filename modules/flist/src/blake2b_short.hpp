#pragma once

#include <string>
#include <string_view>

namespace znode::flist {

/// BLAKE2b with a digest of 8 bytes, raw: names of owner records. Libsodium makes 16 and more, and
/// a shorter digest is not a prefix of a longer one. RFC 7693; meant for short texts.
std::string blake2b_64(std::string_view text);

}  // namespace znode::flist
