#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.hpp"

namespace znode::kernel {

/// Makes a user namespace in which ids 0… are the host's `first`… (`length` of them), and a network
/// namespace that belongs to it, and pins both as files `user_pin` and `network_pin` (made here;
/// their folder exists and is on a private mount). Unprivileged ping is allowed inside, since
/// containers have no CAP_NET_RAW.
///
/// Forks a child that does nothing but wait; may be called from any thread. About 1 ms. On failure
/// no pin is left.
[[nodiscard]] Result<> make_user_and_network(
    std::uint32_t first,
    std::uint32_t length,
    const std::filesystem::path& user_pin,
    const std::filesystem::path& network_pin);

/// Removes a pin; the namespace ends with its last user. Succeeds when there is none.
[[nodiscard]] Result<> unpin(const std::filesystem::path& pin);

/// Whether a namespace is pinned there (and not just a file lies there).
[[nodiscard]] bool is_pinned(const std::filesystem::path& pin);

}  // namespace znode::kernel
