#pragma once

#include <deque>
#include <memory>

#include "async/task.hpp"

namespace znode {

/// Lets one coroutine of a loop at a time through a stretch that awaits. First come, first served.
///
/// Must outlive its guards. A waiter that is cancelled leaves the queue.
class Mutex {
public:
    explicit Mutex(asio::io_context& loop) : loop_{loop} {}
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;

    /// Holds the mutex until it is destroyed.
    class [[nodiscard]] Guard {
    public:
        explicit Guard(Mutex& mutex) noexcept : mutex_{&mutex} {}
        Guard(Guard&& other) noexcept : mutex_{std::exchange(other.mutex_, nullptr)} {}
        Guard& operator=(Guard&&) = delete;
        ~Guard()
        {
            if (mutex_ != nullptr) mutex_->leave();
        }

    private:
        Mutex* mutex_;
    };

    Task<Guard> lock()
    {
        if (!held_) {
            held_ = true;
            co_return Guard{*this};
        }
        const auto turn = std::make_shared<Turn>(loop_);
        waiting_.push_back(turn);
        const Leave leave{*this, turn};
        while (!turn->mine) (void)co_await turn->timer.async_wait(as_result);
        co_return Guard{*this};
    }

private:
    struct Turn {
        explicit Turn(asio::io_context& loop) : timer{loop, Clock::time_point::max()} {}
        asio::steady_timer timer;
        bool mine = false;
    };
    struct Leave {
        Mutex& mutex;
        std::shared_ptr<Turn> turn;
        ~Leave() { std::erase(mutex.waiting_, turn); }
    };

    /// Hands over without letting go, so that nobody overtakes the queue.
    void leave()
    {
        if (waiting_.empty()) {
            held_ = false;
            return;
        }
        const auto next = waiting_.front();
        waiting_.pop_front();
        next->mine = true;
        next->timer.cancel();
    }

    asio::io_context& loop_;
    std::deque<std::shared_ptr<Turn>> waiting_;
    bool held_ = false;
};

}  // namespace znode
