#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "async/task.hpp"

namespace znode {

/// What a look-up of a name found.
struct FoundAddresses {
    boost::system::error_code error;
    std::vector<asio::ip::address> addresses;
};

/// Looks names up in threads that may be left behind: getaddrinfo cannot be interrupted, and a dead
/// name server holds it for half a minute. Whoever waits here leaves at once when cancelled.
///
/// Callers that want one name share one look-up, and at most `per_name` threads hang for it, so
/// that dead names leave room for others. Any loop may call, each from its own thread. Threads own
/// what they touch: the object and the loops may go while they are still out.
class Resolver {
public:
    using LookUp = std::function<FoundAddresses(const std::string& host)>;

    explicit Resolver(LookUp look_up);

    /// The addresses of `host`. Waits while all threads are out. Errc::unavailable: no such name,
    /// or nobody who knows.
    Task<Result<std::vector<asio::ip::address>>> resolve(std::string host);

    static constexpr std::size_t most_threads = 16;
    /// Names that were never found have that many among them: who invents dead ones takes none from
    /// those that the node lives by.
    static constexpr std::size_t most_for_strangers = 12;
    static constexpr std::size_t per_name = 2;
    /// A look-up this old is no longer joined, as long as another one may be begun.
    static constexpr auto fresh = std::chrono::seconds{5};

private:
    struct Search;
    struct Desk;
    class Waiter;
    std::shared_ptr<Search> join_or_begin(const std::string& host, bool& no_thread);
    static void run(const std::shared_ptr<Desk>& desk, const std::shared_ptr<Search>& search);

    std::shared_ptr<Desk> desk_;
};

/// getaddrinfo, for both families.
FoundAddresses look_up_addresses(const std::string& host);

/// By the one resolver of this process; "localhost" without a look-up.
Task<Result<std::vector<asio::ip::address>>> resolve(std::string host);

}  // namespace znode
