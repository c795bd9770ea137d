#pragma once
// What the agent and znode-holder say to each other about descriptors. The holder is older than the
// agent after each upgrade and is never replaced: this only grows.
//
// A SOCK_SEQPACKET socket in the runtime folder; one request and one answer per connection, both
// text. "put NAME" comes with one descriptor (SCM_RIGHTS), "get NAME" is answered with one, "drop
// NAME" forgets it, "drop-prefix BEGIN" all whose names begin so (holders before it answer
// "unknown"); an unknown word is answered "unknown". Names: 1 to 63 bytes, no blanks.

#include <cstddef>

namespace znode::kernel::descriptor_wire {

inline constexpr const char* socket_name = "holder.sock";
inline constexpr std::size_t name_size = 64;     ///< With the NUL.
inline constexpr std::size_t message_size = 96;  ///< Of any message.

inline constexpr const char* done = "ok";
inline constexpr const char* none = "none";        ///< No descriptor of this name.
inline constexpr const char* full = "full";        ///< No place for another one.
inline constexpr const char* unknown = "unknown";  ///< Not understood.

}  // namespace znode::kernel::descriptor_wire
