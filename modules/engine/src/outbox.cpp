// What goes into the journal, and what goes out of it to the explorer.

#include "base/failpoint.hpp"
#include "engine/engine.hpp"
#include "runner.hpp"

namespace znode::engine {
namespace {

constexpr auto longest_delivery_pause = std::chrono::seconds{30};
constexpr int letters_at_once = 256;
constexpr std::size_t deliveries_at_once = 8;
/// Of workloads whose letters failed before: an explorer that fails over everything is spared.
constexpr std::size_t repetitions_at_once = 16;
constexpr auto repetitions_apart = std::chrono::seconds{1};

/// The explorer does not want this letter and never will. Everything else may be different later,
/// and a letter is said only once.
bool is_final(Errc code)
{
    return code == Errc::not_found || code == Errc::invalid || code == Errc::exists;
}

/// Nobody is there to take letters, whosever they are; or the agent stops, and its next run says
/// them.
bool is_silence(Errc code)
{
    return code == Errc::unavailable || code == Errc::timeout || code == Errc::cancelled;
}

}  // namespace

Engine::PendingPtr Engine::enqueue(Change change)
{
    auto pending = std::make_shared<Pending>(parts_.loop);
    pending->change = std::move(change);
    pending_.push_back(pending);
    changes_pending_.notify();
    return pending;
}

Task<Result<JournalEvent>> Engine::written(PendingPtr pending)
{
    while (!pending->outcome) {
        co_await pending->done.wait();
    }
    co_return *pending->outcome;
}

/// One transaction, and so one wait for the disk, for everything that has come up meanwhile.
Task<> Engine::write_changes()
{
    for (;;) {
        while (pending_.empty()) co_await changes_pending_.wait();
        const auto batch = std::exchange(pending_, {});
        std::vector<Change> changes;
        changes.reserve(batch.size());
        for (const auto& pending : batch) changes.push_back(pending->change);
        auto events = co_await parts_.store.run([&] { return parts_.journal.commit(changes); });
        for (std::size_t i = 0; i < batch.size(); ++i) {
            auto& pending = *batch[i];
            if (events) {
                pending.outcome = (*events)[i];
            } else if (batch.size() == 1) {
                pending.outcome = tl::unexpected(events.error());
            } else {
                // One that cannot be written must not take the others with it.
                const std::vector<Change> alone{changes[i]};
                const auto event =
                    co_await parts_.store.run([&] { return parts_.journal.commit(alone); });
                if (event)
                    pending.outcome = event->front();
                else
                    pending.outcome = tl::unexpected(event.error());
            }
            if (*pending.outcome && !pending.change.letters.empty()) {
                letters_waiting_ += pending.change.letters.size();
                outbox_filled_.notify();
            }
            pending.done.notify();
        }
    }
}

/// Letters by workload, and how many couriers are out with them.
struct Engine::Round {
    explicit Round(asio::io_context& loop) : one_back{loop} {}
    std::vector<std::vector<Letter>> letters;
    std::size_t next = 0;
    std::size_t out = 0;
    bool silent = false;            ///< The explorer is away.
    std::vector<PendingPtr> noted;  ///< On their way into the journal: that a letter was taken.
    znode::Event one_back;
};

/// Its letters stay where they are for a while; those of others go on.
void Engine::hold_letters(const std::string& gwid, const Error& error)
{
    const auto [at, first] = held_.try_emplace(gwid);
    auto& [pause, until] = at->second;
    if (first) parts_.log->warn("letter waits workload={} error=\"{}\"", gwid, error.message);
    pause = first ? patience_.first_hold : std::min(pause * 2, patience_.longest_hold);
    until = Clock::now() + pause;
}

/// Brings the letters of one workload, in order, as far as they are taken.
Task<> Engine::deliver_of(std::shared_ptr<Round> round, std::vector<Letter> letters)
{
    for (const auto& letter : letters) {
        const auto delivered = co_await parts_.deliver(letter);
        if (!delivered && !is_final(delivered.error().code)) {
            const auto& error = delivered.error();
            parts_.log->debug("letter waits workload={} error=\"{}\"", letter.gwid, error.message);
            if (is_silence(error.code))
                round->silent = true;
            else
                hold_letters(letter.gwid, error);
            co_return;
        }
        held_.erase(letter.gwid);
        if (!delivered)
            parts_.log->warn(
                "explorer refuses a report workload={} error=\"{}\"",
                letter.gwid,
                delivered.error().message);
        // Nobody waits for the disk here: it is in the journal before anything that follows from
        // it.
        Change taken;
        taken.sent.push_back(letter.id);
        round->noted.push_back(enqueue(std::move(taken)));
        letters_waiting_ -= std::min<std::size_t>(letters_waiting_, 1);
        if (const auto runner = by_gwid_.find(letter.gwid); runner != by_gwid_.end())
            runner->second->reported_at(
                letter.kind == Letter::Kind::result ? Clock::now() : Clock::time_point{});
    }
    if (const auto runner = by_gwid_.find(letters.front().gwid); runner != by_gwid_.end())
        runner->second->letters_sent();
}

Task<> Engine::courier(std::shared_ptr<Round> round)
{
    while (!round->silent && round->next < round->letters.size()) {
        auto mine = std::move(round->letters[round->next++]);
        co_await deliver_of(round, std::move(mine));
    }
    --round->out;
    round->one_back.notify();
}

/// When a letter may go; the past for most.
Clock::time_point Engine::due(const Letter& letter) const
{
    const auto held = held_.find(letter.gwid);
    auto when = held == held_.end() ? Clock::time_point{} : held->second.until;
    const bool change = letter.kind == Letter::Kind::result && letter.state == 1;
    const auto runner = by_gwid_.find(letter.gwid);
    if (change && runner != by_gwid_.end() && runner->second->last_report() != Clock::time_point{})
        when = std::max(when, runner->second->last_report() + patience_.report_gap);
    return when;
}

/// Several workloads at a time; what must wait is left out and remembered in `sweep`.
Task<> Engine::deliver_batch(std::vector<Letter> letters, Sweep* sweep)
{
    const auto round = std::make_shared<Round>(parts_.loop);
    std::map<std::string, std::size_t> place;
    for (auto& letter : letters) {
        // A held one holds up its later ones, also those of a later piece.
        if (sweep->passed.contains(letter.gwid)) continue;
        if (const auto when = due(letter); when > Clock::now()) {
            sweep->passed.insert(letter.gwid);
            sweep->earliest = std::min(sweep->earliest, when);
            continue;
        }
        const auto [at, first] = place.try_emplace(letter.gwid, round->letters.size());
        if (first && held_.contains(letter.gwid) && ++sweep->repetitions > repetitions_at_once) {
            place.erase(at);
            sweep->passed.insert(letter.gwid);
            sweep->earliest = std::min(sweep->earliest, Clock::now() + repetitions_apart);
            continue;
        }
        if (first) round->letters.emplace_back();
        round->letters[at->second].push_back(std::move(letter));
    }

    round->out = std::min(deliveries_at_once, round->letters.size());
    for (std::size_t i = round->out; i > 0; --i) couriers_.spawn(courier(round));
    while (round->out > 0) {
        co_await round->one_back.wait();
    }
    // Else the next round would find them in the outbox once more.
    for (const auto& noted : round->noted) (void)co_await written(noted);
    for (const auto& [gwid, at] : place)
        if (const auto held = held_.find(gwid); held != held_.end()) {
            sweep->passed.insert(gwid);
            sweep->earliest = std::min(sweep->earliest, held->second.until);
        }
    sweep->away = round->silent;
}

/// Once through the whole outbox, oldest first and in pieces: what is held does not stand in the
/// way of what came later. An error: it cannot be read.
Task<Result<>> Engine::sweep_outbox(Sweep* sweep)
{
    std::int64_t last = 0;
    for (bool more = true; more && !sweep->away;) {
        CO_TRY(auto letters, co_await parts_.store.run([&] {
            return parts_.journal.unsent(letters_at_once, last);
        }));
        more = letters.size() == static_cast<std::size_t>(letters_at_once);
        if (!more && last == 0) letters_waiting_ = letters.size();
        // The removal that follows on a result comes with it: it is the pair that is answered.
        if (more && letters.back().kind == Letter::Kind::result) letters.pop_back();
        if (letters.empty()) break;
        last = letters.back().id;
        co_await deliver_batch(std::move(letters), sweep);
    }
    co_return Result<>{};
}

/// Sends letters in the order of their birth, again and again until the explorer has them. A
/// workload whose letter must wait holds up its own later ones and nobody else's.
Task<> Engine::deliver_letters()
{
    Duration pause = std::chrono::milliseconds{500};
    for (;;) {
        Sweep sweep;
        const auto swept = co_await sweep_outbox(&sweep);
        if (!swept) {
            parts_.log->error("outbox cannot be read error=\"{}\"", swept.error().message);
            co_await sleep_for(longest_delivery_pause);
            continue;
        }
        if (sweep.away) {
            // Not woken by new letters: they would meet the same silence.
            co_await sleep_for(pause);
            pause = std::min<Duration>(pause * 2, longest_delivery_pause);
            continue;
        }
        pause = std::chrono::milliseconds{500};
        if (sweep.earliest != Clock::time_point::max())
            (void)co_await outbox_filled_.wait_for(sweep.earliest - Clock::now());
        else
            co_await outbox_filled_.wait();
    }
}

}  // namespace znode::engine
