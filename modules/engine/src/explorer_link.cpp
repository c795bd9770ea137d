#include "engine/explorer_link.hpp"

#include <random>

#include "base/text.hpp"
#include "explorer/poller.hpp"
#include "grid/document.hpp"

namespace znode::engine {
namespace {

using namespace std::chrono_literals;

constexpr auto heartbeat_interval = 5min;
constexpr auto full_read_interval = 6h;
constexpr auto longest_pause = 60s;

std::uint64_t seed_of_this_start()
{
    std::random_device device;
    return (std::uint64_t{device()} << 32U) | device();
}

grid::WorkloadType type_named(const std::string& name)
{
    for (int number = 0; number <= static_cast<int>(grid::WorkloadType::public_ip); ++number) {
        const auto type = static_cast<grid::WorkloadType>(number);
        if (grid::to_string(type) == name) return type;
    }
    return grid::WorkloadType::zdb;
}

std::chrono::seconds uptime()
{
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    return std::chrono::seconds{now.tv_sec};
}

}  // namespace

ExplorerLink::ExplorerLink(
    asio::io_context& loop, explorer::NodeApi& api, std::string node_id, Announcement say, Log log)
    : loop_{loop},
      api_{api},
      node_id_{std::move(node_id)},
      say_{std::move(say)},
      log_{std::move(log)},
      group_{loop},
      changed_{loop},
      registered_{loop}
{
}

void ExplorerLink::start(Engine& engine)
{
    group_.spawn(announce());
    group_.spawn(poll(&engine));
}

Task<> ExplorerLink::stop() { co_await group_.drain(); }

void ExplorerLink::heard(const Result<>& outcome)
{
    const bool silent = !outcome && (outcome.error().code == Errc::unavailable ||
                                     outcome.error().code == Errc::timeout);
    if (silent && (state_.reachable || state_.message.empty()))
        log_->warn("explorer does not answer error=\"{}\"", outcome.error().message);
    if (!silent && !state_.reachable) log_->info("explorer answers");
    state_.reachable = !silent;
    state_.message = outcome ? std::string{} : outcome.error().message;
    if (!silent) state_.last_contact = now_ns();
}

/// Says who and what this node is. Each part is said again only when it has changed.
Task<Result<>> ExplorerLink::introduce()
{
    if (!state_.registered) {
        CO_TRY(auto node, co_await say_.node());
        const auto farm = node.farm_id;
        CO_TRY_DO(co_await api_.register_node(std::move(node)));
        state_.registered = true;
        said_interfaces_.clear();
        said_ports_.clear();
        said_capacity_.clear();
        log_->info("registered node={} farm={}", node_id_, farm);
        if (const auto known = co_await api_.farm(farm)) state_.farm_name = known->name;
    }
    CO_TRY(auto interfaces, co_await say_.interfaces());
    if (const auto text = grid::list_to_json(interfaces); text != said_interfaces_) {
        CO_TRY_DO(co_await api_.set_interfaces(std::move(interfaces)));
        said_interfaces_ = text;
    }
    CO_TRY(auto ports, co_await say_.ports());
    std::string ports_text = "ports";
    for (const auto port : ports) ports_text += ' ' + std::to_string(port);
    if (ports_text != said_ports_) {
        CO_TRY_DO(co_await api_.set_ports(std::move(ports)));
        said_ports_ = ports_text;
    }
    CO_TRY(auto capacity, co_await say_.capacity());
    if (const auto text = grid::to_json(capacity); text != said_capacity_) {
        CO_TRY_DO(co_await api_.set_capacity(std::move(capacity)));
        said_capacity_ = text;
    }
    CO_TRY_DO(co_await api_.set_uptime(uptime()));
    state_.last_heartbeat = now_ns();
    co_return co_await api_.set_used(say_.used());
}

Task<> ExplorerLink::announce()
{
    Duration pause = 500ms;
    for (;;) {
        const auto said = co_await introduce();
        heard(said);
        if (said) {
            pause = 500ms;
            registered_.notify();
            (void)co_await changed_.wait_for(heartbeat_interval);
            continue;
        }
        log_->debug("announcement failed error=\"{}\"", said.error().message);
        // An explorer that lost its database does not know this node any more.
        if (said.error().code == Errc::not_found) state_.registered = false;
        co_await sleep_for(pause);
        pause = std::min<Duration>(pause * 3 / 2, longest_pause);
    }
}

Task<> ExplorerLink::poll(Engine* engine)
{
    while (!state_.registered) co_await registered_.wait();
    // Everything from the beginning once: that is how a node learns what it missed.
    explorer::Poller poller{api_, 0, seed_of_this_start()};
    auto read_all = Clock::now();
    for (;;) {
        if (Clock::now() - read_all >= full_read_interval) {
            poller.restart();
            read_all = Clock::now();
        }
        auto page = co_await poller.next();
        if (!page) {
            heard(tl::unexpected(page.error()));
            continue;
        }
        heard({});
        state_.last_poll = now_ns();
        co_await take_page(engine, *std::move(page));
    }
}

Task<> ExplorerLink::take_page(Engine* engine, explorer::PollPage page)
{
    for (auto& entry : page.entries) {
        if (!entry.gwid) {
            log_->warn("a reservation without an id was left alone");
            continue;
        }
        Engine::Incoming incoming;
        incoming.order.gwid = entry.gwid->text();
        incoming.remove = entry.is_delete();
        incoming.order.document = std::move(entry.document);
        incoming.order.owner = entry.customer_tid;
        if (entry.workload) {
            if (entry.workload->node_id != node_id_) {
                log_->warn(
                    "reservation {} is for another node: {}",
                    incoming.order.gwid,
                    printable(entry.workload->node_id, 60));
                continue;
            }
            incoming.order.type = grid::to_string(entry.workload->workload_type);
            incoming.order.owner = entry.workload->customer_tid;
            incoming.order.pool = entry.workload->pool_id;
            incoming.explorer_has_result = !entry.workload->result.workload_id.empty();
        } else {
            incoming.order.type = "unknown";
            incoming.refusal = "the reservation is not readable: " + entry.workload.error().message;
        }
        const auto gwid = incoming.order.gwid;
        const auto taken = co_await engine->take(std::move(incoming));
        // Not lost: the explorer says it again at the next poll, since nothing was answered.
        if (!taken)
            log_->error("reservation {} is not taken error=\"{}\"", gwid, taken.error().message);
    }
}

Task<Result<>> ExplorerLink::deliver(Letter letter)
{
    const auto gwid = grid::Gwid::parse(letter.gwid);
    if (!gwid) co_return tl::unexpected(gwid.error());
    Result<> outcome;
    if (letter.kind == Letter::Kind::removed) {
        outcome = co_await api_.report_deleted(*gwid);
    } else {
        grid::WorkloadResult result;
        result.category = grid::category_of(type_named(letter.category));
        result.workload_id = letter.gwid;
        result.data = {letter.data};
        result.state = letter.state == 1 ? grid::ResultState::ok : grid::ResultState::error;
        result.message = letter.message;
        result.epoch = {letter.epoch};
        outcome = co_await api_.put_result(*gwid, std::move(result));
    }
    heard(outcome);
    co_return outcome;
}

}  // namespace znode::engine
