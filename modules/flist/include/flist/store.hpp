#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::flist {

/// A place that keeps stored blocks under their raw ids. Any thread may call; each call has a
/// deadline of its own and is one attempt: patience is the business of Content.
class BlockStore {
public:
    virtual ~BlockStore() = default;

    /// The stored bytes, unchecked. Errc::not_found: the store answers that it has no such block.
    /// Errc::unavailable or Errc::timeout: no (good) answer now. Errc::denied: it does not let us.
    virtual Result<std::string> get(std::string_view id) = 0;
    /// Keeps a block; harmless when it is there already.
    virtual Result<> put(std::string_view id, std::string_view stored) = 0;
    /// Whether the block is there.
    virtual Result<bool> has(std::string_view id) = 0;
    /// Where it is, without password.
    virtual std::string text() const = 0;
};

/// How long one attempt may take.
inline constexpr std::chrono::milliseconds attempt_patience{10'000};

/// Where a store may be.
enum class Reach {
    anywhere,
    elsewhere,  ///< On another machine: what its name leads to on this one, is not asked.
};

/// Opens a store by URL: `zdb://` and `redis://[[user][:password]@]host[:port][/namespace]`, either
/// with the path of a unix socket in place of host and port, or `dir:///path`. No connection is
/// made yet. Errc::invalid says what is wrong with the URL and never repeats its password.
Result<std::unique_ptr<BlockStore>> open_store(
    const Secret& url,
    std::chrono::milliseconds patience = attempt_patience,
    Reach reach = Reach::anywhere);

/// The URL of a `--store` argument: itself, or the first line of `@FILE` or `@FD:N`, so that a
/// password needs not be in a command line.
Result<Secret> store_url(std::string_view argument);

}  // namespace znode::flist
