#pragma once
// Laying out text on a terminal: widths, colours, tables. Pure.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace znode::status {

enum class Ink { plain, bold, dim, good, warn, bad };

/// The text in this colour, or as it is when colours are off.
std::string paint(std::string_view text, Ink ink, bool color);

/// Columns that the text takes; escape sequences of `paint` take none.
std::size_t columns_of(std::string_view text);
/// Cut to at most `width` columns, with "…" at the end when something is missing.
std::string clip(std::string_view text, std::size_t width);
/// Clipped, or filled with spaces, to exactly `width` columns.
std::string pad(std::string_view text, std::size_t width, bool right = false);
/// Broken at spaces into lines of at most `width` columns.
std::vector<std::string> wrap(std::string_view text, std::size_t width);

/// Foreign text made harmless, of any length.
std::string shown(std::string_view foreign);

/// "████░░░░" with `part` of `width` cells filled.
std::string bar(double part, std::size_t width, bool color);

/// Rows of cells under a head, columns as wide as needed; the last column gives way, then the
/// widest one.
class Table {
public:
    /// A name beginning with '>' makes a column of numbers, set flush right.
    explicit Table(std::vector<std::string> head);
    void row(std::vector<std::string> cells);
    bool empty() const noexcept { return rows_.empty(); }
    /// Every line ends with a newline; `indent` spaces come first.
    std::string text(std::size_t width, bool color, std::size_t indent = 0) const;

private:
    std::vector<std::string> head_;
    std::vector<bool> right_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace znode::status
