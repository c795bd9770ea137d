#pragma once

#include <deque>
#include <utility>

#include "async/task.hpp"

namespace znode {

/// Wakes coroutines of one loop. `notify` wakes everybody who waits now, and leaves one mark when
/// nobody does, so that a notice between two waits is not lost.
class Event {
public:
    explicit Event(asio::io_context& loop) : timer_{loop, Clock::time_point::max()} {}

    void notify()
    {
        marked_ = true;
        timer_.cancel();
    }

    /// Ends at the next notice; at once when one came since the last wait ended. Ends as well when
    /// cancelled.
    Task<> wait()
    {
        if (!marked_) (void)co_await timer_.async_wait(as_result);
        marked_ = false;
    }

    /// Same, but gives up after `patience`; true when notified.
    Task<bool> wait_for(Duration patience)
    {
        if (!marked_) {
            timer_.expires_after(patience);
            (void)co_await timer_.async_wait(as_result);
            timer_.expires_at(Clock::time_point::max());
        }
        co_return std::exchange(marked_, false);
    }

private:
    asio::steady_timer timer_;
    bool marked_ = false;
};

/// First in, first out, one reader. Pushing never waits; bound the number of producers instead.
template <class T>
class Mailbox {
public:
    explicit Mailbox(asio::io_context& loop) : arrived_{loop} {}

    void push(T letter)
    {
        letters_.push_back(std::move(letter));
        arrived_.notify();
    }
    Task<T> pop()
    {
        // Cancelled: the wait ends, and the next one throws.
        while (letters_.empty()) co_await arrived_.wait();
        T letter = std::move(letters_.front());
        letters_.pop_front();
        co_return letter;
    }
    bool empty() const noexcept { return letters_.empty(); }

private:
    std::deque<T> letters_;
    Event arrived_;
};

}  // namespace znode
