#pragma once
// Documents to and from JSON. Every struct of this module's headers that stands for a JSON object
// can be given here; the functions are instantiated inside of the module, from one field table per
// type.
//
// Reading is as lenient as the originals: members in any case, the last of duplicates counts,
// unknown ones pass, absent or null ones are unset. Wrong types are Errc::invalid, with the path of
// the member in the message ("peers: 1: iprange: …"). Members without which an answer makes no
// sense must be there ("member reservation_id is missing"). Writing is exact: the originals'
// members in their order, unset lists null, text escaped as they do.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "grid/json.hpp"

namespace znode::grid {

template <class T>
Result<T> from_json(std::string_view text, const json::Limits& limits = {});
template <class T>
Result<T> from_json(const json::Value& value);
template <class T>
std::string to_json(const T& document);

/// A list at the top; `null` reads as empty, an empty one is written `[]`.
template <class T>
Result<std::vector<T>> list_from_json(std::string_view text, const json::Limits& limits = {});
template <class T>
std::string list_to_json(const std::vector<T>& documents);

}  // namespace znode::grid
