#include "engine/engine.hpp"

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "runner.hpp"

namespace znode::engine {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
/// How often the wall clock is looked at for reservations that end.
constexpr auto longest_look = std::chrono::seconds{20};
/// What seems to be over already when the agent starts is left alone for so long: the clock of a
/// machine that boots may be wrong.
constexpr auto boot_grace = std::chrono::minutes{1};

}  // namespace

Engine::Engine(Parts parts, Machine machine, Patience patience)
    : parts_{std::move(parts)},
      machine_{machine},
      patience_{patience},
      runners_{parts_.loop},
      runner_ended_{parts_.loop},
      couriers_{parts_.loop},
      changes_pending_{parts_.loop},
      ends_changed_{parts_.loop},
      outbox_filled_{parts_.loop}
{
}

Engine::~Engine() = default;

Task<Result<>> Engine::start()
{
    CO_TRY_DO(co_await forget_gone());
    CO_TRY(
        const auto unsent, co_await parts_.store.run([&] { return parts_.journal.unsent_of(); }));
    letters_waiting_ = unsent.size();
    CO_TRY(
        last_sequence_, co_await parts_.store.run([&] { return parts_.journal.last_sequence(); }));
    runners_.spawn(write_changes());
    // All plans first: whoever goes on must find those it needs.
    CO_TRY(const auto alive, co_await read_workloads());
    CO_TRY_DO(co_await read_history());
    for (const auto& gwid : unsent)
        if (const auto runner = by_gwid_.find(gwid); runner != by_gwid_.end())
            runner->second->letters_wait();
    for (auto* const runner : alive) runners_.spawn(runner->run());
    parts_.log->info("journal read workloads={} unsent={}", alive.size(), unsent.size());
    runners_.spawn(deliver_letters());
    runners_.spawn(end_in_time());
    runners_.spawn(tidy());
    co_return Result<>{};
}

/// A piece of what was kept long enough; true when there may be more.
Task<Result<bool>> Engine::forget_gone()
{
    // By a wrong clock nobody's time is over: an order that is repeated must find what became of
    // it.
    const auto until = gone_clock_.over_until(
        now_ns() / 1'000'000'000,
        Clock::now(),
        std::chrono::duration_cast<std::chrono::seconds>(patience_.keep_gone));
    const auto before = until.value_or(0) * 1'000'000'000;
    CO_TRY(
        const auto pruned, co_await parts_.store.run([&] { return parts_.journal.prune(before); }));
    for (const auto& gwid : pruned.workloads) {
        const auto runner = by_gwid_.find(gwid);
        // Its number may have been given anew meanwhile.
        if (runner == by_gwid_.end() || runner->second->entry().state != State::gone ||
            !runner->second->has_ended())
            continue;
        by_gwid_.erase(runner);
        alarms_.erase(gwid);
        held_.erase(gwid);
    }
    co_return pruned.more;
}

Task<> Engine::tidy()
{
    for (;;) {
        co_await sleep_for(patience_.tidying);
        for (bool more = true; more;) {
            const auto forgotten = co_await forget_gone();
            if (!forgotten)
                parts_.log->warn("journal not tidied error=\"{}\"", forgotten.error().message);
            more = forgotten && *forgotten;
        }
    }
}

/// Those that live, planned and in the order in which they came. In pieces: a document is of no use
/// any more once there is a plan.
Task<Result<std::vector<Runner*>>> Engine::read_workloads()
{
    constexpr int piece = 256;
    std::vector<Runner*> alive;
    Journal::Place place;
    for (;;) {
        CO_TRY(auto entries, co_await parts_.store.run([&] {
            return parts_.journal.load(place, piece);
        }));
        if (entries.empty()) co_return alive;
        place = {entries.back().accepted, entries.back().order.gwid};
        for (auto& entry : entries) {
            const bool gone = entry.state == State::gone;
            auto& runner = by_gwid_[entry.order.gwid];
            runner = std::make_unique<Runner>(*this, std::move(entry));
            if (gone) continue;  // Kept so that a late repetition of its order revives nothing.
            alive.push_back(runner.get());
            const auto& order = runner->entry().order;
            if (!order.told_as.empty()) parts_.planner.renamed(order.gwid, order.told_as);
            runner->make_plan();
            ends_at(*runner);
        }
    }
}

/// What the runners have been through: one reading for all, in pieces.
Task<Result<>> Engine::read_history()
{
    constexpr int piece = 4096;
    std::int64_t last = 0;
    for (;;) {
        CO_TRY(auto events, co_await parts_.store.run([&] {
            return parts_.journal.events_of_living(last, piece);
        }));
        if (events.empty()) co_return Result<>{};
        last = events.back().sequence;
        for (auto& event : events)
            if (const auto runner = by_gwid_.find(event.gwid); runner != by_gwid_.end())
                runner->second->remember(event);
    }
}

Task<> Engine::stop()
{
    stopping_ = true;
    co_await runners_.drain();
    co_await couriers_.drain();
    // What the explorer has taken must not be said again; the rest was not begun and is not meant.
    Change taken;
    for (const auto& pending : pending_)
        taken.sent.insert(
            taken.sent.end(), pending->change.sent.begin(), pending->change.sent.end());
    if (taken.sent.empty()) co_return;
    const std::vector<Change> last{std::move(taken)};
    const auto noted = co_await parts_.store.run([&] { return parts_.journal.commit(last); });
    if (!noted)
        parts_.log->warn("outbox not brought up to date error=\"{}\"", noted.error().message);
}

