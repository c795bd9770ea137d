#pragma once

#include <concepts>
#include <type_traits>

#include <boost/asio/thread_pool.hpp>

#include "async/task.hpp"

namespace znode {

/// Takes kernel work that may block away from the event loop.
///
/// Work, once begun, is never abandoned: a mount in progress cannot be taken back, so the
/// caller stays suspended until the kernel answers and only then sees its cancellation.
class Blocking {
public:
    /// `lanes` threads; with one lane the work runs strictly in order.
    explicit Blocking(std::size_t lanes) : pool_{lanes} {}
    ~Blocking() { pool_.join(); }
    Blocking(const Blocking&) = delete;
    Blocking& operator=(const Blocking&) = delete;

    /// Runs `work` on the pool and resumes the caller where it was.
    ///
    /// Work captures by reference; the awaiting frame outlives it. The constraint says so.
    template <std::invocable Work>
        requires std::is_trivially_destructible_v<Work>
    Task<std::invoke_result_t<Work>> run(Work work)
    {
        co_return co_await asio::co_spawn(pool_, on_pool(work), asio::use_awaitable);
    }

private:
    template <class Work>
    static Task<std::invoke_result_t<Work>> on_pool(Work work)
    {
        // Hears of no cancellation: begun work ends by itself.
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_return work();
    }

    asio::thread_pool pool_;
};

}  // namespace znode
