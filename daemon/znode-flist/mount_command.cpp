#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <pthread.h>
#include <thread>

#include <fmt/format.h>

#include "base/text.hpp"
#include "flist/mount.hpp"
#include "flist/owners.hpp"
#include "kernel/files.hpp"
#include "kernel/mount.hpp"
#include "opened.hpp"

namespace znode::flist {
namespace {

constexpr std::string_view ready_word = "ready\n";

/// The parent's side of going to the background: repeats what the child says about its start.
[[noreturn]] void wait_for_start(const kernel::Fd& from_child)
{
    std::string said;
    char buffer[512];
    for (;;) {
        const auto got =
            kernel::retry_eintr([&] { return ::read(from_child.get(), buffer, sizeof buffer); });
        if (got <= 0) break;
        said.append(buffer, static_cast<std::size_t>(got));
        if (said == ready_word) ::_exit(0);
    }
    ::_exit(1);  // Its message is on our stderr already.
}

/// Called before any thread exists. The child keeps stderr until it is ready.
Result<kernel::Fd> go_to_background()
{
    int ends[2];
    const int err = error_of(::pipe2(ends, O_CLOEXEC));
    if (err) return fail_errno(err, "make a pipe");
    kernel::Fd from_child{ends[0]};
    kernel::Fd to_parent{ends[1]};
    const pid_t child = ::fork();
    const int no_child = error_of(child);
    if (no_child) return fail_errno(no_child, "go to the background");
    if (child > 0) {
        to_parent.close();
        wait_for_start(from_child);
    }
    ::setsid();
    return to_parent;
}

void close_standard_streams()
{
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    for (const int stream : {0, 1, 2}) ::dup2(null, stream);
}

/// Unmounts when asked to end. The kernel then ends the server's loop by itself, once the last
/// user of the tree is gone.
void unmount_on_signal(const std::string& folder)
{
    sigset_t asked;
    sigemptyset(&asked);
    sigaddset(&asked, SIGTERM);
    sigaddset(&asked, SIGINT);
    pthread_sigmask(SIG_BLOCK, &asked, nullptr);
    std::thread{[asked, folder] {
        for (;;) {
            int number = 0;
            sigwait(&asked, &number);
            ::umount2(folder.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
        }
    }}.detach();  // Waits for a signal until the process ends; owns all it uses.
}

}  // namespace

Result<std::unique_ptr<Opened>> open_all(
    const std::string& flist, const Source& source, const Log& log)
{
    auto opened = std::make_unique<Opened>();
    TRY(const auto url, store_url(source.store));
    TRY(opened->store,
        open_store(
            url, attempt_patience, source.remote_store ? Reach::elsewhere : Reach::anywhere));
    TRY(auto tree, read_flist(std::filesystem::path{flist}));
    opened->tree = std::make_unique<Tree>(std::move(tree));
    if (!source.cache.empty()) {
        TRY(const auto limit, parse_size(source.cache_limit));
        TRY(opened->cache, BlockCache::open(source.cache, limit));
    }
    ContentOptions options;
    options.patience = std::chrono::seconds{source.patience_seconds};
    opened->content =
        std::make_unique<Content>(*opened->tree, *opened->store, opened->cache.get(), log, options);
    return opened;
}

Result<> mount(const MountCommand& command, Log log)
{
    kernel::Fd to_parent;
    if (!command.foreground) {
        TRY(to_parent, go_to_background());
    }
    TRY(const auto opened, open_all(command.flist, command.source, log));
    TRY(const auto folder, [&]() -> Result<std::string> {
        std::error_code ec;
        auto absolute = std::filesystem::canonical(command.folder, ec);
        if (ec && !command.fuse_fd)
            return fail(Errc::not_found, command.folder + ": " + ec.message());
        return absolute.string();
    }());

    TRY_DO(resolve_owners(*opened->tree, *opened->content));

    kernel::Fd fuse;
    if (command.fuse_fd) {
        fuse = kernel::Fd{*command.fuse_fd};
        ::fcntl(fuse.get(), F_SETFD, FD_CLOEXEC);
    } else {
        unmount_on_signal(folder);
        // Whatever an earlier mount left there is not about the mount made now.
        if (!command.state_file.empty()) TRY_DO(kernel::remove_file(command.state_file));
        TRY(fuse, attach_fuse(folder, std::filesystem::path{command.flist}.filename().string()));
    }

    ServeOptions options;
    options.uid_shift = command.uid_shift;
    options.threads = command.threads;
    options.state_file = command.state_file;
    options.ready = [&] {
        if (command.ready_fd) {
            (void)kernel::write_all(*command.ready_fd, ready_word);  // Who asked may be gone.
            ::close(*command.ready_fd);
        }
        if (to_parent) {
            close_standard_streams();
            (void)kernel::write_all(to_parent.get(), ready_word);
            to_parent.close();
        }
    };
    return serve(std::move(fuse), *opened->tree, *opened->content, log, options);
}

}  // namespace znode::flist
