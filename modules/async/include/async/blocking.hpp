#pragma once

#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
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
    ///
    /// Only the work itself visits the pool, never a coroutine: one that Asio (1.81) spawns on
    /// another thread's executor shares its cancellation slot and its recycled frames with the
    /// caller, without a lock, and a caller that goes on at once races with the end of it.
    template <std::invocable Work>
        requires std::is_trivially_destructible_v<Work>
    Task<std::invoke_result_t<Work>> run(Work work)
    {
        using Value = std::invoke_result_t<Work>;
        const auto loop = co_await asio::this_coro::executor;
        std::exception_ptr error;
        std::optional<std::conditional_t<std::is_void_v<Value>, std::monostate, Value>> value;
        const auto visit = [&] {
            try {
                if constexpr (std::is_void_v<Value>) {
                    work();
                    value.emplace();
                } else {
                    value.emplace(work());
                }
            } catch (...) {
                error = std::current_exception();
            }
        };
        const auto begin = [&](auto resume) {
            asio::post(
                pool_,
                [&visit, resume = std::move(resume), busy = asio::make_work_guard(loop)]() mutable {
                    visit();
                    // From here on the frame may be gone: only what the handler owns is touched.
                    asio::post(busy.get_executor(), std::move(resume));
                });
        };
        // The handler's cancellation slot stays empty: begun work ends by itself.
        co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(
            begin, asio::use_awaitable);
        if (error) std::rethrow_exception(error);
        if constexpr (!std::is_void_v<Value>) co_return std::move(*value);
    }

private:
    asio::thread_pool pool_;
};

}  // namespace znode
