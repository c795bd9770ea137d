#pragma once

#include <string>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::network {

/// A WireGuard key pair, both halves as 44 characters of base64.
struct WireGuardKeys {
    Secret private_key;
    std::string public_key;
};

/// Fresh keys from the kernel's random source.
WireGuardKeys make_wireguard_keys();

/// The public half. Errc::invalid for what is no private key.
[[nodiscard]] Result<std::string> public_key_of(const Secret& private_key);

}  // namespace znode::network
