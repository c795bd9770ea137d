#include "async/task_group.hpp"

#include <cassert>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>

namespace znode {

TaskGroup::~TaskGroup() { assert(running_.empty() && "a task group must be drained"); }

void TaskGroup::spawn(Task<> task)
{
    running_.push_back(std::make_unique<asio::cancellation_signal>());
    const auto self = std::prev(running_.end());
    auto& signal = **self;
    asio::co_spawn(
        loop_,
        std::move(task),
        asio::bind_cancellation_slot(signal.slot(), [this, self](std::exception_ptr error) {
            running_.erase(self);
            if (running_.empty() && empty_) empty_->cancel();
            if (error && !is_cancellation(error)) std::rethrow_exception(error);
        }));
    if (closing_) asio::post(loop_, [this] { cancel(); });
}

void TaskGroup::cancel()
{
    closing_ = true;
    // A cancelled task may end at once and erase itself: the list is walked by a copy.
    std::vector<asio::cancellation_signal*> all;
    for (const auto& signal : running_) all.push_back(signal.get());
    for (auto* signal : all) {
        const bool alive =
            std::ranges::any_of(running_, [&](const auto& s) { return s.get() == signal; });
        if (alive) signal->emit(asio::cancellation_type::all);
    }
}

Task<> TaskGroup::drain()
{
    // Also when whoever drains is being cancelled itself.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    cancel();
    while (!running_.empty()) {
        empty_ = std::make_unique<asio::steady_timer>(loop_, asio::steady_timer::time_point::max());
        (void)co_await empty_->async_wait(as_result);
    }
    empty_.reset();
}

}  // namespace znode
