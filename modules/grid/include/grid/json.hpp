#pragma once
// JSON as the grid's peers write and sign it.
//
// A tree of our own rather than a library's: results are signed over the very bytes of a member,
// and numbers must keep their text (`1.50`, 9223372036854775807), so every value knows its span.
// Reading is one bounded pass; nothing below ever sees a document that is too deep or too large.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace znode::grid::json {

struct Limits {
    std::size_t bytes = std::size_t{8} << 20U;
    std::size_t depth = 64;
    std::size_t values = 500'000;  ///< Members and elements, all together.
    bool trailing = true;          ///< Text after the value is passed over, as the originals do.
};

struct Member;

/// One value and where it stands in the source text, which must outlive it.
struct Value {
    enum class Kind : std::uint8_t { null, boolean, number, string, array, object };

    Kind kind = Kind::null;
    std::string_view raw;  ///< The bytes of the value in the source.
    std::string text;      ///< Of a string: its characters, as valid UTF-8.
    std::vector<Value> items;
    std::vector<Member> members;  ///< In the source's order, duplicates included.

    bool is_null() const noexcept { return kind == Kind::null; }
    /// The member of that name, case ignored, the last one if there are several; or nullptr.
    const Value* find(std::string_view name) const noexcept;
};

struct Member {
    std::string name;
    Value value;
};

/// Errc::invalid, with the place and the reason, for what is not JSON or beyond the limits. An
/// empty text is "EOF".
Result<Value> parse(std::string_view text, const Limits& limits = {});

/// Appends the characters as a JSON string: `<`, `>`, `&`, U+2028, U+2029 and control characters
/// escaped, invalid UTF-8 replaced, as the grid's servers write it.
void append_string(std::string& out, std::string_view characters);
/// Shortest text that reads back as this number; whole numbers without a fraction.
void append_number(std::string& out, double number);

/// A value's text without white space, `<>&` and line separators escaped; everything else (order,
/// duplicates, number texts, other escapes) stays. `raw` must be valid JSON.
std::string compact(std::string_view raw);

}  // namespace znode::grid::json
