#pragma once

#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

#include "base/result.hpp"

namespace znode {

namespace asio = boost::asio;

/// A coroutine of the event loop. Lazy: nothing happens before it is awaited or spawned.
template <class T = void>
using Task = asio::awaitable<T>;

/// For Asio's initiating functions: `auto [ec, n] = co_await socket.async_read_some(b, as_result);`
inline constexpr auto as_result = asio::as_tuple(asio::use_awaitable);

using Clock = std::chrono::steady_clock;
using Duration = std::chrono::steady_clock::duration;

/// Waits. Ends early (without an error) when the task is cancelled; the next await then throws.
///
/// That holds for every await of a cancelled task: Asio throws operation_aborted before it begins
/// anything new. Loops need no check of their own; clean-up that awaits must first call
/// `co_await asio::this_coro::reset_cancellation_state()`.
inline Task<> sleep_for(Duration duration)
{
    asio::steady_timer timer{co_await asio::this_coro::executor};
    timer.expires_after(duration);
    (void)co_await timer.async_wait(as_result);
}

/// Whether an exception is the cancellation that Asio throws into a coroutine.
bool is_cancellation(const std::exception_ptr& error) noexcept;

/// Takes a Result that ended by a network error and says what was tried.
[[nodiscard]] tl::unexpected<Error> fail_net(
    std::string_view intent, const boost::system::error_code& ec);

/// Runs `work` until it ends or `stop` does; empty if `stop` was first. The loser is cancelled
/// and waited for, cleanup included.
///
/// Asio's `||` drops an exception when the other side ends well. A bug must not hide like that.
template <class T>
Task<std::optional<T>> run_until(Task<> stop, Task<T> work)
{
    const auto loop = co_await asio::this_coro::executor;
    auto race = asio::experimental::make_parallel_group(
        asio::co_spawn(loop, std::move(work), asio::deferred),
        asio::co_spawn(loop, std::move(stop), asio::deferred));

    auto ended = co_await race.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    auto& [order, work_error, value, stop_error] = ended;

    const bool stopped = order[0] == 1;
    const auto& winner = stopped ? stop_error : work_error;
    const auto& loser = stopped ? work_error : stop_error;
    if (winner) std::rethrow_exception(winner);
    if (loser && !is_cancellation(loser)) std::rethrow_exception(loser);

    if (stopped) co_return std::nullopt;
    co_return std::optional<T>{std::move(value)};
}

/// Runs `work` for at most `patience`; afterwards Errc::timeout, "intent: no answer after N ms".
template <class T>
Task<Result<T>> with_deadline(Duration patience, std::string intent, Task<Result<T>> work)
{
    auto outcome = co_await run_until(sleep_for(patience), std::move(work));
    if (outcome) co_return std::move(*outcome);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
    co_return fail(Errc::timeout, intent + ": not done after " + std::to_string(ms) + " ms");
}

/// Drives one task on `loop` until it ends; for `main` and for tests.
template <class T>
T run(asio::io_context& loop, Task<T> task)
{
    std::optional<T> value;
    std::exception_ptr error;
    asio::co_spawn(loop, std::move(task), [&](std::exception_ptr failed, T got) {
        error = failed;
        if (!failed) value.emplace(std::move(got));
        loop.stop();
    });
    loop.restart();
    loop.run();
    if (error) std::rethrow_exception(error);
    return std::move(*value);
}
inline void run(asio::io_context& loop, Task<> task)
{
    std::exception_ptr error;
    asio::co_spawn(loop, std::move(task), [&](std::exception_ptr failed) {
        error = failed;
        loop.stop();
    });
    loop.restart();
    loop.run();
    if (error) std::rethrow_exception(error);
}

}  // namespace znode
