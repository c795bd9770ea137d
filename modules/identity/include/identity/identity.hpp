#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::identity {

/// An ed25519 public key.
using PublicKey = std::array<unsigned char, 32>;

/// base58 of the key: how nodes and gateways are named.
std::string node_id_of(const PublicKey& key);
/// Errc::invalid unless the text is base58 of exactly 32 bytes.
Result<PublicKey> key_of_node(std::string_view node_id);
/// Errc::invalid unless the text is hex (either case) of exactly 32 bytes.
Result<PublicKey> key_of_hex(std::string_view hex);
std::string to_hex(const PublicKey& key);

/// Whether `signature` (64 raw bytes) of `message` was made with the key's other half.
bool verify(const PublicKey& key, std::string_view message, std::string_view signature);
/// The same with the signature in hex, either case; false for anything else.
bool verify_hex(const PublicKey& key, std::string_view message, std::string_view signature_hex);
/// The same for the key that a node id is; false for an id that is none.
bool verify_node(std::string_view node_id, std::string_view message, std::string_view signature);

/// Encrypts for the holder of the key, anonymously (libsodium sealed box to the key's curve25519
/// form); lower-case hex. How secrets of version 0 and WireGuard keys travel.
Result<std::string> seal_for(const PublicKey& recipient, const Secret& text);

/// Who a node, a farmer or a customer is: an ed25519 key pair made from a seed of 32 bytes.
///
/// A value, used from any thread. The secret half never leaves it but by `seed`, and never appears
/// in an error message.
class Identity {
public:
    /// Reads a seed file: `"1.0.0"` followed by 32 bytes, `"1.1.0"` followed by JSON
    /// {"mnemonic": "24 words", "threebotid": 7}, or 32 bytes alone, which are rewritten at once as
    /// 1.0.0. Errc::not_found, Errc::corrupt (a seed file that is damaged is never replaced).
    static Result<Identity> load(const std::filesystem::path& file);
    /// Loads, or makes a new identity and its file (format 1.0.0, mode 0400, missing folders 0700)
    /// when there is none. Only then: a file that cannot be read is an error.
    static Result<Identity> load_or_create(const std::filesystem::path& file);
    /// The same out of a file's bytes. `unversioned`, when given, tells whether there was no
    /// header.
    static Result<Identity> parse(const Secret& content, bool* unversioned = nullptr);

    static Identity generate();
    /// Errc::invalid unless the seed has 32 bytes.
    static Result<Identity> from_seed(const Secret& seed);

    /// Writes the file of a customer or farmer: format 1.1.0, words and user id, mode 0400.
    Result<> save_user(const std::filesystem::path& file) const;
    /// Writes the file of a node: format 1.0.0, mode 0400. Both are atomic.
    Result<> save_node(const std::filesystem::path& file) const;

    /// The user id ("threebot id") of a user's file.
    std::optional<std::int64_t> user_id() const noexcept { return user_id_; }
    void set_user_id(std::int64_t id) noexcept { user_id_ = id; }

    const std::string& node_id() const noexcept { return node_id_; }
    const PublicKey& public_key() const noexcept { return public_key_; }
    std::string public_key_hex() const { return to_hex(public_key_); }
    Secret seed() const { return seed_; }
    /// The curve25519 pair that belongs to the key (32 raw bytes each).
    Secret curve_private_key() const;
    std::string curve_public_key() const;

    /// 64 raw bytes.
    std::string sign(std::string_view message) const;
    std::string sign_hex(std::string_view message) const;

    /// Opens what `seal_for` made. Errc::invalid, with what is wrong, for everything else.
    Result<Secret> open_sealed(std::string_view hex) const;
    /// Encrypts for the holder of a key, with ours: X25519, BLAKE2b, XSalsa20-Poly1305 with a
    /// random nonce in front; lower-case hex. How secrets of version 1 and later travel.
    Result<std::string> encrypt_for(const PublicKey& recipient, const Secret& text) const;
    /// Opens what the holder of `sender` made with `encrypt_for`. Errc::invalid otherwise.
    Result<Secret> open_shared(std::string_view hex, const PublicKey& sender) const;
    /// Opens a secret of a workload of this version: a sealed box in version 0, else one that needs
    /// the customer's key (Errc::invalid without it).
    Result<Secret> decrypt(
        std::string_view hex, int version, const std::optional<PublicKey>& sender) const;

private:
    Identity() = default;
    Secret shared_key(const PublicKey& other) const;

    Secret seed_;
    Secret private_key_;  // Seed and public key, 64 bytes, as the signing function wants them.
    PublicKey public_key_{};
    std::string node_id_;
    std::optional<std::int64_t> user_id_;
};

}  // namespace znode::identity
