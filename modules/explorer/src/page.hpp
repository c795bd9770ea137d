#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "explorer/node_api.hpp"
#include "grid/json.hpp"

namespace znode::explorer {

using ReadEntry = std::function<PollEntry(const grid::json::Value&)>;

PollEntry read_entry(const grid::json::Value& value);
PollEntry read_legacy_entry(const grid::json::Value& value, std::string_view node_id);

/// Takes a page of work apart while it comes, so that what a page costs does not depend on its
/// size: entries beyond `room` are not kept, only their least id is.
class PageReader {
public:
    PageReader(ReadEntry read, std::size_t room) : read_{std::move(read)}, room_{room} {}

    /// Errc::invalid for what is no list, Errc::exhausted for a page that does not end.
    [[nodiscard]] Result<> feed(std::string_view bytes);
    /// After the last byte. Errc::invalid when the list has no end.
    [[nodiscard]] Result<> end() const;

    std::vector<PollEntry> entries;
    std::int64_t left_out_from = 0;  ///< 0: all were kept.

private:
    enum class At : std::uint8_t { before, null, list, element, after };

    Result<> begin(char c);
    Result<> take(char c);
    Result<> finish();

    ReadEntry read_;
    std::size_t room_;
    At at_ = At::before;
    std::string text_;  // Of the element, or the word `null`.
    std::size_t depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
    bool too_long_ = false;
    bool wants_element_ = false;  // After a comma.
    std::size_t fed_ = 0;
    std::size_t kept_ = 0;
};

}  // namespace znode::explorer
