#include "words.hpp"

#include <array>
#include <cstdlib>

#include <openssl/evp.h>

#include "base/hex.hpp"
#include "base/secret.hpp"

namespace znode::zdb {
namespace {

constexpr char upper(char c) noexcept
{
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

}  // namespace

bool is_prefix(std::string_view word, std::string_view name) noexcept
{
    if (word.size() > name.size()) return false;
    for (std::size_t i = 0; i < word.size(); ++i)
        if (upper(word[i]) != name[i]) return false;
    return true;
}

std::string in_capitals(std::string_view word)
{
    std::string text{word};
    for (char& c : text) c = upper(c);
    return text;
}

std::string challenge_answer(std::string_view nonce, std::string_view secret)
{
    std::string text{nonce};
    text += ':';
    text += secret;
    std::array<unsigned char, 20> digest{};
    unsigned size = digest.size();
    const int done =
        ::EVP_Digest(text.data(), text.size(), digest.data(), &size, ::EVP_sha1(), nullptr);
    wipe(text);
    return done == 1 ? to_hex(digest) : std::string{};
}

bool same_secret(std::string_view left, std::string_view right)
{
    return Secret{std::string{left}} == Secret{std::string{right}};
}

std::uint64_t lenient_number(std::string_view text)
{
    const std::string terminated{text};
    return static_cast<std::uint64_t>(std::strtoll(terminated.c_str(), nullptr, 10));
}

}  // namespace znode::zdb
