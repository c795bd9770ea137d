#pragma once
// How the protocol reads words, numbers and secrets.

#include <cstdint>
#include <string>
#include <string_view>

namespace znode::zdb {

inline constexpr std::string_view unexpected_arguments = "Unexpected arguments";
inline constexpr std::string_view namespace_not_found = "Namespace not found";

/// Whether `name`, in capitals, begins with `word` in any case.
bool is_prefix(std::string_view word, std::string_view name) noexcept;
std::string in_capitals(std::string_view word);

/// sha1(nonce ":" secret) as hex; the answer to a challenge.
std::string challenge_answer(std::string_view nonce, std::string_view secret);
/// Compares in constant time for equal lengths.
bool same_secret(std::string_view left, std::string_view right);

/// atoll into the unsigned type: what is no number is 0, -1 is the largest.
std::uint64_t lenient_number(std::string_view text);

}  // namespace znode::zdb
