#pragma once

#include <cctype>
#include <string>
#include <string_view>
#include <vector>

namespace znode::test {

/// A terminal's screen, as much of it as full-screen programs here use: text, CR, LF, CSI H, J, K,
/// m and the private modes. Feed it what the program wrote, then look at the rows.
class Terminal {
public:
    Terminal(std::size_t rows, std::size_t columns) : columns_{columns}, cells_(rows) { clear(); }

    void feed(std::string_view bytes)
    {
        pending_ += bytes;
        std::size_t at = 0;
        while (at < pending_.size()) {
            const auto used = take(std::string_view{pending_}.substr(at));
            if (used == 0) break;
            at += used;
        }
        pending_.erase(0, at);
    }

    /// The characters of a row, without blanks at its end.
    std::string row(std::size_t index) const
    {
        std::string text;
        for (const auto& cell : cells_.at(index)) text += cell;
        while (text.ends_with(' ')) text.pop_back();
        return text;
    }
    bool alternate() const noexcept { return alternate_; }
    bool cursor_hidden() const noexcept { return cursor_hidden_; }
    bool overflowed() const noexcept { return overflowed_; }

private:
    void clear()
    {
        for (auto& line : cells_) line.assign(columns_, " ");
    }

    /// Bytes used up, 0 when the rest of a sequence is yet to come.
    std::size_t take(std::string_view text)
    {
        const auto first = static_cast<unsigned char>(text.front());
        if (first == 0x1b) return take_escape(text);
        if (first == '\r') return column_ = 0, 1;
        if (first == '\n') {
            if (row_ + 1 < cells_.size())
                ++row_;
            else
                overflowed_ = true;
            return 1;
        }
        const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
        if (text.size() < length) return 0;
        if (column_ < columns_)
            cells_[row_][column_++] = std::string{text.substr(0, length)};
        else
            overflowed_ = true;
        return length;
    }

    std::size_t take_escape(std::string_view text)
    {
        if (text.size() < 2) return 0;
        if (text[1] != '[') return 2;
        std::size_t end = 2;
        while (end < text.size() && std::isalpha(static_cast<unsigned char>(text[end])) == 0) ++end;
        if (end == text.size()) return 0;
        const auto arguments = text.substr(2, end - 2);
        switch (text[end]) {
            case 'H':
                row_ = column_ = 0;
                break;
            case 'J':
                clear();
                break;
            case 'K':
                for (auto i = column_; i < columns_; ++i) cells_[row_][i] = " ";
                break;
            case 'h':
            case 'l':
                if (arguments == "?1049") alternate_ = text[end] == 'h';
                if (arguments == "?25") cursor_hidden_ = text[end] == 'l';
                break;
            default:
                break;
        }
        return end + 1;
    }

    std::size_t columns_;
    std::vector<std::vector<std::string>> cells_;
    std::string pending_;
    std::size_t row_ = 0;
    std::size_t column_ = 0;
    bool alternate_ = false;
    bool cursor_hidden_ = false;
    bool overflowed_ = false;
};

}  // namespace znode::test
