#include "identity/base58.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace znode::identity {
namespace {

constexpr std::string_view alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
static_assert(alphabet.size() == 58);
constexpr std::size_t longest = 256;

constexpr auto make_digits()
{
    std::array<signed char, 256> digits{};
    digits.fill(-1);
    for (std::size_t i = 0; i < alphabet.size(); ++i)
        digits[static_cast<unsigned char>(alphabet[i])] = static_cast<signed char>(i);
    return digits;
}
constexpr auto digits = make_digits();

/// Multiplies the little-endian number by `from` and adds `digit`, all in base `Base`.
template <unsigned Base>
void push_digit(std::vector<unsigned char>& number, unsigned from, unsigned digit)
{
    unsigned carry = digit;
    for (auto& place : number) {
        carry += from * place;
        place = static_cast<unsigned char>(carry % Base);
        carry /= Base;
    }
    for (; carry > 0; carry /= Base) number.push_back(static_cast<unsigned char>(carry % Base));
}

}  // namespace

std::string to_base58(std::string_view bytes)
{
    const auto zeros = std::min(bytes.find_first_not_of('\0'), bytes.size());
    std::vector<unsigned char> number;
    for (const char byte : bytes.substr(zeros))
        push_digit<58>(number, 256, static_cast<unsigned char>(byte));

    std::string text(zeros, alphabet.front());
    std::for_each(number.rbegin(), number.rend(), [&](auto place) { text += alphabet[place]; });
    return text;
}

Result<std::string> from_base58(std::string_view text)
{
    if (text.size() > longest) return fail(Errc::invalid, "base58 text is too long");

    const auto zeros = std::min(text.find_first_not_of(alphabet.front()), text.size());
    std::vector<unsigned char> number;
    for (const char letter : text.substr(zeros)) {
        const auto digit = digits[static_cast<unsigned char>(letter)];
        if (digit < 0) return fail(Errc::invalid, "text has a character that base58 has not");
        push_digit<256>(number, 58, static_cast<unsigned>(digit));
    }

    std::string bytes(zeros, '\0');
    bytes.append(number.rbegin(), number.rend());
    return bytes;
}

}  // namespace znode::identity
