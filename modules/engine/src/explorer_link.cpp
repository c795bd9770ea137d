#include "engine/explorer_link.hpp"

#include <algorithm>
#include <random>

#include "base/text.hpp"
#include "explorer/poller.hpp"
#include "grid/document.hpp"

namespace znode::engine {
namespace {

using namespace std::chrono_literals;

constexpr auto heartbeat_interval = 5min;
constexpr auto full_read_interval = 6h;
/// An explorer of the first era queues no ends but signed ones: a reservation that failed elsewhere
/// is only seen by reading everything.
constexpr auto legacy_full_read_interval = 10min;
constexpr auto least_between_jumps = 10min;
/// A Retry-After beyond this is taken for a mistake.
constexpr Duration longest_quiet = 10min;

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
    asio::io_context& loop,
    explorer::NodeApi& api,
    std::string node_id,
    Announcement say,
    CustomerCheck check,
    Log log)
    : api_{api},
      node_id_{std::move(node_id)},
      say_{std::move(say)},
      check_{std::move(check)},
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
    // Who shows the wrong certificate has not answered, either.
    const auto code = outcome ? std::nullopt : std::optional{outcome.error().code};
    const bool silent = code == Errc::unavailable || code == Errc::timeout ||
                        (code == Errc::denied && api_.last_failure().status == 0);
    if (silent && (state_.reachable || state_.message.empty()))
        log_->warn("explorer does not answer error=\"{}\"", outcome.error().message);
    if (!silent && !state_.reachable) log_->info("explorer answers");
    if (api_.era() != state_.era) {
        state_.era = api_.era();
        if (state_.era) log_->info("explorer speaks era={}", explorer::to_string(*state_.era));
    }
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
    explorer::PollPace pace{seed_of_this_start()};
    for (;;) {
        const auto said = co_await introduce();
        heard(said);
        if (said) {
            pace.answered();
            registered_.notify();
            (void)co_await changed_.wait_for(heartbeat_interval);
            continue;
        }
        log_->debug("announcement failed error=\"{}\"", said.error().message);
        // An explorer that lost its database does not know this node any more.
        if (said.error().code == Errc::not_found && state_.registered) {
            state_.registered = false;
            lost_ = true;
        }
        // All nodes of a farm that lost their explorer together must not come back together.
        co_await sleep_for(pace.after_failure(api_.last_failure()));
    }
}

void ExplorerLink::begin_reading(const Engine& engine) { awaited_ = engine.known_to_explorer(); }

/// What the explorer has in its list, against what it should have: what it does not know any more
/// is shown, and stays. What was taken after the reading began is not asked for.
void ExplorerLink::compare(Engine* engine, const explorer::PollPage& page, bool complete)
{
    bool changed = false;
    for (const auto& entry : page.entries) {
        if (!entry.gwid) continue;
        const auto name = entry.gwid->text();
        if (awaited_) awaited_->erase(name);
        changed |= missing_.erase(name) > 0;
    }
    if (awaited_ && complete) {
        // Some have ended, or are called otherwise, since it began.
        const auto known = engine->known_to_explorer();
        std::erase_if(*awaited_, [&](const auto& name) { return !known.contains(name); });
        changed |= missing_ != *awaited_;
        missing_ = *std::exchange(awaited_, std::nullopt);
    }
    if (!changed) return;
    constexpr std::size_t named = 5;
    std::string text;
    std::size_t i = 0;
    for (const auto& name : missing_)
        if (i++ < named) text += (text.empty() ? "" : ", ") + name;
    if (missing_.size() > named) text += ", …";
    if (!missing_.empty()) {
        text = "the explorer no longer lists " + std::to_string(missing_.size()) +
               " of the workloads that run here: " + text;
        log_->error("{}", text);
    }
    engine->set_alarm("missing", std::move(text));
}

