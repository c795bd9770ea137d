#pragma once

#include <memory>
#include <set>
#include <string>

#include "async/event.hpp"

namespace znode {

/// Lets one coroutine of a loop at a time work on a name; others, on other names, go on.
///
/// Guards may outlive it: frames that nobody resumes end with the loop.
class NameLocks {
    struct Names {
        explicit Names(asio::io_context& loop) : released{loop} {}
        std::set<std::string> entered;
        Event released;
    };

public:
    explicit NameLocks(asio::io_context& loop) : names_{std::make_shared<Names>(loop)} {}

    /// Holds a name until it is destroyed, which a cancelled coroutine does as well.
    class [[nodiscard]] Guard {
    public:
        Guard(Guard&&) = default;
        Guard& operator=(Guard&&) = delete;
        ~Guard()
        {
            const auto names = names_.lock();
            if (!names) return;  // Moved from, or all is over.
            names->entered.erase(name_);
            names->released.notify();
        }

    private:
        friend class NameLocks;
        Guard(const std::shared_ptr<Names>& names, std::string name)
            : names_{names}, name_{std::move(name)}
        {
        }
        std::weak_ptr<Names> names_;
        std::string name_;
    };

    /// Waits until nobody holds the name.
    Task<Guard> enter(std::string name)
    {
        while (names_->entered.contains(name)) co_await names_->released.wait();
        names_->entered.insert(name);
        co_return Guard{names_, std::move(name)};
    }

private:
    std::shared_ptr<Names> names_;
};

}  // namespace znode
