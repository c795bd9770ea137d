#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>

#include <boost/asio/cancellation_signal.hpp>

#include "async/task.hpp"

namespace znode {

/// Work that runs beside its creator. Nothing in znode is detached: what runs, runs in a group,
/// and `drain` ends the group.
///
/// Used from the event loop only; must be drained before it dies and must outlive its tasks.
class TaskGroup {
public:
    explicit TaskGroup(asio::io_context& loop) : loop_{loop} {}
    ~TaskGroup();
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;

    /// Starts the task at the loop's next turn. An exception that is no cancellation is a bug and
    /// leaves `io_context::run`.
    void spawn(Task<> task);

    /// Asks every task to end, without waiting. New tasks are cancelled at birth from here on.
    void cancel();

    /// Cancels all and waits for the last one's cleanup.
    Task<> drain();

    std::size_t size() const noexcept { return running_.size(); }

private:
    asio::io_context& loop_;
    std::list<std::unique_ptr<asio::cancellation_signal>> running_;
    bool closing_ = false;
    std::unique_ptr<asio::steady_timer> empty_;
};

}  // namespace znode
