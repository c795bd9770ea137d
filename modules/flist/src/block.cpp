#include "flist/block.hpp"

#include <cstring>
#include <vector>

#include <snappy.h>
#include <sodium.h>

#include "base/hex.hpp"
#include "xxtea.hpp"

namespace znode::flist {

std::string blake2b(std::string_view bytes, std::size_t digest_size)
{
    std::string digest(digest_size, '\0');
    crypto_generichash(
        reinterpret_cast<unsigned char*>(digest.data()),
        digest.size(),
        reinterpret_cast<const unsigned char*>(bytes.data()),
        bytes.size(),
        nullptr,
        0);
    return digest;
}

EncodedBlock encode_block(std::string_view plain)
{
    EncodedBlock block;
    block.key = blake2b(plain);
    std::string compressed;
    snappy::Compress(plain.data(), plain.size(), &compressed);
    block.stored = xxtea_encrypt(compressed, block.key);
    block.id = blake2b(block.stored);
    return block;
}

namespace {

Result<std::string> decode(BlockRef ref, std::string_view stored, std::size_t size)
{
    if (stored.size() > stored_limit)
        return fail(Errc::corrupt, std::to_string(stored.size()) + " bytes are too long");
    TRY(const auto compressed, xxtea_decrypt(stored, ref.key));

    std::size_t length = 0;
    if (!snappy::GetUncompressedLength(compressed.data(), compressed.size(), &length))
        return fail(Errc::corrupt, "it does not decompress");
    if (length != size)
        return fail(
            Errc::corrupt,
            "it holds " + std::to_string(length) + " bytes where the file needs " +
                std::to_string(size));
    std::string plain(length, '\0');
    if (!snappy::RawUncompress(compressed.data(), compressed.size(), plain.data()))
        return fail(Errc::corrupt, "it does not decompress");
    if (blake2b(plain, ref.key.size()) != ref.key)
        return fail(Errc::corrupt, "its content does not match its key");
    return plain;
}

}  // namespace

Result<std::string> decode_block(BlockRef ref, std::string_view stored, std::size_t size)
{
    auto plain = decode(ref, stored, size);
    if (plain) return plain;

    // Only now is it worth a hash to find out whether the store or the flist is wrong.
    const bool as_stored = blake2b(stored, ref.id.size()) == ref.id;
    return tl::unexpected(std::move(plain).error().during(
        "block " + to_hex(ref.id) +
        (as_stored ? " (as the flist names it)" : " (damaged in store)")));
}

}  // namespace znode::flist