Result<> Engine::restart(const std::string& gwid)
{
    const auto known = by_gwid_.find(gwid);
    if (known == by_gwid_.end() || known->second->entry().state == State::gone)
        return fail(Errc::not_found, "no workload " + gwid + " is on this node");
    if (!known->second->has_program())
        return fail(Errc::invalid, "workload " + gwid + " has no program to restart");
    known->second->restart();
    return {};
}

void Engine::set_maintenance(bool on, std::string reason)
{
    maintenance_ = on;
    maintenance_reason_ = std::move(reason);
    parts_.log->info("maintenance on={} reason=\"{}\"", on, maintenance_reason_);
}

std::vector<WorkloadView> Engine::workloads() const
{
    std::vector<WorkloadView> views;
    for (const auto& [gwid, runner] : by_gwid_)
        if (runner->entry().state != State::gone) views.push_back(runner->view(false));
    return views;
}

void Engine::each(const std::function<void(const Entry&)>& look) const
{
    for (const auto& [gwid, runner] : by_gwid_)
        if (runner->entry().state != State::gone) look(runner->entry());
}

void Engine::set_alarm(const std::string& about, std::string text)
{
    if (text.empty())
        alarms_.erase(about);
    else
        alarms_[about] = std::move(text);
}

std::set<std::string> Engine::known_to_explorer() const
{
    std::set<std::string> names;
    for (const auto& [gwid, runner] : by_gwid_)
        if (runner->is_known_to_explorer()) names.insert(runner->entry().order.explorer_name());
    return names;
}

std::optional<WorkloadView> Engine::workload(const std::string& gwid) const
{
    const auto known = by_gwid_.find(gwid);
    if (known == by_gwid_.end()) return std::nullopt;
    return known->second->view(true);
}

Runner* Engine::provider_of(const std::string& key) const
{
    const auto runners = providers_.find(key);
    if (runners == providers_.end()) return nullptr;
    Runner* found = nullptr;
    for (auto* const runner : runners->second) {
        const auto state = runner->entry().state;
        if (state == State::gone || state == State::failed || state == State::retiring) continue;
        // Of several generations a running one serves.
        if (found == nullptr || state == State::running) found = runner;
    }
    return found;
}

void Engine::add_provider(Runner& runner)
{
    for (const auto& key : runner.provided()) providers_[key].push_back(&runner);
    wake_needy(runner);
}

void Engine::remove_provider(Runner& runner)
{
    for (const auto& key : runner.provided()) {
        const auto runners = providers_.find(key);
        if (runners == providers_.end()) continue;
        std::erase(runners->second, &runner);
        if (runners->second.empty()) providers_.erase(runners);
    }
}

void Engine::wake_needy(const Runner& runner)
{
    for (const auto& key : runner.provided())
        if (const auto waiting = needy_.find(key); waiting != needy_.end())
            for (auto* const needy : waiting->second) needy->needs_changed();
}

void Engine::published(const JournalEvent& event)
{
    last_sequence_ = std::max(last_sequence_, event.sequence);
    if (const auto runner = by_gwid_.find(event.gwid); runner != by_gwid_.end())
        runner->second->remember(event);
    for (const auto& waiter : event_waiters_) waiter->notify();
}

void Engine::ends_at(const Runner& runner)
{
    const auto& order = runner.entry().order;
    if (order.expires == 0) return;
    const auto left = order.expires - now_ns() / second_ns;
    const Duration wait = left > 0 ? Duration{std::chrono::seconds{left}} : Duration{boot_grace};
    ends_.emplace(order.expires, std::pair{order.gwid, Clock::now() + wait});
    ends_changed_.notify();
}

/// Ends reservations in time. Both clocks must say so: a wall clock that was set forward by years
/// ends nothing before its time has really passed.
Task<> Engine::end_in_time()
{
    for (;;) {
        const auto now = now_ns() / second_ns;
        std::optional<Duration> next;
        for (auto end = ends_.begin(); end != ends_.end() && end->first <= now;) {
            const auto& [gwid, moment] = end->second;
            if (Clock::now() < moment) {
                const auto left = moment - Clock::now();
                next = next ? std::min(*next, Duration{left}) : Duration{left};
                ++end;
                continue;
            }
            const auto runner = by_gwid_.find(gwid);
            // One that goes on in a pool has left its date behind.
            if (runner != by_gwid_.end() && runner->second->entry().order.expires == end->first)
                runner->second->end("the reservation's time is over");
            end = ends_.erase(end);
        }
        const auto later = ends_.upper_bound(now);
        if (later != ends_.end()) {
            const Duration left = std::chrono::seconds{later->first - now};
            next = next ? std::min(*next, left) : left;
        }
        if (next)
            (void)co_await ends_changed_.wait_for(std::min<Duration>(*next, longest_look));
        else
            co_await ends_changed_.wait();
    }
}

Task<Result<std::vector<JournalEvent>>> Engine::events_after(std::int64_t sequence, int limit)
{
    co_return co_await parts_.store.run(
        [&] { return parts_.journal.events_after(sequence, limit); });
}

Task<Result<std::vector<JournalEvent>>> Engine::history_of(std::string gwid)
{
    co_return co_await parts_.store.run([&] { return parts_.journal.history_of(gwid); });
}

Task<> Engine::wait_for_event()
{
    const auto waiter = std::make_shared<znode::Event>(parts_.loop);
    event_waiters_.push_back(waiter);
    struct Leave {
        std::vector<std::shared_ptr<znode::Event>>& from;
        std::shared_ptr<znode::Event> who;
        ~Leave() { std::erase(from, who); }
    } const leave{event_waiters_, waiter};
    co_await waiter->wait();
}

}  // namespace znode::engine
