#include "engine/engine.hpp"

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "runner.hpp"

namespace znode::engine {
namespace {

constexpr std::int64_t keep_gone_ns = std::int64_t{7} * 24 * 3600 * 1'000'000'000;
/// How often the wall clock is looked at for reservations that end.
constexpr auto longest_look = std::chrono::seconds{20};
/// More ends of data than this within this time, and none of them signed, are an alarm.
constexpr std::size_t mass_of_ends = 10;
constexpr auto mass_window = std::chrono::minutes{1};
/// What seems to be over already when the agent starts is left alone for so long: the clock of a
/// machine that boots may be wrong.
constexpr auto boot_grace = std::chrono::minutes{1};

std::int64_t unix_now() { return now_ns() / 1'000'000'000; }

Letter removed_letter(const Order& order)
{
    Letter letter;
    letter.gwid = order.gwid;
    letter.told_as = order.told_as;
    letter.kind = Letter::Kind::removed;
    letter.category = order.type;
    letter.epoch = unix_now();
    return letter;
}

Letter error_letter(const Order& order, std::string message)
{
    Letter letter;
    letter.gwid = order.gwid;
    letter.told_as = order.told_as;
    letter.category = order.type;
    letter.message = std::move(message);
    letter.data = "null";
    letter.epoch = unix_now();
    return letter;
}

}  // namespace

Engine::Engine(Parts parts, Machine machine, Patience patience)
    : parts_{std::move(parts)},
      machine_{machine},
      patience_{patience},
      runners_{parts_.loop},
      couriers_{parts_.loop},
      changes_pending_{parts_.loop},
      ends_changed_{parts_.loop},
      outbox_filled_{parts_.loop}
{
}

Engine::~Engine() = default;

Task<Result<>> Engine::start()
{
    CO_TRY_DO(
        co_await parts_.store.run([&] { return parts_.journal.prune(now_ns() - keep_gone_ns); }));
    CO_TRY(auto entries, co_await parts_.store.run([&] { return parts_.journal.load(); }));
    CO_TRY(const auto letters, co_await parts_.store.run([&] {
        return parts_.journal.unsent(100'000);
    }));
    CO_TRY(
        last_sequence_, co_await parts_.store.run([&] { return parts_.journal.last_sequence(); }));
    letters_waiting_ = letters.size();
    runners_.spawn(write_changes());

    std::vector<Runner*> alive;
    for (auto& entry : entries) {
        const auto gwid = entry.order.gwid;
        const bool gone = entry.state == State::gone;
        auto& runner = by_gwid_[gwid];
        runner = std::make_unique<Runner>(*this, std::move(entry));
        if (gone) continue;  // Kept so that a late repetition of its order revives nothing.
        alive.push_back(runner.get());
    }
    CO_TRY_DO(co_await read_history());
    // All plans first: whoever goes on must find those it needs.
    for (auto* const runner : alive) {
        runner->make_plan();
        ends_at(*runner);
    }
    for (auto* const runner : alive) runners_.spawn(runner->run());
    parts_.log->info("journal read workloads={} unsent={}", alive.size(), letters.size());
    runners_.spawn(deliver_letters());
    runners_.spawn(end_in_time());
    co_return Result<>{};
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

bool Engine::knows(const Order& order) const
{
    const auto known = by_gwid_.find(order.gwid);
    return known != by_gwid_.end() && !known->second->is_other(order);
}

/// The explorer has given the number of something that is here to another reservation: an explorer
/// that was rebuilt. What is here stays as it is, and nothing is said in its name any more.
Engine::PendingPtr Engine::refuse_number(Runner& runner, const Incoming& incoming)
{
    runner.estrange();
    const auto& gwid = incoming.order.gwid;
    const auto& before = runner.entry().order;
    if (!alarms_.contains(gwid))
        parts_.log->error(
            "the explorer gives the number {} to another reservation type={} owner={}; the {} of "
            "customer {} stays",
            gwid,
            incoming.order.type,
            incoming.order.owner,
            before.type,
            before.owner);
    alarms_[gwid] = "the explorer has given the number of " + before.type + " " + gwid +
                    " to another reservation; was it rebuilt?";
    Change change;
    if (!incoming.remove)
        change.letters.push_back(error_letter(
            incoming.order,
            "the number " + gwid +
                " belongs to an older workload on this node, which is kept; reserve again"));
    change.letters.push_back(removed_letter(incoming.order));
    return enqueue(std::move(change));
}

/// A reservation that goes on in a pool: it runs on, and is told of by its new name.
Engine::PendingPtr Engine::rename(Runner& runner, const Order& order)
{
    runner.rename(order);
    parts_.log->info("workload {} goes on as {} pool={}", order.gwid, order.told_as, order.pool);
    ends_at(runner);
    Change change;
    change.entry = runner.entry();
    change.from = runner.entry().state;
    return enqueue(std::move(change));
}

/// Only the very same wish of the same customer can take a workload over. What is here is not
/// touched.
Engine::PendingPtr Engine::refuse_successor(const Incoming& incoming)
{
    const auto& order = incoming.order;
    parts_.log->warn("{} differs from {}, which it is to continue", order.told_as, order.gwid);
    // Beside what the other one has to say: letters go by their name here.
    auto aside = order;
    aside.gwid = order.told_as;
    Change change;
    if (!incoming.remove)
        change.letters.push_back(error_letter(
            aside, "it is not the same as " + order.gwid + ", which it is to continue"));
    change.letters.push_back(removed_letter(aside));
    return enqueue(std::move(change));
}

/// One is an empty pool, or an explorer that shows no signatures; many at once may be somebody who
/// took the explorer over.
void Engine::count_unsigned_end(const Order& order)
{
    if (order.type != "volume" && order.type != "zdb") return;
    const auto now = Clock::now();
    unsigned_ends_.push_back(now);
    while (unsigned_ends_.front() < now - mass_window) unsigned_ends_.pop_front();
    if (unsigned_ends_.size() <= mass_of_ends) return;
    if (!alarms_.contains(""))
        parts_.log->error(
            "the explorer ends volumes and 0-dbs that nobody signed the end of count={} seconds={}",
            unsigned_ends_.size(),
            std::chrono::duration_cast<std::chrono::seconds>(mass_window).count());
    alarms_[""] = "the explorer has ended " + std::to_string(unsigned_ends_.size()) +
                  " volumes and 0-dbs within a minute without their customers' signatures";
}

Engine::PendingPtr Engine::take_known(Runner& runner, const Incoming& incoming)
{
    const auto state = runner.entry().state;
    if (state == State::gone) {
        // The explorer has not heard, or has forgotten, that it is gone.
        Change change;
        change.letters.push_back(removed_letter(runner.entry().order));
        return enqueue(std::move(change));
    }
    if (incoming.remove && incoming.order.told_as != runner.entry().order.told_as) {
        // The end of a name that was left behind: nothing has it any more.
        Change change;
        change.letters.push_back(removed_letter(incoming.order));
        return enqueue(std::move(change));
    }
    if (incoming.remove) {
        if (incoming.end_signed) parts_.planner.may_destroy(incoming.order.gwid);
        if (state == State::retiring || state == State::failed) return nullptr;
        if (!incoming.end_signed) count_unsigned_end(runner.entry().order);
        runner.remove();
        return nullptr;
    }
    if (incoming.explorer_has_result || !runner.entry().was_ok) return nullptr;
    auto letters = runner.result_again();
    if (letters.empty()) return nullptr;
    Change change;
    change.letters = std::move(letters);
    return enqueue(std::move(change));
}

Engine::PendingPtr Engine::take_new(Incoming incoming)
{
    Entry entry;
    entry.order = std::move(incoming.order);
    entry.accepted = entry.since = now_ns();
    const auto gwid = entry.order.gwid;
    if (incoming.remove) {
        // Never seen here: there is nothing to undo, and the explorer waits for the word.
        Change change;
        change.letters.push_back(removed_letter(entry.order));
        return enqueue(std::move(change));
    }

    std::string refusal = std::move(incoming.refusal);
    std::unique_ptr<Plan> plan;
    if (refusal.empty() && maintenance_)
        refusal = "the node is in maintenance: " + maintenance_reason_;
    if (refusal.empty() && entry.order.expires != 0 && entry.order.expires <= unix_now())
        refusal = "the reservation is over already, by this node's clock";
    if (refusal.empty()) {
        auto planned = parts_.planner.plan(entry.order);
        if (planned)
            plan = *std::move(planned);
        else
            refusal = planned.error().message;
    }
    if (plan) {
        const auto admitted = admit(plan->amounts, taken_, machine_);
        if (!admitted) {
            refusal = admitted.error().message;
            plan.reset();
        }
    }

    // In the map before the journal is asked: the next order of the page counts what this one
    // takes.
    auto runner = std::make_unique<Runner>(*this, entry);
    auto* const made = runner.get();
    by_gwid_[gwid] = std::move(runner);
    if (plan)
        made->adopt(std::move(plan));
    else
        made->refuse(std::move(refusal));
    Change change;
    change.entry = std::move(entry);
    return enqueue(std::move(change));
}

Task<Result<>> Engine::take(Incoming incoming)
{
    std::vector<Incoming> page;
    page.push_back(std::move(incoming));
    return take_all(std::move(page));
}

Task<Result<>> Engine::take_all(std::vector<Incoming> page)
{
    if (parts_.room) {
        const auto room = co_await parts_.room();
        for (auto& incoming : page)
            if (!room && incoming.refusal.empty() && !by_gwid_.contains(incoming.order.gwid))
                incoming.refusal = room.error().message;
    }
    std::vector<PendingPtr> waiting;
    for (auto& incoming : page) {
        const auto known = by_gwid_.find(incoming.order.gwid);
        const auto& order = incoming.order;
        PendingPtr pending;
        // A number is free again once what had it is gone.
        const bool is_free =
            known == by_gwid_.end() ||
            (known->second->is_other(order) && order.told_as.empty() &&
             known->second->entry().state == State::gone && known->second->has_ended());
        if (is_free) {
            pending = take_new(std::move(incoming));
        } else if (!known->second->is_other(order)) {
            const auto& before = known->second->entry().order.told_as;
            if (!order.told_as.empty() && order.told_as != before)
                waiting.push_back(rename(*known->second, order));
            pending = take_known(*known->second, incoming);
        } else if (!order.told_as.empty()) {
            pending = refuse_successor(incoming);
        } else {
            pending = refuse_number(*known->second, incoming);
        }
        if (pending) waiting.push_back(std::move(pending));
    }
    Result<> outcome;
    for (const auto& pending : waiting) {
        const auto event = co_await written(pending);
        const auto& entry = pending->change.entry;
        if (!event && outcome) outcome = tl::unexpected(event.error());
        // What has a state to come from is no new one.
        if (!entry || pending->change.from) continue;
        const auto taken = by_gwid_.find(entry->order.gwid);
        if (taken == by_gwid_.end()) continue;
        if (!event) {
            taken->second->forget();
            by_gwid_.erase(taken);
            continue;
        }
        published(*event);
        const auto& order = entry->order;
        parts_.log->info(
            "workload {} type={} state=waiting owner={}", order.gwid, order.type, order.owner);
        ends_at(*taken->second);
        runners_.spawn(taken->second->run());
    }
    co_return outcome;
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
    const auto left = order.expires - unix_now();
    const Duration wait = left > 0 ? Duration{std::chrono::seconds{left}} : Duration{boot_grace};
    ends_.emplace(order.expires, std::pair{order.gwid, Clock::now() + wait});
    ends_changed_.notify();
}

/// Ends reservations in time. Both clocks must say so: a wall clock that was set forward by years
/// ends nothing before its time has really passed.
Task<> Engine::end_in_time()
{
    for (;;) {
        const auto now = unix_now();
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
