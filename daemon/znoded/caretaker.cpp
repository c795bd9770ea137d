#include "caretaker.hpp"

#include <algorithm>
#include <ctime>

#include "doctor.hpp"

namespace znode::agent {

using namespace std::chrono_literals;

Caretaker::Caretaker(Parts parts) : parts_{std::move(parts)}, network_tried_{parts_.loop} {}

/// Whether there is a network; what stands in its way is in the status until there is one.
Task<bool> Caretaker::start_network()
{
    auto host = co_await parts_.networks.start();
    if (host) {
        parts_.source.set_host_network(*std::move(host));
        parts_.source.set_trouble("network", std::nullopt);
        co_return true;
    }
    if (host.error().message != network_trouble_)
        parts_.log->error("network is not set up error=\"{}\"", host.error().message);
    network_trouble_ = host.error().message;
    parts_.source.set_trouble(
        "network",
        Trouble{
            "no networks: " + network_trouble_,
            "networks and containers wait until it is mended; it is tried again every 5 s"});
    co_return false;
}

/// A cable may come after us, and what stood in the way may be taken away.
Task<> Caretaker::begin_network()
{
    const bool at_once = co_await start_network();
    network_tried_.notify();
    if (at_once) co_return;
    do co_await sleep_for(5s);
    while (!co_await start_network());
    parts_.changed();
}

Task<> Caretaker::network_tried() { co_await network_tried_.wait(); }

Task<> Caretaker::look_after_clock()
{
    for (;;) {
        if (is_plausible(std::time(nullptr)))
            parts_.source.set_trouble("clock", std::nullopt);
        else
            parts_.source.set_trouble(
                "clock",
                Trouble{
                    "the clock says that it is before 2025",
                    "set it (timedatectl) and let a time service keep it"});
        co_await sleep_for(10s);
    }
}

/// What was set aside when its end came without a signature, once its time is over.
Task<> Caretaker::forget_data(const std::vector<storage::PoolInfo>* pools)
{
    const auto kept =
        std::chrono::duration_cast<std::chrono::seconds>(parts_.config.storage.undelete);
    const auto until = kept_clock_.over_until(std::time(nullptr), Clock::now(), kept);
    if (!until) co_return;
    const bool old = std::ranges::any_of(*pools, [&](const auto& pool) {
        return pool.kept_since != 0 && pool.kept_since <= *until;
    });
    if (old) {
        const auto gone = co_await parts_.volumes.forget(*until);
        if (gone && *gone > 0)
            parts_.log->info("removed volumes that were set aside count={}", *gone);
    }
    const auto namespaces = co_await parts_.planner.forget_namespaces(*until);
    if (!namespaces)
        parts_.log->warn(
            "0-db namespaces are not removed error=\"{}\"", namespaces.error().message);
    else if (*namespaces > 0)
        parts_.log->info("removed 0-db namespaces that were kept count={}", *namespaces);
}

Task<> Caretaker::look_after_pools()
{
    auto opened = Clock::now();
    for (;;) {
        co_await sleep_for(5s);
        const auto pools = co_await parts_.volumes.pools();
        parts_.source.set_pools(pools);
        co_await forget_data(&pools);
        const bool failed = std::ranges::any_of(
            pools, [](const auto& pool) { return pool.state == storage::PoolState::failed; });
        if (!failed || Clock::now() - opened < 60s) continue;
        co_await parts_.volumes.open();
        opened = Clock::now();
    }
}

Task<> Caretaker::look_after_logs()
{
    for (;;) {
        parts_.source.set_shippers(co_await parts_.shippers.status());
        (void)co_await parts_.room.look();  // Its shortages are shown as problems.
        parts_.source.set_shortages(parts_.room.shortages());
        co_await sleep_for(5s);
    }
}

}  // namespace znode::agent
