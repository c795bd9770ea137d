#include "network/addressing.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include <openssl/evp.h>
#include <sodium.h>

namespace znode::network {
namespace {

using Digest = std::array<std::uint8_t, 16>;

/// md5 is what the grid's derivations use; nothing here rests on its strength.
Digest md5(std::string_view bytes)
{
    Digest digest{};
    ::EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, ::EVP_md5(), nullptr);
    return digest;
}

using LongDigest = std::array<std::uint8_t, crypto_hash_sha512_BYTES>;

LongDigest sha512(std::string_view bytes)
{
    LongDigest digest{};
    ::crypto_hash_sha512(
        digest.data(),
        reinterpret_cast<const unsigned char*>(bytes.data()),  // NOLINT: text as bytes.
        bytes.size());
    return digest;
}

/// Bitcoin's alphabet.
std::string base58(std::span<const std::uint8_t> bytes)
{
    constexpr std::string_view alphabet =
        "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    std::string digits;  // Values 0 to 57, lowest first.
    for (const auto byte : bytes) {
        unsigned carry = byte;
        for (auto& digit : digits) {
            carry += static_cast<unsigned>(static_cast<unsigned char>(digit)) * 256U;
            digit = static_cast<char>(carry % 58U);
            carry /= 58U;
        }
        for (; carry > 0; carry /= 58U) digits += static_cast<char>(carry % 58U);
    }
    std::string text;
    for (const auto byte : bytes) {
        if (byte != 0) break;
        text += alphabet[0];
    }
    for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit)
        text += alphabet[static_cast<unsigned char>(*digit)];
    return text;
}

/// fd00::/8 with bytes set from an offset on.
std::array<std::uint8_t, 16> unique_local()
{
    std::array<std::uint8_t, 16> bytes{};
    bytes[0] = 0xfd;
    return bytes;
}

}  // namespace

std::string network_id(std::string_view user_id, std::string_view name)
{
    const auto digest = md5(std::string{user_id} + std::string{name});
    return base58(digest).substr(0, 13);
}

NetworkNames names_of(std::string_view network_id)
{
    const std::string id{network_id};
    return {"n-" + id, "b-" + id, "n-" + id, "w-" + id, "t-" + id};
}

IpAddress gateway_of(const IpNetwork& subnet) noexcept
{
    return IpAddress::v4(subnet.first().number() + 1);
}

MacAddress mac_of(std::string_view bytes)
{
    auto digest = md5(bytes);
    // Offset 3 always fits: a digest refused at 0 has a third byte of 0x90 or more.
    for (std::size_t offset = 0;; ++offset) {
        auto* at = &digest[offset];
        at[0] = static_cast<std::uint8_t>((at[0] | 2U) & 0xfeU);
        const auto tail = std::uint32_t{at[3]} << 16U | std::uint32_t{at[4]} << 8U | at[5];
        const auto head = std::uint32_t{at[0]} << 8U | at[1];
        if (tail > 0x9000ffU && head < 0x9002U && offset < 10) continue;
        MacAddress mac{};
        std::copy_n(at, mac.size(), mac.begin());
        return mac;
    }
}

IpAddress slaac_address(const IpNetwork& prefix, const MacAddress& mac)
{
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::copy(prefix.first().bytes().first(8), bytes.begin());
    bytes[8] = mac[0] ^ 2U;
    bytes[9] = mac[1];
    bytes[10] = mac[2];
    bytes[11] = 0xff;
    bytes[12] = 0xfe;
    std::copy_n(mac.begin() + 3, 3, bytes.begin() + 13);
    return IpAddress::v6(bytes);
}

IpAddress inner_ipv6(std::string_view network_id, const IpAddress& ipv4)
{
    auto bytes = unique_local();
    // The id's own characters, as the grid has it: no hash of them.
    for (std::size_t i = 0; i < 5 && i < network_id.size(); ++i)
        bytes[1 + i] = static_cast<std::uint8_t>(network_id[i]);
    bytes[7] = ipv4.bytes()[2];
    bytes[15] = ipv4.bytes()[3];
    return IpAddress::v6(bytes);
}

IpAddress wireguard_address(const IpNetwork& subnet) noexcept
{
    const auto middle = (subnet.address.number() >> 8U) & 0xffffU;
    return IpAddress::v4(100U << 24U | 64U << 16U | middle);
}

IpAddress exit_ipv6(const IpAddress& lease) noexcept
{
    auto bytes = unique_local();
    bytes[14] = lease.bytes()[2];
    bytes[15] = lease.bytes()[3];
    return IpAddress::v6(bytes);
}

std::string zdb_namespace(std::string_view id)
{
    auto text = kernel::to_text(mac_of(id));
    std::erase(text, ':');
    return "zdb-ns-" + text;
}

IpNetwork node_prefix(std::string_view node_id)
{
    auto bytes = unique_local();
    const auto digest = sha512(node_id);
    std::copy_n(digest.begin(), 5, bytes.begin() + 1);
    return {IpAddress::v6(bytes), 48};
}

OverlayAddresses overlay_addresses(std::string_view box_key)
{
    const auto digest = sha512(box_key);
    const auto bit = [&](std::size_t index) {
        return index / 8 < digest.size() &&
               (static_cast<unsigned>(digest[index / 8]) >> (7U - index % 8) & 1U) != 0;
    };
    std::size_t ones = 0;
    while (bit(ones)) ++ones;

    // 0x02, the number of leading ones, then the digest behind the first zero.
    std::array<std::uint8_t, 16> bytes{};
    bytes[0] = 2;
    bytes[1] = static_cast<std::uint8_t>(ones);
    for (std::size_t i = 0; i < 112; ++i)
        if (bit(ones + 1 + i))
            bytes[2 + i / 8] = static_cast<std::uint8_t>(bytes[2 + i / 8] | 0x80U >> (i % 8));

    auto subnet = bytes;
    subnet[0] = 3;
    std::fill(subnet.begin() + 8, subnet.end(), std::uint8_t{0});
    auto gateway = subnet;
    gateway[15] = 1;
    return {IpAddress::v6(bytes), {IpAddress::v6(subnet), 64}, {IpAddress::v6(gateway), 64}};
}

IpAddress overlay_host(const IpNetwork& subnet, std::string_view seed)
{
    std::array<std::uint8_t, 16> bytes{};
    std::ranges::copy(subnet.first().bytes().first(8), bytes.begin());
    const auto digest = sha512(seed);
    std::copy_n(digest.begin(), 8, bytes.begin() + 8);
    return IpAddress::v6(bytes);
}

}  // namespace znode::network