/// An idle explorer names the highest number that it ever gave: one that is lower than what is here
/// has lost some. Worth a whole reading, now and then.
bool ExplorerLink::ids_jumped_back(const Engine& engine, const explorer::PollPage& page)
{
    if (page.unchanged || !page.entries.empty() || page.era != explorer::Era::pools) return false;
    if (jumped_ && Clock::now() - *jumped_ < least_between_jumps) return false;
    const auto known = engine.known_to_explorer();
    const bool jumped = std::ranges::any_of(known, [&](const auto& name) {
        const auto gwid = grid::Gwid::parse(name);
        return gwid && gwid->id > page.last_id;
    });
    if (jumped) jumped_ = Clock::now();
    return jumped;
}

Task<> ExplorerLink::poll(Engine* engine)
{
    while (!state_.registered) co_await registered_.wait();
    // Everything from the beginning once: that is how a node learns what it missed.
    explorer::Poller poller{api_, 0, seed_of_this_start()};
    auto read_all = Clock::now();
    begin_reading(*engine);
    for (;;) {
        const bool legacy = api_.era() == explorer::Era::reservations;
        const Duration interval = legacy ? Duration{legacy_full_read_interval} : full_read_interval;
        if (std::exchange(lost_, false) || Clock::now() - read_all >= interval) {
            poller.restart();
            read_all = Clock::now();
            begin_reading(*engine);
        }
        auto page = co_await poller.next();
        if (!page) {
            heard(tl::unexpected(page.error()));
            continue;
        }
        heard({});
        state_.last_poll = now_ns();
        compare(engine, *page, poller.complete());
        if (!awaited_ && ids_jumped_back(*engine, *page)) lost_ = true;
        co_await take_page(engine, *std::move(page));
    }
}

Task<> ExplorerLink::take_page(Engine* engine, explorer::PollPage page)
{
    std::vector<Engine::Incoming> orders;
    orders.reserve(page.entries.size());
    for (auto& entry : page.entries) {
        if (!entry.gwid) {
            log_->warn("a reservation without an id was left alone");
            continue;
        }
        Engine::Incoming incoming;
        auto& order = incoming.order;
        order.gwid = entry.gwid->text();
        order.era = entry.era;
        order.expires = entry.expires;
        order.owner = entry.customer_tid;
        incoming.remove = entry.is_delete();
        if (entry.workload) {
            if (entry.workload->node_id != node_id_) {
                log_->warn(
                    "reservation {} is for another node: {}",
                    order.gwid,
                    printable(entry.workload->node_id, 60));
                continue;
            }
            order.type = grid::to_string(entry.workload->workload_type);
            order.owner = entry.workload->customer_tid;
            order.pool = entry.workload->pool_id;
            order.fingerprint = fingerprint(*entry.workload);
            // It continues an older one, under whose name everything stays.
            if (const auto older = grid::Gwid::parse(entry.workload->reference))
                order.told_as = std::exchange(order.gwid, older->text());
            // The first era does not show results here; ours are sent until they are taken.
            incoming.explorer_has_result = entry.era == explorer::Era::reservations ||
                                           !entry.workload->result.workload_id.empty();
            if (incoming.remove && (order.type == "volume" || order.type == "zdb"))
                incoming.end_signed = co_await is_end_signed_by_its_customer(&entry);
            if (!incoming.remove && !engine->knows(order)) {
                const auto checked = co_await check_customer(&incoming, &entry);
                if (!checked) {
                    log_->warn(
                        "reservation {} is not taken yet error=\"{}\"",
                        order.gwid,
                        checked.error().message);
                    continue;
                }
            }
        } else {
            order.type = "unknown";
            incoming.refusal = "the reservation is not readable: " + entry.workload.error().message;
        }
        order.document = std::move(entry.document);
        orders.push_back(std::move(incoming));
    }
    const auto taken = co_await engine->take_all(std::move(orders));
    // Not lost: the explorer says it again, since nothing was answered.
    if (!taken) log_->error("a page is not wholly taken error=\"{}\"", taken.error().message);
}

