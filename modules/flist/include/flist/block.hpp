#pragma once

#include <array>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "flist/tree.hpp"

namespace znode::flist {

/// A chunk as stores keep it, with its names.
struct EncodedBlock {
    std::string id;      ///< BLAKE2b-128 of `stored`, raw.
    std::string key;     ///< BLAKE2b-128 of the plain chunk, raw.
    std::string stored;  ///< Compressed (raw snappy), then encrypted (XXTEA).
};

/// BLAKE2b of 16 or 32 bytes, unkeyed; raw.
std::string blake2b(std::string_view bytes, std::size_t digest_size = 16);

/// The longest that a stored block can be.
inline constexpr std::size_t stored_limit = 32 + chunk_size + chunk_size / 6 + 8;

/// Encodes at most `chunk_size` bytes. The same bytes always give the same block.
EncodedBlock encode_block(std::string_view plain);

/// Gives the plain chunk, which is then exactly `size` bytes that hash to the reference's key, or
/// Errc::corrupt with a message that says who is to blame: the store, when the stored bytes do not
/// hash to the id, else the flist.
Result<std::string> decode_block(BlockRef ref, std::string_view stored, std::size_t size);

}  // namespace znode::flist
