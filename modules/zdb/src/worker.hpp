#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace znode::zdb {

/// One thread for work on files that nobody else touches any more: hints, flushing. What it is
/// given owns all that it needs.
class Worker {
public:
    Worker() : thread_{[this](std::stop_token stop) { work(std::move(stop)); }} {}
    ~Worker()
    {
        thread_.request_stop();
        wake_.notify_all();
    }

    void post(std::function<void()> job)
    {
        {
            const std::scoped_lock lock{guard_};
            jobs_.push_back(std::move(job));
        }
        wake_.notify_one();
    }

private:
    void work(std::stop_token stop)
    {
        std::unique_lock lock{guard_};
        while (wake_.wait(lock, stop, [this] { return !jobs_.empty(); })) {
            const auto job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
    }

    std::mutex guard_;
    std::condition_variable_any wake_;
    std::deque<std::function<void()>> jobs_;
    std::jthread thread_;  // Last: it uses the members above.
};

}  // namespace znode::zdb
