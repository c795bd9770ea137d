#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace google::protobuf {
class Message;
}

namespace znode::status {

/// The JSON mapping of a message: original field names, zero values printed, one line without a
/// newline at its end; `pretty` breaks lines for people.
std::string to_json(const google::protobuf::Message& message, bool pretty = false);

/// Fills `message` from JSON; members it does not know are left out. Errc::invalid when the text is
/// no JSON or a member has the wrong type.
Result<> from_json(std::string_view json, google::protobuf::Message& message);

/// The text as a log line's content: as it is when it is UTF-8, else as bytes.
bool is_utf8(std::string_view text) noexcept;

}  // namespace znode::status
