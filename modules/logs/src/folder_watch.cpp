#include "logs/folder_watch.hpp"

#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "kernel/fd.hpp"

namespace znode::logs {

FolderWatch::FolderWatch(asio::io_context& loop) : loop_{loop}, group_{loop} {}

FolderWatch::~FolderWatch() = default;

Result<> FolderWatch::add(const std::filesystem::path& folder, Event* event)
{
    if (!inotify_) {
        kernel::Fd fd{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
        const int err = error_of(fd.get());
        if (err)
            return fail_errno(
                err,
                "watch log folders (too few inotify instances: raise "
                "fs.inotify.max_user_instances)");
        inotify_ = std::make_unique<asio::posix::stream_descriptor>(loop_, fd.release());
        group_.spawn(run());
    }
    const int watch = ::inotify_add_watch(
        inotify_->native_handle(),
        folder.c_str(),
        IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    const int err = error_of(watch);
    if (err) return fail_errno(err, "watch " + folder.string());
    watchers_[watch].push_back(event);
    return {};
}

void FolderWatch::remove(Event* event)
{
    for (auto it = watchers_.begin(); it != watchers_.end();) {
        std::erase(it->second, event);
        if (!it->second.empty()) {
            ++it;
            continue;
        }
        // Fails when the folder is gone, and the watch with it.
        (void)::inotify_rm_watch(inotify_->native_handle(), it->first);
        it = watchers_.erase(it);
    }
}

Task<> FolderWatch::stop()
{
    co_await group_.drain();
    inotify_.reset();
    watchers_.clear();
}

Task<> FolderWatch::run()
{
    alignas(inotify_event) std::array<char, 16384> buffer;
    for (;;) {
        auto [ec, size] = co_await inotify_->async_read_some(asio::buffer(buffer), as_result);
        if (ec) co_return;  // Closed.
        for (std::size_t at = 0; at + sizeof(inotify_event) <= size;) {
            inotify_event event{};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            at += sizeof event + event.len;
            if ((event.mask & IN_Q_OVERFLOW) != 0) {
                for (const auto& [watch, events] : watchers_)
                    for (auto* reader : events) reader->notify();
                continue;
            }
            const auto hit = watchers_.find(event.wd);
            if (hit == watchers_.end()) continue;
            for (auto* reader : hit->second) reader->notify();
            if ((event.mask & IN_IGNORED) != 0) watchers_.erase(hit);
        }
    }
}

}  // namespace znode::logs
