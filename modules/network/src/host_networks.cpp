#include <algorithm>
#include <map>
#include <set>

#include "async/blocking.hpp"
#include "async/child.hpp"
#include "async/task_group.hpp"
#include "host_plane.hpp"
#include "network/networks.hpp"

namespace znode::network {
namespace {

using namespace std::chrono_literals;

/// Host mode behind the interface: the loop's side. Each operation is a piece of work on one lane.
class HostNetworks final : public Networks {
public:
    HostNetworks(asio::io_context& loop, HostNetworkSpec spec, Log log)
        : plane_{std::move(spec), log}, watchers_{loop}, log_{std::move(log)}
    {
    }

    Task<Result<HostNetwork>> start() override
    {
        auto host = co_await lane_.run([this] { return plane_.start(); });
        if (host) userspace_ = host->wireguard == WireGuardKind::userspace;
        co_return host;
    }

    Task<> stop() override { co_await watchers_.drain(); }

    Task<Result<>> purge() override
    {
        watched_.clear();
        co_return co_await lane_.run([this] { return plane_.purge(); });
    }

    Task<Result<NetworkFacts>> ensure(NetworkResourceSpec spec) override
    {
        auto facts = co_await lane_.run([&] { return plane_.ensure(spec); });
        if (facts && !facts->superseded) watch(*facts);
        co_return facts;
    }

    Task<Result<>> remove(std::string gwid) override
    {
        // Forgotten first, so that the end of its process is no accident.
        const auto owner =
            std::ranges::find(watched_, gwid, [](const auto& w) { return w.second; });
        if (owner != watched_.end()) watched_.erase(owner);
        co_return co_await lane_.run([&] { return plane_.remove(gwid); });
    }

    Task<Result<Joined>> join(ContainerJoinSpec spec) override
    {
        co_return co_await lane_.run([&] { return plane_.join(spec); });
    }

    Task<Result<>> leave(std::string gwid) override
    {
        co_return co_await lane_.run([&] { return plane_.leave(gwid); });
    }

    Task<Result<ZdbNamespace>> ensure_zdb_namespace(ZdbNamespaceSpec spec) override
    {
        co_return co_await lane_.run([&] { return plane_.ensure_zdb(spec); });
    }

    Task<Result<>> remove_zdb_namespace(std::string pool_id) override
    {
        co_return co_await lane_.run([&] { return plane_.remove_zdb(pool_id); });
    }

    Task<Result<Inventory>> list() override
    {
        co_return co_await lane_.run([this] { return plane_.list(); });
    }

    Task<Result<std::vector<Interface>>> interfaces() override
    {
        co_return co_await lane_.run([this] { return plane_.interfaces(); });
    }

    Task<Result<std::vector<std::uint16_t>>> reserved_ports() override
    {
        co_return co_await lane_.run([this] { return plane_.reserved_ports(); });
    }

private:
    /// Keeps an eye on the process behind a network's tunnel; the kernel's needs none.
    void watch(const NetworkFacts& facts)
    {
        watched_[facts.id] = facts.gwid;
        if (userspace_ && watching_.insert(facts.id).second) watchers_.spawn(keep_alive(facts.id));
    }

    /// One per network, for as long as it is wanted: whatever ends its process, the tunnel comes
    /// back, with the addresses and routes that its device kept.
    Task<> keep_alive(std::string id)
    {
        Duration pause{};
        const auto longer = [&] {
            pause = std::clamp<Duration>(pause * 2, first_pause, longest_pause);
        };
        while (watched_.contains(id)) {
            auto process = co_await lane_.run([&] { return plane_.tunnel_of(id); });
            if (co_await cancelled()) break;
            if (process && *process) {
                const auto since = Clock::now();
                while (!co_await ended_within(&**process, learn_interval)) {
                    if (co_await cancelled() || !watched_.contains(id)) break;
                    const auto noted =
                        co_await lane_.run([&] { return plane_.note_endpoints(id); });
                    if (!noted)
                        log_->debug(
                            "peers not noted network={} reason={}", id, noted.error().message);
                }
                if (co_await cancelled() || !watched_.contains(id)) break;
                log_->warn("tunnel process ended, starting another network={}", id);
                // One that dies at once is started ever more rarely.
                if (Clock::now() - since < least_life)
                    longer();
                else
                    pause = {};
            } else {
                longer();
            }
            if (pause > Duration{}) co_await sleep_for(pause);
            if (co_await cancelled()) break;
            const auto repaired = co_await lane_.run([&] { return plane_.repair_tunnel(id); });
            if (co_await cancelled()) break;
            if (repaired) continue;
            log_->error("tunnel is down network={} reason={}", id, repaired.error().message);
            longer();
        }
        watching_.erase(id);
    }

    /// False when it still lives after that time.
    static Task<bool> ended_within(const kernel::Child* process, Duration patience)
    {
        const auto exit = co_await run_until(sleep_for(patience), wait_for_exit(process));
        co_return exit.has_value();
    }

    static Task<bool> cancelled()
    {
        const auto state = co_await asio::this_coro::cancellation_state;
        co_return state.cancelled() != asio::cancellation_type::none;
    }

    static constexpr Duration first_pause = 100ms;
    static constexpr Duration longest_pause = 60s;
    static constexpr Duration least_life = 200ms;
    /// A laptop may be elsewhere for that long before it is found again without its own doing.
    static constexpr Duration learn_interval = 5s;

    HostPlane plane_;
    Blocking lane_{1};
    TaskGroup watchers_;
    Log log_;
    bool userspace_ = false;
    std::map<std::string, std::string> watched_;  // Network id to the gwid in force.
    std::set<std::string> watching_;              // Networks that have a watcher.
};

}  // namespace

std::unique_ptr<Networks> make_host_networks(asio::io_context& loop, HostNetworkSpec spec, Log log)
{
    return std::make_unique<HostNetworks>(loop, std::move(spec), std::move(log));
}

}  // namespace znode::network
