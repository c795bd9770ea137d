#include "identity/identity.hpp"

#include <cassert>
#include <cstring>

#include <sodium.h>

#include "base/hex.hpp"
#include "identity/base58.hpp"

namespace znode::identity {
namespace {

constexpr std::size_t seed_size = crypto_sign_SEEDBYTES;
constexpr std::size_t nonce_size = crypto_secretbox_NONCEBYTES;
static_assert(seed_size == 32 && sizeof(PublicKey) == crypto_sign_PUBLICKEYBYTES);

/// libsodium picks its implementations once; before that everything works, but slower.
const bool sodium_ready = sodium_init() >= 0;

const unsigned char* bytes_of(std::string_view text)
{
    return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

/// Errc::invalid for a key that is no point of the curve, or one of small order.
Result<std::string> curve_key_of(const PublicKey& key)
{
    std::string curve(crypto_box_PUBLICKEYBYTES, '\0');
    if (crypto_sign_ed25519_pk_to_curve25519(bytes_of(curve), key.data()) != 0)
        return fail(Errc::invalid, "public key is not a valid ed25519 key");
    return curve;
}

Result<PublicKey> key_of_bytes(std::string_view bytes)
{
    PublicKey key;
    if (bytes.size() != key.size()) return fail(Errc::invalid, "public key is not 32 bytes");
    std::memcpy(key.data(), bytes.data(), key.size());
    return key;
}

Result<std::string> cipher_of(std::string_view hex, std::size_t shortest)
{
    auto cipher = from_hex(hex);
    if (!cipher) return fail(Errc::invalid, "secret is not hex text");
    if (cipher->size() < shortest)
        return fail(
            Errc::invalid,
            "secret is too short: " + std::to_string(cipher->size()) + " bytes of at least " +
                std::to_string(shortest));
    return cipher;
}

}  // namespace

std::string node_id_of(const PublicKey& key)
{
    return to_base58({reinterpret_cast<const char*>(key.data()), key.size()});
}

Result<PublicKey> key_of_node(std::string_view node_id)
{
    TRY(const auto bytes, from_base58(node_id));
    return key_of_bytes(bytes);
}

Result<PublicKey> key_of_hex(std::string_view hex)
{
    TRY(const auto bytes, from_hex(hex));
    return key_of_bytes(bytes);
}

std::string to_hex(const PublicKey& key) { return znode::to_hex({key.data(), key.size()}); }

bool verify(const PublicKey& key, std::string_view message, std::string_view signature)
{
    return signature.size() == crypto_sign_BYTES &&
           crypto_sign_verify_detached(
               bytes_of(signature), bytes_of(message), message.size(), key.data()) == 0;
}

bool verify_hex(const PublicKey& key, std::string_view message, std::string_view signature_hex)
{
    const auto signature = from_hex(signature_hex);
    return signature && verify(key, message, *signature);
}

bool verify_node(std::string_view node_id, std::string_view message, std::string_view signature)
{
    const auto key = key_of_node(node_id);
    return key && verify(*key, message, signature);
}

Result<std::string> seal_for(const PublicKey& recipient, const Secret& text)
{
    TRY(const auto curve, curve_key_of(recipient));
    const auto plain = text.reveal();
    std::string cipher(plain.size() + crypto_box_SEALBYTES, '\0');
    if (crypto_box_seal(bytes_of(cipher), bytes_of(plain), plain.size(), bytes_of(curve)) != 0)
        return fail(Errc::internal, "sealing a secret failed");
    return znode::to_hex(cipher);
}

Identity Identity::generate()
{
    std::string seed(seed_size, '\0');
    randombytes_buf(seed.data(), seed.size());
    return *from_seed(Secret{std::move(seed)});
}

Result<Identity> Identity::from_seed(const Secret& seed)
{
    if (seed.reveal().size() != seed_size) return fail(Errc::invalid, "seed is not 32 bytes");

    Identity self;
    std::string private_key(crypto_sign_SECRETKEYBYTES, '\0');
    crypto_sign_seed_keypair(
        self.public_key_.data(), bytes_of(private_key), bytes_of(seed.reveal()));
    self.private_key_ = Secret{std::move(private_key)};
    self.seed_ = seed;
    self.node_id_ = node_id_of(self.public_key_);
    return self;
}

Secret Identity::curve_private_key() const
{
    std::string curve(crypto_box_SECRETKEYBYTES, '\0');
    crypto_sign_ed25519_sk_to_curve25519(bytes_of(curve), bytes_of(private_key_.reveal()));
    return Secret{std::move(curve)};
}

std::string Identity::curve_public_key() const
{
    auto curve = curve_key_of(public_key_);
    assert(curve && "a key made from a seed is a good one");
    return *std::move(curve);
}

std::string Identity::sign(std::string_view message) const
{
    std::string signature(crypto_sign_BYTES, '\0');
    crypto_sign_detached(
        bytes_of(signature),
        nullptr,
        bytes_of(message),
        message.size(),
        bytes_of(private_key_.reveal()));
    return signature;
}

std::string Identity::sign_hex(std::string_view message) const
{
    return znode::to_hex(sign(message));
}

Result<Secret> Identity::open_sealed(std::string_view hex) const
{
    TRY(const auto cipher, cipher_of(hex, crypto_box_SEALBYTES));
    const auto curve_public = curve_public_key();
    const auto curve_private = curve_private_key();

    std::string plain(cipher.size() - crypto_box_SEALBYTES, '\0');
    if (crypto_box_seal_open(
            bytes_of(plain),
            bytes_of(cipher),
            cipher.size(),
            bytes_of(curve_public),
            bytes_of(curve_private.reveal())) != 0)
        return fail(Errc::invalid, "secret cannot be opened: damaged, or not made for this key");
    return Secret{std::move(plain)};
}

/// Both sides come to the same key: BLAKE2b-256 of the X25519 product. Empty when the other key is
/// of small order, with which anybody could read along.
Secret Identity::shared_key(const PublicKey& other) const
{
    const auto curve = curve_key_of(other);
    if (!curve) return {};
    const auto own = curve_private_key();

    std::string product(crypto_scalarmult_BYTES, '\0');
    if (crypto_scalarmult(bytes_of(product), bytes_of(own.reveal()), bytes_of(*curve)) != 0)
        return {};
    std::string key(crypto_secretbox_KEYBYTES, '\0');
    crypto_generichash(
        bytes_of(key), key.size(), bytes_of(std::as_const(product)), product.size(), nullptr, 0);
    wipe(product);
    return Secret{std::move(key)};
}

Result<std::string> Identity::encrypt_for(const PublicKey& recipient, const Secret& text) const
{
    const auto key = shared_key(recipient);
    if (key.empty()) return fail(Errc::invalid, "recipient's public key is not a valid one");

    const auto plain = text.reveal();
    std::string cipher(nonce_size + crypto_secretbox_MACBYTES + plain.size(), '\0');
    randombytes_buf(cipher.data(), nonce_size);
    crypto_secretbox_easy(
        bytes_of(cipher) + nonce_size,
        bytes_of(plain),
        plain.size(),
        bytes_of(std::as_const(cipher)),
        bytes_of(key.reveal()));
    return znode::to_hex(cipher);
}

Result<Secret> Identity::open_shared(std::string_view hex, const PublicKey& sender) const
{
    TRY(const auto cipher, cipher_of(hex, nonce_size + crypto_secretbox_MACBYTES));
    const auto key = shared_key(sender);
    if (key.empty()) return fail(Errc::invalid, "sender's public key is not a valid one");

    std::string plain(cipher.size() - nonce_size - crypto_secretbox_MACBYTES, '\0');
    if (crypto_secretbox_open_easy(
            bytes_of(plain),
            bytes_of(std::string_view{cipher}) + nonce_size,
            cipher.size() - nonce_size,
            bytes_of(std::string_view{cipher}),
            bytes_of(key.reveal())) != 0)
        return fail(Errc::invalid, "secret cannot be opened: damaged, or not made for this key");
    return Secret{std::move(plain)};
}

Result<Secret> Identity::decrypt(
    std::string_view hex, int version, const std::optional<PublicKey>& sender) const
{
    if (version == 0) return open_sealed(hex);
    if (!sender) return fail(Errc::invalid, "the customer's public key is needed for this secret");
    return open_shared(hex, *sender);
}

}  // namespace znode::identity
