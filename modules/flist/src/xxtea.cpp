#include "xxtea.hpp"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

namespace znode::flist {
namespace {

static_assert(std::endian::native == std::endian::little, "words are little endian on the wire");

constexpr std::uint32_t delta = 0x9E3779B9U;

using Key = std::array<std::uint32_t, 4>;

Key key_words(std::string_view key)
{
    Key words{};
    std::memcpy(words.data(), key.data(), std::min(key.size(), sizeof words));
    return words;
}

inline std::uint32_t mix(
    std::uint32_t before, std::uint32_t after, std::uint32_t sum, std::uint32_t key)
{
    return (((before >> 5U) ^ (after << 2U)) + ((after >> 3U) ^ (before << 4U))) ^
           ((sum ^ after) + (key ^ before));
}

}  // namespace

std::string xxtea_encrypt(std::string_view text, std::string_view key_bytes)
{
    const std::size_t n = (text.size() + 3) / 4 + 1;
    std::string out(n * 4, '\0');
    std::vector<std::uint32_t> v(n);
    std::memcpy(v.data(), text.data(), text.size());
    v[n - 1] = static_cast<std::uint32_t>(text.size());
    const Key key = key_words(key_bytes);

    std::uint32_t z = v[n - 1];
    std::uint32_t sum = 0;
    for (std::size_t rounds = 6 + 52 / n; rounds > 0; --rounds) {
        sum += delta;
        const std::uint32_t e = (sum >> 2U) & 3U;
        for (std::size_t p = 0; p < n; ++p) {
            const std::uint32_t y = v[p + 1 == n ? 0 : p + 1];
            z = v[p] += mix(z, y, sum, key[(p & 3U) ^ e]);
        }
    }
    std::memcpy(out.data(), v.data(), out.size());
    return out;
}

Result<std::string> xxtea_decrypt(std::string_view cipher, std::string_view key_bytes)
{
    if (cipher.size() % 4 != 0 || cipher.size() < 8)
        return fail(Errc::corrupt, std::to_string(cipher.size()) + " bytes are no cipher text");

    const std::size_t n = cipher.size() / 4;
    std::vector<std::uint32_t> v(n);
    std::memcpy(v.data(), cipher.data(), cipher.size());
    const Key key = key_words(key_bytes);

    const auto rounds = static_cast<std::uint32_t>(6 + 52 / n);
    std::uint32_t sum = rounds * delta;
    std::uint32_t y = v[0];
    for (; sum != 0; sum -= delta) {
        const std::uint32_t e = (sum >> 2U) & 3U;
        for (std::size_t p = n - 1; p > 0; --p) {
            const std::uint32_t z = v[p - 1];
            y = v[p] -= mix(z, y, sum, key[(p & 3U) ^ e]);
        }
        y = v[0] -= mix(v[n - 1], y, sum, key[e]);
    }

    const std::size_t room = (n - 1) * 4;
    const std::size_t length = v[n - 1];
    if (length > room || length + 3 < room)
        return fail(Errc::corrupt, "it does not decrypt with its key");
    return std::string{reinterpret_cast<const char*>(v.data()), length};
}

}  // namespace znode::flist
