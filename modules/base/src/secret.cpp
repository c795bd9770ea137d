#include "base/secret.hpp"

#include <sodium.h>

namespace znode {

void wipe(std::string& text) noexcept
{
    sodium_memzero(text.data(), text.size());
    text.clear();
}

Secret::Secret(Secret&& other) noexcept : text_{other.text_}
{
    // A moved-from short string would keep its characters.
    wipe(other.text_);
}

Secret& Secret::operator=(const Secret& other)
{
    if (this == &other) return *this;
    wipe(text_);
    text_ = other.text_;
    return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept
{
    if (this == &other) return *this;
    wipe(text_);
    text_.swap(other.text_);
    return *this;
}

Secret::~Secret() { wipe(text_); }

bool Secret::operator==(const Secret& other) const noexcept
{
    return text_.size() == other.text_.size() &&
           sodium_memcmp(text_.data(), other.text_.data(), text_.size()) == 0;
}

std::string without_password(std::string_view url)
{
    const auto scheme = url.find("://");
    const auto start = scheme == std::string_view::npos ? 0 : scheme + 3;
    const auto path = url.find_first_of("/?#", start);
    // The last '@' of the authority: a password may hold one.
    const auto at = url.substr(0, path).rfind('@');
    if (at == std::string_view::npos || at < start) return std::string{url};
    return std::string{url.substr(0, start)} + "***@" + std::string{url.substr(at + 1)};
}

}  // namespace znode
