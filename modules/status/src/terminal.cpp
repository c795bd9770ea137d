#include "status/terminal.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/text.hpp"

namespace znode::status {

namespace {

/// Length in bytes of what stands at `at`: an escape sequence (0 columns) or a character (1).
struct Glyph {
    std::size_t bytes;
    std::size_t columns;
};

Glyph glyph_at(std::string_view text, std::size_t at)
{
    if (text[at] == '\x1b') {
        const auto end = text.find('m', at);
        return {end == std::string_view::npos ? text.size() - at : end - at + 1, 0};
    }
    std::size_t bytes = 1;
    while (at + bytes < text.size() &&
           (static_cast<unsigned char>(text[at + bytes]) & 0xC0U) == 0x80U)
        ++bytes;
    return {bytes, 1};
}

}  // namespace

std::string paint(std::string_view text, Ink ink, bool color)
{
    static constexpr std::array codes{"", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[31m"};
    if (!color || ink == Ink::plain || text.empty()) return std::string{text};
    return codes.at(static_cast<std::size_t>(ink)) + std::string{text} + "\x1b[0m";
}

std::size_t columns_of(std::string_view text)
{
    std::size_t columns = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto glyph = glyph_at(text, at);
        columns += glyph.columns;
        at += glyph.bytes;
    }
    return columns;
}

std::string clip(std::string_view text, std::size_t width)
{
    if (columns_of(text) <= width) return std::string{text};
    if (width == 0) return {};

    std::string kept;
    std::size_t columns = 0;
    bool painted = false;
    for (std::size_t at = 0; at < text.size() && columns + 1 < width;) {
        const auto glyph = glyph_at(text, at);
        painted |= glyph.columns == 0;
        kept += text.substr(at, glyph.bytes);
        columns += glyph.columns;
        at += glyph.bytes;
    }
    kept += "…";
    if (painted) kept += "\x1b[0m";
    return kept;
}

std::string pad(std::string_view text, std::size_t width, bool right)
{
    auto cell = clip(text, width);
    const std::string space(width - columns_of(cell), ' ');
    return right ? space + cell : cell + space;
}

std::vector<std::string> wrap(std::string_view text, std::size_t width)
{
    std::vector<std::string> lines;
    std::string line;
    for (auto word : split(text, ' ')) {
        if (!line.empty() && columns_of(line) + 1 + columns_of(word) > width) {
            lines.push_back(std::move(line));
            line.clear();
        }
        if (!line.empty()) line += ' ';
        line += word;
    }
    if (!line.empty() || lines.empty()) lines.push_back(std::move(line));
    for (auto& each : lines) each = clip(each, width);
    return lines;
}

std::string shown(std::string_view foreign)
{
    return printable(foreign, std::numeric_limits<std::size_t>::max());
}

std::string bar(double part, std::size_t width, bool color)
{
    part = std::isfinite(part) ? std::clamp(part, 0.0, 1.0) : 0.0;
    auto filled = static_cast<std::size_t>(std::lround(part * static_cast<double>(width)));
    if (filled == 0 && part > 0 && width > 0) filled = 1;
    std::string full;
    for (std::size_t i = 0; i < filled; ++i) full += "█";
    std::string rest;
    for (std::size_t i = filled; i < width; ++i) rest += "░";
    const auto ink = part > 0.95 ? Ink::bad : part > 0.8 ? Ink::warn : Ink::good;
    return paint(full, ink, color) + paint(rest, Ink::dim, color);
}

Table::Table(std::vector<std::string> head) : head_{std::move(head)}
{
    for (auto& name : head_) {
        right_.push_back(name.starts_with('>'));
        if (right_.back()) name.erase(0, 1);
    }
}

void Table::row(std::vector<std::string> cells)
{
    cells.resize(head_.size());
    rows_.push_back(std::move(cells));
}

std::string Table::text(std::size_t width, bool color, std::size_t indent) const
{
    constexpr std::size_t gap = 2;
    const auto count = head_.size();
    std::vector<std::size_t> widths(count);
    for (std::size_t i = 0; i < count; ++i) {
        widths[i] = columns_of(head_[i]);
        for (const auto& row : rows_) widths[i] = std::max(widths[i], columns_of(row[i]));
    }
    const auto whole = [&] {
        return std::accumulate(widths.begin(), widths.end(), indent + gap * (count - 1));
    };
    // The last column holds sentences and gives way first; then whatever is widest.
    if (whole() > width) {
        const auto least = std::max<std::size_t>(columns_of(head_.back()), 16);
        const auto over = whole() - width;
        if (widths.back() > least)
            widths.back() = std::max(least, widths.back() - std::min(over, widths.back()));
    }
    while (whole() > width) {
        auto widest = std::ranges::max_element(widths);
        if (*widest <= 4) break;
        --*widest;
    }

    std::string text;
    const auto line = [&](const std::vector<std::string>& cells, Ink ink) {
        std::string out(indent, ' ');
        for (std::size_t i = 0; i < count; ++i) {
            if (i > 0) out.append(gap, ' ');
            const bool last = i + 1 == count;
            const auto cell = last && !right_[i] ? clip(cells[i], widths[i])
                                                 : pad(cells[i], widths[i], right_[i]);
            out += paint(cell, ink, color);
        }
        while (out.ends_with(' ')) out.pop_back();
        text += out + '\n';
    };
    line(head_, Ink::dim);
    for (const auto& row : rows_) line(row, Ink::plain);
    return text;
}

}  // namespace znode::status
