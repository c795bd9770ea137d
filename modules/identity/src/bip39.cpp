#include "identity/bip39.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include <sodium.h>

#include "base/text.hpp"
#include "bip39_words.hpp"

namespace znode::identity {
namespace {

// 32 bytes of seed and one byte of checksum are 264 bits: 24 words of 11.
constexpr std::size_t seed_bytes = 32;
constexpr std::size_t word_count = 24;
constexpr std::size_t bits_of_word = 11;

unsigned char checksum_of(std::string_view seed)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(hash, reinterpret_cast<const unsigned char*>(seed.data()), seed.size());
    return hash[0];
}

}  // namespace

Secret words_of(const Secret& seed)
{
    assert(seed.reveal().size() == seed_bytes);
    std::string bits{seed.reveal()};
    bits += static_cast<char>(checksum_of(seed.reveal()));

    std::string words;
    words.reserve(word_count * 9);
    for (std::size_t word = 0; word < word_count; ++word) {
        std::size_t index = 0;
        for (auto bit = word * bits_of_word; bit < (word + 1) * bits_of_word; ++bit) {
            const auto byte = static_cast<unsigned char>(bits[bit / 8]);
            index = index * 2 + ((byte >> (7 - bit % 8)) & 1U);
        }
        if (!words.empty()) words += ' ';
        words += bip39_words[index];
    }
    wipe(bits);
    return Secret{std::move(words)};
}

Result<Secret> seed_of(const Secret& words)
{
    std::string bits(seed_bytes + 1, '\0');
    std::size_t at = 0;
    std::string word;

    // Taken piece by piece: a split of the whole would leave copies of the words behind.
    const auto text = words.reveal();
    for (std::size_t i = 0; i <= text.size(); ++i) {
        const char c = i < text.size() ? text[i] : ' ';
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
            word += (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
            continue;
        }
        if (word.empty()) continue;

        const auto found = std::ranges::lower_bound(bip39_words, std::string_view{word});
        const bool known = found != bip39_words.end() && *found == word;
        wipe(word);
        word.clear();
        if (!known)
            return fail(
                Errc::invalid, "word " + std::to_string(at + 1) + " is not in the BIP-39 list");
        if (at == word_count) return fail(Errc::invalid, "there are more than 24 words");

        const auto index = static_cast<std::size_t>(found - bip39_words.begin());
        for (std::size_t i_bit = 0; i_bit < bits_of_word; ++i_bit) {
            const auto bit = at * bits_of_word + i_bit;
            const auto value = (index >> (bits_of_word - 1 - i_bit)) & 1U;
            bits[bit / 8] = static_cast<char>(
                static_cast<unsigned char>(bits[bit / 8]) | (value << (7 - bit % 8)));
        }
        ++at;
    }
    if (at != word_count)
        return fail(Errc::invalid, "there are " + std::to_string(at) + " words instead of 24");

    const auto checksum = static_cast<unsigned char>(bits.back());
    bits.pop_back();
    const bool good = checksum_of(bits) == checksum;
    Secret seed{std::move(bits)};
    if (!good) return fail(Errc::invalid, "the words' checksum is wrong: a word is mistyped");
    return seed;
}

}  // namespace znode::identity
