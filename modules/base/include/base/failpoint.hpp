#pragma once
// Failpoints: named places where a test makes the program die, fail or wait. In builds without
// ZNODE_FAILPOINTS they are nothing at all.
//
// `ZNODE_FAILPOINTS="engine.deploy.volume=kill;store.commit=delay:200@3"`: name = what, `@n` = only
// the n-th time the point is reached. What: kill (SIGKILL to ourselves), abort, delay:MS, or an
// errno name in lower case (eio, enospc, enomem, eagain).

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace znode {

/// Every name that FP and FP_TRY mention in this binary, sorted. Filled before main by the points
/// themselves.
std::vector<std::string> failpoints();

#ifdef ZNODE_FAILPOINTS
namespace detail {

/// One place in the code; registers its name when the program is loaded.
template <std::size_t N>
struct FailpointName {
    char text[N];
    // NOLINTNEXTLINE(google-explicit-constructor): a literal becomes a template argument.
    consteval FailpointName(const char (&literal)[N])
    {
        for (std::size_t i = 0; i < N; ++i) text[i] = literal[i];
    }
};
bool register_failpoint(const char* name);
template <FailpointName Name>
inline const bool failpoint_registered = register_failpoint(Name.text);

/// 0, or the errno that the environment asks for here. May not return at all.
int reach_failpoint(const char* name);

template <FailpointName Name>
int reach()
{
    (void)failpoint_registered<Name>;
    return reach_failpoint(Name.text);
}
}  // namespace detail

/// Returns the asked-for failure from the enclosing function, which returns a Result.
#define FP(name)                                                   \
    do {                                                           \
        if (const int fp_err = ::znode::detail::reach<name>())     \
            return ::znode::fail_errno(fp_err, "failpoint " name); \
    } while (false)
/// The same inside of a coroutine.
#define CO_FP(name)                                                   \
    do {                                                              \
        if (const int fp_err = ::znode::detail::reach<name>())        \
            co_return ::znode::fail_errno(fp_err, "failpoint " name); \
    } while (false)
#else
#define FP(name) \
    do {         \
    } while (false)
#define CO_FP(name) FP(name)
#endif

}  // namespace znode
