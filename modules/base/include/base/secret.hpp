#pragma once

#include <string>
#include <string_view>

namespace znode {

/// Text that must never be printed: passwords, seeds, URLs that carry a password.
///
/// It has no conversion to text and no stream operator; whoever needs the characters says so with
/// `reveal()`. The memory is wiped when the object dies or is assigned to.
class Secret {
public:
    Secret() = default;
    explicit Secret(std::string text) : text_{std::move(text)} {}
    Secret(const Secret&) = default;
    Secret(Secret&& other) noexcept;
    Secret& operator=(const Secret& other);
    Secret& operator=(Secret&& other) noexcept;
    ~Secret();

    /// The characters. Valid as long as this object.
    std::string_view reveal() const noexcept { return text_; }
    bool empty() const noexcept { return text_.empty(); }
    /// Compares in constant time for equal lengths.
    bool operator==(const Secret& other) const noexcept;

private:
    std::string text_;
};

/// Overwrites the characters in a way the compiler keeps.
void wipe(std::string& text) noexcept;

/// A URL without its user-info part: what may be logged of a `redis://:pw@host/x`.
std::string without_password(std::string_view url);

}  // namespace znode
