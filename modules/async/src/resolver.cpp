#include "resolver.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <netdb.h>
#include <pthread.h>
#include <set>
#include <system_error>
#include <thread>

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>

namespace znode {
namespace {

/// Names beyond that many stay strangers.
constexpr std::size_t most_known = 1024;

boost::system::error_code error_of_look_up(int code, int number)
{
    switch (code) {
        case 0:
            return {};
        case EAI_SYSTEM:
            return {number, boost::system::system_category()};
        case EAI_AGAIN:
            return asio::error::host_not_found_try_again;
        case EAI_MEMORY:
            return asio::error::no_memory;
        case EAI_NONAME:
        case EAI_NODATA:
        case EAI_ADDRFAMILY:
            return asio::error::host_not_found;
        default:
            return asio::error::no_recovery;
    }
}

/// Signals are the loop's, not those of a thread that hangs.
class SignalsHeldBack {
public:
    SignalsHeldBack()
    {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsHeldBack() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsHeldBack(const SignalsHeldBack&) = delete;
    SignalsHeldBack& operator=(const SignalsHeldBack&) = delete;

private:
    sigset_t before_{};
};

}  // namespace

/// One thread's work. All but the constants is protected by the desk's mutex.
struct Resolver::Search {
    std::string host;
    Clock::time_point begun;
    bool done = false;
    FoundAddresses found;
    std::vector<asio::steady_timer*> waiters;
};

struct Resolver::Desk {
    LookUp look_up;  // Constant.
    std::mutex mutex;
    std::vector<std::shared_ptr<Search>> under_way;
    std::set<std::string> known;  // Names that were found.
};

/// One caller's place in a search, for as long as its frame lives.
class Resolver::Waiter {
public:
    Waiter(
        std::shared_ptr<Desk> desk,
        std::shared_ptr<Search> search,
        const asio::any_io_executor& loop)
        : desk_{std::move(desk)}, search_{std::move(search)}, timer_{loop, Clock::time_point::max()}
    {
        const std::scoped_lock lock{desk_->mutex};
        search_->waiters.push_back(&timer_);
    }
    ~Waiter()
    {
        const std::scoped_lock lock{desk_->mutex};
        std::erase(search_->waiters, &timer_);
    }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    bool is_done() const
    {
        const std::scoped_lock lock{desk_->mutex};
        return search_->done;
    }
    asio::steady_timer& timer() { return timer_; }

private:
    std::shared_ptr<Desk> desk_;
    std::shared_ptr<Search> search_;
    asio::steady_timer timer_;
};

Resolver::Resolver(LookUp look_up) : desk_{std::make_shared<Desk>()}
{
    desk_->look_up = std::move(look_up);
}

/// The thread's side.
void Resolver::run(const std::shared_ptr<Desk>& desk, const std::shared_ptr<Search>& search)
{
    auto found = desk->look_up(search->host);
    const std::scoped_lock lock{desk->mutex};
    std::erase(desk->under_way, search);
    if (!found.error && desk->known.size() < most_known) desk->known.insert(search->host);
    search->found = std::move(found);
    search->done = true;
    // A waiter is listed for as long as its loop exists; it is woken by that loop, if it is still
    // there by then.
    for (auto* const waiter : search->waiters)
        asio::post(waiter->get_executor(), [desk, search, waiter] {
            const std::scoped_lock still{desk->mutex};
            if (std::ranges::find(search->waiters, waiter) != search->waiters.end())
                waiter->cancel();
        });
}

/// Null when all threads are out, or none can be had.
std::shared_ptr<Resolver::Search> Resolver::join_or_begin(const std::string& host, bool& no_thread)
{
    const std::scoped_lock lock{desk_->mutex};
    auto& all = desk_->under_way;
    std::shared_ptr<Search> youngest;
    std::size_t same = 0;
    for (const auto& search : all) {
        if (search->host != host) continue;
        ++same;
        youngest = search;  // They are in the order of their begin.
    }
    const auto most = desk_->known.contains(host) ? most_threads : most_for_strangers;
    const bool full = same >= per_name || all.size() >= most;
    if (youngest && (full || Clock::now() - youngest->begun < fresh)) return youngest;
    if (full) return nullptr;

    auto search = std::make_shared<Search>();
    search->host = host;
    search->begun = Clock::now();
    try {
        const SignalsHeldBack held;
        std::thread{[desk = desk_, search] { run(desk, search); }}.detach();
    } catch (const std::system_error&) {
        no_thread = true;
        return nullptr;
    }
    all.push_back(search);
    return search;
}

Task<Result<std::vector<asio::ip::address>>> Resolver::resolve(std::string host)
{
    constexpr auto full_pause = std::chrono::milliseconds{50};
    const auto loop = co_await asio::this_coro::executor;
    std::shared_ptr<Search> search;
    for (;;) {
        bool no_thread = false;
        search = join_or_begin(host, no_thread);
        if (search) break;
        if (no_thread) co_return fail(Errc::exhausted, "look up " + host + ": no thread to be had");
        co_await sleep_for(full_pause);
    }
    Waiter waiter{desk_, search, loop};
    while (!waiter.is_done()) {
        (void)co_await waiter.timer().async_wait(as_result);
        const auto state = co_await asio::this_coro::cancellation_state;
        if (state.cancelled() != asio::cancellation_type::none)
            co_return fail(Errc::cancelled, "look up " + host);
    }
    // Once done, it is changed by nobody.
    if (search->found.error) co_return fail_net("look up " + host, search->found.error);
    co_return search->found.addresses;
}

FoundAddresses look_up_addresses(const std::string& host)
{
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    FoundAddresses found{.error = error_of_look_up(code, errno), .addresses = {}};
    if (code != 0) return found;
    for (const auto* one = list; one != nullptr; one = one->ai_next) {
        asio::ip::tcp::endpoint end;
        if (one->ai_addrlen > end.capacity()) continue;
        std::memcpy(end.data(), one->ai_addr, one->ai_addrlen);
        found.addresses.push_back(end.address());
    }
    ::freeaddrinfo(list);
    if (found.addresses.empty()) found.error = asio::error::host_not_found;
    return found;
}

Task<Result<std::vector<asio::ip::address>>> resolve(std::string host)
{
    if (host == "localhost")
        co_return std::vector<asio::ip::address>{
            asio::ip::address_v4::loopback(), asio::ip::address_v6::loopback()};
    // Bounds the threads of the whole process.
    static Resolver resolver{look_up_addresses};
    co_return co_await resolver.resolve(std::move(host));
}

}  // namespace znode
