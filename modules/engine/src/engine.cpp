#include "engine/engine.hpp"

#include "base/failpoint.hpp"
#include "runner.hpp"

namespace znode::engine {
namespace {

constexpr auto longest_delivery_pause = std::chrono::seconds{30};
constexpr std::int64_t keep_gone_ns = std::int64_t{7} * 24 * 3600 * 1'000'000'000;

}  // namespace

Engine::Engine(Parts parts, Machine machine, Patience patience)
    : parts_{std::move(parts)},
      machine_{machine},
      patience_{patience},
      runners_{parts_.loop},
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

    std::size_t alive = 0;
    for (auto& entry : entries) {
        const auto gwid = entry.order.gwid;
        const bool gone = entry.state == State::gone;
        auto& runner = by_gwid_[gwid];
        runner = std::make_unique<Runner>(*this, std::move(entry));
        if (gone) continue;  // Kept so that a late repetition of its order revives nothing.
        ++alive;
        CO_TRY(auto history, co_await parts_.store.run([&] {
            return parts_.journal.history_of(gwid);
        }));
        for (auto& event : history) runner->remember(std::move(event));
        runners_.spawn(runner->run());
    }
    parts_.log->info("journal read workloads={} unsent={}", alive, letters.size());
    runners_.spawn(deliver_letters());
    co_return Result<>{};
}

Task<> Engine::stop()
{
    stopping_ = true;
    co_await runners_.drain();
}

Task<Result<>> Engine::take(Incoming incoming)
{
    const auto gwid = incoming.order.gwid;
    const auto known = by_gwid_.find(gwid);
    if (known != by_gwid_.end()) {
        auto& runner = *known->second;
        const auto state = runner.entry().state;
        if (state == State::gone) {
            // The explorer has not heard, or has forgotten, that it is gone.
            Letter removed;
            removed.gwid = gwid;
            removed.kind = Letter::Kind::removed;
            removed.category = runner.entry().order.type;
            removed.epoch = now_ns() / 1'000'000'000;
            CO_TRY_DO(co_await parts_.store.run([&] { return parts_.journal.write(removed); }));
            ++letters_waiting_;
            outbox_filled_.notify();
        } else if (incoming.remove) {
            if (state != State::retiring && state != State::failed) runner.remove();
        } else if (!incoming.explorer_has_result && runner.entry().was_ok) {
            co_return co_await runner.repeat_result();
        }
        co_return Result<>{};
    }

    Entry entry;
    entry.order = std::move(incoming.order);
    entry.accepted = entry.since = now_ns();
    if (incoming.remove) {
        // Never seen here: there is nothing to undo, and the explorer waits for the word.
        Letter removed;
        removed.gwid = gwid;
        removed.kind = Letter::Kind::removed;
        removed.category = entry.order.type;
        removed.epoch = entry.accepted / 1'000'000'000;
        CO_TRY_DO(co_await parts_.store.run([&] { return parts_.journal.write(removed); }));
        ++letters_waiting_;
        outbox_filled_.notify();
        co_return Result<>{};
    }

    std::string refusal = std::move(incoming.refusal);
    std::unique_ptr<Plan> plan;
    if (refusal.empty() && maintenance_)
        refusal = "the node is in maintenance: " + maintenance_reason_;
    if (refusal.empty() && parts_.room) {
        const auto room = co_await parts_.room();
        if (!room) refusal = room.error().message;
    }
    if (refusal.empty()) {
        auto planned = parts_.planner.plan(entry.order);
        if (planned)
            plan = *std::move(planned);
        else
            refusal = planned.error().message;
    }
    if (plan) {
        const auto admitted = admit(plan->amounts, taken(), machine_);
        if (!admitted) {
            refusal = admitted.error().message;
            plan.reset();
        }
    }

    // In the map before the journal is asked: the next order of the page counts what this one
    // takes.
    auto runner = std::make_unique<Runner>(*this, entry);
    if (plan)
        runner->adopt(std::move(plan));
    else
        runner->refuse(refusal);
    auto* const started = runner.get();
    by_gwid_.emplace(gwid, std::move(runner));
    const auto accepted = co_await parts_.store.run([&] { return parts_.journal.accept(entry); });
    if (!accepted) {
        by_gwid_.erase(gwid);
        co_return tl::unexpected(accepted.error());
    }
    published(*accepted);
    parts_.log->info(
        "workload {} type={} state=waiting owner={}", gwid, entry.order.type, entry.order.owner);
    runners_.spawn(started->run());
    co_return Result<>{};
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
        if (runner->entry().state != State::gone) views.push_back(runner->view());
    return views;
}

