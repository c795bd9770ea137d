#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "grid/json.hpp"
#include "utf8.hpp"

namespace znode::grid::json {
namespace {

constexpr std::string_view line_separator = "\xE2\x80\xA8";
constexpr std::string_view paragraph_separator = "\xE2\x80\xA9";

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

void append_escaped(std::string& out, unsigned char c)
{
    static constexpr std::string_view hex = "0123456789abcdef";
    out += "\\u00";
    out += hex[c >> 4U];
    out += hex[c & 15U];
}

/// Writes what a browser could take for markup or a line's end in escaped form; says how many bytes
/// that were, 0 for none.
std::size_t append_if_markup(std::string& out, std::string_view text)
{
    const char c = text.front();
    if (c == '<' || c == '>' || c == '&') {
        append_escaped(out, static_cast<unsigned char>(c));
        return 1;
    }
    if (text.starts_with(line_separator) || text.starts_with(paragraph_separator)) {
        out += text.starts_with(line_separator) ? "\\u2028" : "\\u2029";
        return line_separator.size();
    }
    return 0;
}

}  // namespace

std::size_t utf8_length(std::string_view text) noexcept
{
    const auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto tail = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
    const unsigned first = byte(0);
    if (text.empty()) return 0;
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first < 0xE0) return tail(1) ? 2 : 0;
    if (first >= 0xE0 && first < 0xF0) {
        const bool overlong = first == 0xE0 && byte(1) < 0xA0;
        const bool surrogate = first == 0xED && byte(1) >= 0xA0;
        return !overlong && !surrogate && tail(1) && tail(2) ? 3 : 0;
    }
    if (first >= 0xF0 && first < 0xF5) {
        const bool overlong = first == 0xF0 && byte(1) < 0x90;
        const bool beyond = first == 0xF4 && byte(1) >= 0x90;
        return !overlong && !beyond && tail(1) && tail(2) && tail(3) ? 4 : 0;
    }
    return 0;
}

void append_utf8(std::string& out, std::uint32_t code)
{
    const auto push = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) {
        push(code);
    } else if (code < 0x800) {
        push(0xC0U | (code >> 6U));
        push(0x80U | (code & 0x3FU));
    } else if (code < 0x10000) {
        push(0xE0U | (code >> 12U));
        push(0x80U | ((code >> 6U) & 0x3FU));
        push(0x80U | (code & 0x3FU));
    } else {
        push(0xF0U | (code >> 18U));
        push(0x80U | ((code >> 12U) & 0x3FU));
        push(0x80U | ((code >> 6U) & 0x3FU));
        push(0x80U | (code & 0x3FU));
    }
}

bool same_name(std::string_view a, std::string_view b) noexcept
{
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
               return lower(x) == lower(y);
           });
}

void append_string(std::string& out, std::string_view characters)
{
    out += '"';
    while (!characters.empty()) {
        const auto c = static_cast<unsigned char>(characters.front());
        std::size_t taken = 1;
        if (c == '"' || c == '\\') {
            out += '\\';
            out += characters.front();
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\r') {
            out += "\\r";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c < 0x20) {
            append_escaped(out, c);
        } else if (const auto markup = append_if_markup(out, characters); markup > 0) {
            taken = markup;
        } else if (const auto length = utf8_length(characters); length > 0) {
            out += characters.substr(0, length);
            taken = length;
        } else {
            out += "\\ufffd";
        }
        characters.remove_prefix(taken);
    }
    out += '"';
}

void append_number(std::string& out, double number)
{
    if (!std::isfinite(number)) number = 0;  // JSON has no word for it.
    const double size = std::fabs(number);
    const bool plain = size == 0 || (size >= 1e-6 && size < 1e21);

    std::array<char, 64> text{};
    const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
    const auto [end, err] = std::to_chars(text.data(), text.data() + text.size(), number, format);
    std::string_view written{text.data(), static_cast<std::size_t>(end - text.data())};
    if (const auto zero = written.find("e-0"); zero != written.npos) {
        out += written.substr(0, zero + 2);
        written.remove_prefix(zero + 3);
    }
    out += written;
}

std::string compact(std::string_view raw)
{
    std::string out;
    out.reserve(raw.size());
    bool in_string = false;
    while (!raw.empty()) {
        const char c = raw.front();
        std::size_t taken = 1;
        if (in_string && c == '\\' && raw.size() > 1) {
            out += raw.substr(0, 2);
            taken = 2;
        } else if (in_string) {
            taken = append_if_markup(out, raw);
            if (taken == 0) {
                out += c;
                taken = 1;
            }
            if (c == '"') in_string = false;
        } else if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            out += c;
            in_string = c == '"';
        }
        raw.remove_prefix(taken);
    }
    return out;
}

}  // namespace znode::grid::json