/// An error: it cannot be decided now and must come again.
Task<Result<>> ExplorerLink::check_customer(
    Engine::Incoming* incoming, const explorer::PollEntry* entry)
{
    if (check_.verify == Verify::never) co_return Result<>{};
    auto checked = co_await verified(entry, false);
    // A rebuilt explorer may have given the number to another customer, with another key.
    if (!checked && checked.error().code == Errc::denied) checked = co_await verified(entry, true);
    auto& order = incoming->order;
    if (checked) {
        order.verified = *checked;
        if (!*checked && check_.verify == Verify::always)
            incoming->refusal =
                "this node takes only reservations whose customer's signature it can check, and "
                "this explorer keeps too little of it";
        co_return Result<>{};
    }
    const auto& error = checked.error();
    if (error.code == Errc::denied) {
        ++state_.refused_signatures;
        log_->warn(
            "reservation {} owner={} refused error=\"{}\"", order.gwid, order.owner, error.message);
        incoming->refusal = error.message;
        co_return Result<>{};
    }
    if (check_.verify == Verify::when_possible) co_return Result<>{};
    if (error.code == Errc::not_found) {
        incoming->refusal = "the customer is unknown to the explorer: " + error.message;
        co_return Result<>{};
    }
    co_return tl::unexpected(error);
}

Task<Result<bool>> ExplorerLink::verified(const explorer::PollEntry* entry, bool fresh_key)
{
    const auto& workload = *entry->workload;
    CO_TRY(const auto key, co_await check_.key(workload.customer_tid, fresh_key));
    const bool bare = !entry->customer_epoch && workload.customer_signature.empty();
    if (entry->era == explorer::Era::pools && !bare) co_return check_signature(*entry, key);
    // A part of a reservation of the first era, in whichever era it is delivered.
    if (!reservation_ || reservation_->id != workload.id || fresh_key) {
        auto asked = co_await api_.reservation(workload.id);
        if (!asked && asked.error().code == Errc::not_found) co_return false;
        if (!asked) co_return tl::unexpected(std::move(asked).error());
        reservation_ = *std::move(asked);
    }
    CO_TRY_DO(check_reservation(workload, *reservation_, node_id_, key));
    co_return true;
}

/// What cannot be asked counts as unsigned: then data is kept.
Task<bool> ExplorerLink::is_end_signed_by_its_customer(const explorer::PollEntry* entry)
{
    const auto& workload = *entry->workload;
    const auto key = co_await check_.key(workload.customer_tid, false);
    if (!key) co_return false;
    if (is_end_signed(workload, *key)) co_return true;
    // A part of a reservation of the first era shows no signatures of its own.
    if (!workload.customer_signature.empty()) co_return false;
    const auto reservation = co_await api_.reservation(workload.id);
    if (!reservation || reservation->customer_tid != workload.customer_tid) co_return false;
    co_return is_end_signed(*reservation, *key);
}

Task<Result<>> ExplorerLink::deliver(Letter letter)
{
    const auto& name = letter.told_as.empty() ? letter.gwid : letter.told_as;
    const auto gwid = grid::Gwid::parse(name);
    if (!gwid) co_return tl::unexpected(gwid.error());
    if (Clock::now() < quiet_until_)
        co_return fail(Errc::unavailable, "the explorer asked to be left alone for a while");
    Result<> outcome;
    if (letter.kind == Letter::Kind::removed) {
        outcome = co_await api_.report_deleted(*gwid);
    } else {
        grid::WorkloadResult result;
        result.category = grid::category_of(type_named(letter.category));
        result.workload_id = name;
        result.data = {letter.data};
        result.state = letter.state == 1 ? grid::ResultState::ok : grid::ResultState::error;
        result.message = letter.message;
        result.epoch = {letter.epoch};
        outcome = co_await api_.put_result(*gwid, std::move(result));
    }
    heard(outcome);
    // Other letters may fare better, or none: a status tells, and who shows the wrong certificate
    // (or none that this clock believes) is not the explorer.
    const auto& failure = api_.last_failure();
    if (outcome || outcome.error().code == Errc::cancelled) co_return outcome;
    const bool is_away = failure.status == 0 || failure.status == 429 || failure.status == 503;
    auto& code = outcome.error().code;
    if (is_away && failure.retry_after)
        quiet_until_ = Clock::now() + std::min(*failure.retry_after, longest_quiet);
    if (is_away && code == Errc::denied) code = Errc::unavailable;
    if (!is_away && (code == Errc::unavailable || code == Errc::timeout)) code = Errc::internal;
    co_return outcome;
}

}  // namespace znode::engine
