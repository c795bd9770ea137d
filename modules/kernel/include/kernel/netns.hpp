#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/result.hpp"
#include "kernel/fd.hpp"

namespace znode::kernel {

/// Runs `work` on a thread made for it, inside of the network namespace, and waits for its end.
/// The caller's thread never changes its namespace, so the caller may be a shared lane.
[[nodiscard]] Result<> run_in_netns(int netns, const std::function<Result<>()>& work);

/// The same for work with an answer.
template <class Work>
    requires(!std::is_same_v<std::invoke_result_t<Work>, Result<>>)
[[nodiscard]] std::invoke_result_t<Work> in_netns(int netns, Work work)
{
    std::invoke_result_t<Work> answer = fail(Errc::internal, "work in a namespace gave no answer");
    const auto done = run_in_netns(netns, [&]() -> Result<> {
        answer = work();
        return {};
    });
    if (!done) return tl::unexpected(done.error());
    return answer;
}

/// Makes a network namespace and pins it: a bind mount of it over the file `pin`, which lives as
/// long as nobody unpins it. Its loopback is up. A file there that is no pin (left by a kill
/// between the file and the mount) is used. Errc::exists when a namespace is pinned there already.
///
/// The pin must lie on a mount that propagates to nobody, else it appears elsewhere too.
[[nodiscard]] Result<Fd> make_pinned_netns(const std::filesystem::path& pin);

/// Opens a pinned namespace. Errc::not_found when nothing, or no namespace, is pinned there.
[[nodiscard]] Result<Fd> open_netns(const std::filesystem::path& pin);

/// The namespace of the calling thread.
[[nodiscard]] Result<Fd> current_netns();

/// Removes the pin; the namespace ends with its last user. Succeeds when there is none.
[[nodiscard]] Result<> unpin_netns(const std::filesystem::path& pin);

/// Whether a namespace is pinned there.
[[nodiscard]] bool is_pinned_netns(const std::filesystem::path& pin);

/// Writes /proc/sys/net/… of the calling thread's network namespace; "ipv4/ip_forward".
[[nodiscard]] Result<> write_net_sysctl(const std::string& name, const std::string& value);
/// Its value without the line end.
[[nodiscard]] Result<std::string> read_net_sysctl(const std::string& name);

/// Applies an nftables script as one transaction, in a child that enters the pinned namespace
/// (empty: the caller's). The message carries what nft said.
[[nodiscard]] Result<> apply_nft(const std::string& script, const std::filesystem::path& pin = {});

}  // namespace znode::kernel
