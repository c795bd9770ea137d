#include "reload.hpp"

#include <csignal>
#include <ctime>

#include "notify.hpp"

namespace znode::agent {
namespace {

/// The manager orders what it hears by this.
std::string monotonic_usec()
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return std::to_string(now.tv_sec * 1'000'000LL + now.tv_nsec / 1000);
}

}  // namespace

Reloader::Reloader(Parts parts) : parts_{std::move(parts)}, hangups_{parts_.loop, SIGHUP} {}

Task<> Reloader::run()
{
    for (;;) {
        const auto [failed, number] = co_await hangups_.async_wait(as_result);
        if (failed) co_return;
        notify_manager("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec());
        (void)co_await reload();  // Said in the log; the agent goes on with what it has.
        notify_manager("READY=1");
    }
}

Task<Result<>> Reloader::reload()
{
    auto read = co_await parts_.disks.run([this] { return parts_.read(); });
    if (!read) {
        parts_.log->error(
            "the config is not reloaded, the old one stays in force error=\"{}\"",
            read.error().message);
        co_return tl::unexpected(std::move(read).error());
    }
    auto& config = parts_.config;
    for (const auto& key : changed_keys(config, *read)) {
        if (key == "node.log_level") {
            config.node.log_level = read->node.log_level;
            parts_.log->set_level(spdlog::level::from_str(config.node.log_level));
            parts_.log->info("{} is {} from now on", key, config.node.log_level);
        } else {
            parts_.log->warn("{} has changed and needs a restart of znoded", key);
        }
    }
    parts_.log->info("config reloaded");
    co_return Result<>{};
}

}  // namespace znode::agent