std::optional<WorkloadView> Engine::workload(const std::string& gwid) const
{
    const auto known = by_gwid_.find(gwid);
    if (known == by_gwid_.end()) return std::nullopt;
    return known->second->view();
}

Amounts Engine::taken() const
{
    Amounts sum;
    for (const auto& [gwid, runner] : by_gwid_) {
        const auto state = runner->entry().state;
        if (state != State::gone && state != State::failed) sum += runner->amounts();
    }
    return sum;
}

Runner* Engine::provider_of(const std::string& key) const
{
    Runner* found = nullptr;
    for (const auto& [gwid, runner] : by_gwid_) {
        const auto state = runner->entry().state;
        if (state == State::gone || state == State::failed || state == State::retiring) continue;
        if (!runner->provides(key)) continue;
        // Of several generations a running one serves.
        if (found == nullptr || state == State::running) found = runner.get();
    }
    return found;
}

void Engine::needs_changed()
{
    for (const auto& [gwid, runner] : by_gwid_) runner->needs_changed();
}

void Engine::published(const JournalEvent& event)
{
    last_sequence_ = event.sequence;
    if (const auto runner = by_gwid_.find(event.gwid); runner != by_gwid_.end())
        runner->second->remember(event);
    for (const auto& waiter : event_waiters_) waiter->notify();
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

/// Sends letters in the order of their birth, again and again until the explorer has them. A
/// workload whose letter must wait holds up its own later ones and nobody else's.
Task<> Engine::deliver_letters()
{
    Duration pause = std::chrono::milliseconds{500};
    for (;;) {
        auto letters = co_await parts_.store.run([&] { return parts_.journal.unsent(256); });
        if (!letters) {
            parts_.log->error("outbox cannot be read error=\"{}\"", letters.error().message);
            co_await sleep_for(longest_delivery_pause);
            continue;
        }
        letters_waiting_ = letters->size();
        bool away = false;
        std::set<std::string> held;
        std::optional<Clock::time_point> earliest;
        for (const auto& letter : *letters) {
            if (held.contains(letter.gwid)) continue;
            const auto last = last_report_.find(letter.gwid);
            const bool change = letter.kind == Letter::Kind::result && letter.state == 1;
            if (change && last != last_report_.end() &&
                Clock::now() < last->second + patience_.report_gap) {
                held.insert(letter.gwid);
                const auto due = last->second + patience_.report_gap;
                earliest = earliest ? std::min(*earliest, due) : due;
                continue;
            }
            const auto delivered = co_await parts_.deliver(letter);
            if (!delivered && is_transient(delivered.error().code)) {
                parts_.log->debug(
                    "letter waits workload={} error=\"{}\"",
                    letter.gwid,
                    delivered.error().message);
                away = true;
                break;  // The explorer is away for all of them.
            }
            if (!delivered)
                parts_.log->warn(
                    "explorer refuses a report workload={} error=\"{}\"",
                    letter.gwid,
                    delivered.error().message);
            (void)co_await parts_.store.run([&] { return parts_.journal.sent(letter.id); });
            letters_waiting_ -= std::min<std::size_t>(letters_waiting_, 1);
            if (letter.kind == Letter::Kind::result)
                last_report_[letter.gwid] = Clock::now();
            else
                last_report_.erase(letter.gwid);
            const bool more = std::ranges::any_of(*letters, [&](const Letter& other) {
                return other.gwid == letter.gwid && other.id > letter.id;
            });
            if (const auto runner = by_gwid_.find(letter.gwid); runner != by_gwid_.end() && !more)
                runner->second->letters_sent();
        }
        if (away) {
            // Not woken by new letters: they would meet the same silence.
            co_await sleep_for(pause);
            pause = std::min<Duration>(pause * 2, longest_delivery_pause);
            continue;
        }
        pause = std::chrono::milliseconds{500};
        if (earliest)
            (void)co_await outbox_filled_.wait_for(*earliest - Clock::now());
        else
            co_await outbox_filled_.wait();
    }
}

}  // namespace znode::engine
