#include "network/wireguard_keys.hpp"

#include <array>

#include <sodium.h>

#include "base/hex.hpp"

namespace znode::network {
namespace {

using Bytes = std::array<unsigned char, 32>;

std::string base64_of(const Bytes& bytes)
{
    return to_base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});  // NOLINT
}

}  // namespace

WireGuardKeys make_wireguard_keys()
{
    Bytes secret{};
    ::randombytes_buf(secret.data(), secret.size());
    // Clamped as every WireGuard tool writes them.
    secret[0] &= 248U;
    secret[31] = static_cast<unsigned char>((secret[31] & 127U) | 64U);
    Bytes open{};
    ::crypto_scalarmult_base(open.data(), secret.data());
    WireGuardKeys keys{Secret{base64_of(secret)}, base64_of(open)};
    ::sodium_memzero(secret.data(), secret.size());
    return keys;
}

Result<std::string> public_key_of(const Secret& private_key)
{
    auto bytes = from_base64(private_key.reveal());
    if (!bytes || private_key.reveal().size() != 44 || bytes->size() != Bytes{}.size())
        return fail(Errc::invalid, "a WireGuard private key is 44 characters of base64 (32 bytes)");
    Bytes open{};
    ::crypto_scalarmult_base(
        open.data(),
        reinterpret_cast<const unsigned char*>(bytes->data()));  // NOLINT: text as bytes.
    wipe(*bytes);
    return base64_of(open);
}

}  // namespace znode::network
