#pragma once
// RESP2 without I/O: commands to bytes, bytes to replies.

#include <initializer_list>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace znode::redis {

/// What a server answered.
struct Reply {
    enum class Kind { nil, status, error, integer, text, array };
    Kind kind = Kind::nil;
    std::string text = {};  ///< Of status, error and text.
    long long number = 0;
    std::list<Reply> items = {};
};

/// Appends a command as an array of bulk strings: every byte of an argument stays an argument, so
/// line ends and blanks in foreign text cannot begin another command.
void append_command(std::string& to, std::initializer_list<std::string_view> arguments);

/// Takes bytes as they come and gives back replies. Not usable any more after an error.
class Parser {
public:
    /// A reply that needs more than `largest` bytes is an error: the server may be anybody's.
    explicit Parser(std::size_t largest = std::size_t{16} << 20U);
    ~Parser();
    Parser(Parser&&) noexcept;
    Parser& operator=(Parser&&) noexcept;

    [[nodiscard]] Result<> feed(std::string_view bytes);
    /// The next complete reply, or nothing. Errc::corrupt when this is no RESP.
    [[nodiscard]] Result<std::optional<Reply>> next();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace znode::redis
