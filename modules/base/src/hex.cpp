#include "base/hex.hpp"

#include <sodium.h>

namespace znode {
namespace {

int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

std::string to_hex(std::span<const unsigned char> bytes)
{
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    text.reserve(bytes.size() * 2);
    for (const unsigned char byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

std::string to_hex(std::string_view bytes)
{
    return to_hex(std::span{reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
}

Result<std::string> from_hex(std::string_view text)
{
    if (text.size() % 2 != 0) return fail(Errc::invalid, "hex text has an odd number of digits");
    std::string bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t i = 0; i < text.size(); i += 2) {
        const int high = digit_of(text[i]);
        const int low = digit_of(text[i + 1]);
        if (high < 0 || low < 0)
            return fail(Errc::invalid, "no hex digit at position " + std::to_string(i));
        bytes += static_cast<char>(high * 16 + low);
    }
    return bytes;
}

std::string to_base64(std::string_view bytes)
{
    std::string text(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(
        text.data(),
        text.size(),
        reinterpret_cast<const unsigned char*>(bytes.data()),
        bytes.size(),
        sodium_base64_VARIANT_ORIGINAL);
    text.pop_back();  // The terminator that sodium counts.
    return text;
}

Result<std::string> from_base64(std::string_view text)
{
    while (!text.empty() && text.back() == '=') text.remove_suffix(1);
    std::string bytes(text.size(), '\0');
    std::size_t length = 0;
    const char* end = nullptr;
    const int rc = sodium_base642bin(
        reinterpret_cast<unsigned char*>(bytes.data()),
        bytes.size(),
        text.data(),
        text.size(),
        nullptr,
        &length,
        &end,
        sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
    if (rc != 0 || end != text.data() + text.size()) return fail(Errc::invalid, "no base64 text");
    bytes.resize(length);
    return bytes;
}

}  // namespace znode
