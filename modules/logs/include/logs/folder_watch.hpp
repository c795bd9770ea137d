#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "async/event.hpp"
#include "async/task_group.hpp"
#include "base/result.hpp"

namespace znode::logs {

/// Tells readers that files in their folder grew. One inotify instance for all of them (the kernel
/// allows a user few instances and many watches); nothing wakes up while nobody writes.
class FolderWatch {
public:
    explicit FolderWatch(asio::io_context& loop);
    /// `stop` must have run before.
    ~FolderWatch();

    /// Wakes `event` at every change in the folder from now on. The event must live until
    /// `remove`. Errc::not_found while there is no such folder.
    [[nodiscard]] Result<> add(const std::filesystem::path& folder, Event* event);
    void remove(Event* event);

    /// Ends its task. Call before the loop ends.
    Task<> stop();

private:
    Task<> run();

    asio::io_context& loop_;
    TaskGroup group_;
    std::unique_ptr<asio::posix::stream_descriptor> inotify_;
    std::map<int, std::vector<Event*>> watchers_;
};

}  // namespace znode::logs
