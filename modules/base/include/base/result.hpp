#pragma once
// How failure travels through znode.
//
// A failure is a value: undoing a half-built workload takes time, and `co_await` is not allowed
// inside a catch block, so whoever cleans up must hold the error rather than chase it.
// Exceptions are left for bugs, which end the process, and for cancellation, which unwinds.

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace znode {

/// What a caller can do about it, rather than where it came from.
enum class Errc {
    invalid,      ///< The request is wrong and stays wrong: tell who asked.
    not_found,    ///< What was asked for does not exist.
    exists,       ///< It exists already, with other properties or another owner.
    denied,       ///< The asker has no right to it.
    exhausted,    ///< No room, no memory, no free number: refuse new work, retry when freed.
    unavailable,  ///< A neighbour or device does not answer (well) now: retry with back-off.
    timeout,      ///< A deadline passed: retry or give up; the outcome is unknown.
    unsupported,  ///< This kernel, program or build cannot do it: degrade and say so.
    corrupt,      ///< Stored data fails its checks: quarantine, never serve.
    cancelled,    ///< We stopped it ourselves.
    internal,     ///< A broken promise of our own code.
};

/// The word used in logs and JSON ("invalid", "not_found", …).
std::string_view to_string(Errc code) noexcept;

struct Error {
    Errc code = Errc::internal;
    std::string message;

    /// Prefixes the intent that failed: "mount /a: busy" becomes "start web: mount /a: busy".
    Error during(std::string_view intent) &&
    {
        return {code, std::string{intent} + ": " + std::move(message)};
    }
    Error during(std::string_view intent) const& { return Error{*this}.during(intent); }
};

template <class T = void>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string message)
{
    return tl::unexpected<Error>{Error{code, std::move(message)}};
}

/// errno of a call that just failed, or 0. Ask first: building a message may overwrite it.
[[nodiscard]] inline int error_of(long returned) noexcept { return returned < 0 ? errno : 0; }

/// What a caller can do about an errno.
[[nodiscard]] Errc errc_of_errno(int err) noexcept;

/// "intent: No space left on device", with the code that fits the errno.
[[nodiscard]] tl::unexpected<Error> fail_errno(int err, std::string_view intent);

#define ZNODE_CAT_(a, b) a##b
#define ZNODE_CAT(a, b) ZNODE_CAT_(a, b)
#define ZNODE_TRY_(ret, tmp, decl, ...)                     \
    auto tmp = __VA_ARGS__;                                 \
    if (!tmp) ret ::tl::unexpected(std::move(tmp).error()); \
    decl = *std::move(tmp)
#define ZNODE_TRY_DO_(ret, tmp, ...)                            \
    do {                                                        \
        auto tmp = __VA_ARGS__;                                 \
        if (!tmp) ret ::tl::unexpected(std::move(tmp).error()); \
    } while (false)

/// `TRY(auto path, layout.path_of(id));` binds the value or returns the error.
#define TRY(decl, ...) ZNODE_TRY_(return, ZNODE_CAT(try_, __LINE__), decl, __VA_ARGS__)
#define CO_TRY(decl, ...) ZNODE_TRY_(co_return, ZNODE_CAT(try_, __LINE__), decl, __VA_ARGS__)
/// `TRY_DO(mount(x));` for a Result<> of which only the failure matters.
#define TRY_DO(...) ZNODE_TRY_DO_(return, ZNODE_CAT(try_, __LINE__), __VA_ARGS__)
#define CO_TRY_DO(...) ZNODE_TRY_DO_(co_return, ZNODE_CAT(try_, __LINE__), __VA_ARGS__)

}  // namespace znode
