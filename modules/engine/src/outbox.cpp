// What goes into the journal, and what goes out of it to the explorer.

#include "base/failpoint.hpp"
#include "engine/engine.hpp"
#include "runner.hpp"

namespace znode::engine {
namespace {

constexpr auto longest_delivery_pause = std::chrono::seconds{30};
constexpr int letters_at_once = 256;
constexpr std::size_t deliveries_at_once = 8;

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

/// Brings the letters of one workload, in order; false when the explorer is away.
Task<bool> Engine::deliver_of(std::shared_ptr<Round> round, std::vector<Letter> letters)
{
    for (const auto& letter : letters) {
        const auto delivered = co_await parts_.deliver(letter);
        if (!delivered && is_transient(delivered.error().code)) {
            parts_.log->debug(
                "letter waits workload={} error=\"{}\"", letter.gwid, delivered.error().message);
            co_return false;
        }
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
    co_return true;
}

Task<> Engine::courier(std::shared_ptr<Round> round)
{
    while (!round->silent && round->next < round->letters.size()) {
        auto mine = std::move(round->letters[round->next++]);
        if (!co_await deliver_of(round, std::move(mine))) round->silent = true;
    }
    --round->out;
    round->one_back.notify();
}

/// Several workloads at a time. The moment at which a held one may go, if there is any.
Task<std::optional<Clock::time_point>> Engine::deliver_batch(
    std::vector<Letter> letters, bool* away)
{
    std::optional<Clock::time_point> earliest;
    std::vector<std::vector<Letter>> by_workload;
    std::map<std::string, std::optional<std::size_t>> place;
    for (auto& letter : letters) {
        const auto [at, first] = place.try_emplace(letter.gwid);
        if (!first && !at->second) continue;  // Held, and so are its later ones.
        const auto runner = by_gwid_.find(letter.gwid);
        const auto last =
            runner == by_gwid_.end() ? Clock::time_point{} : runner->second->last_report();
        const bool change = letter.kind == Letter::Kind::result && letter.state == 1;
        if (change && last != Clock::time_point{} && Clock::now() < last + patience_.report_gap) {
            const auto due = last + patience_.report_gap;
            earliest = earliest ? std::min(*earliest, due) : due;
            at->second.reset();
            continue;
        }
        if (first) {
            at->second = by_workload.size();
            by_workload.emplace_back();
        }
        by_workload[*at->second].push_back(std::move(letter));
    }

    const auto round = std::make_shared<Round>(parts_.loop);
    round->letters = std::move(by_workload);
    round->out = std::min(deliveries_at_once, round->letters.size());
    for (std::size_t i = round->out; i > 0; --i) couriers_.spawn(courier(round));
    while (round->out > 0) {
        co_await round->one_back.wait();
    }
    // Else the next round would find them in the outbox once more.
    for (const auto& noted : round->noted) (void)co_await written(noted);
    *away = round->silent;
    co_return earliest;
}

/// Sends letters in the order of their birth, again and again until the explorer has them. A
/// workload whose letter must wait holds up its own later ones and nobody else's.
Task<> Engine::deliver_letters()
{
    Duration pause = std::chrono::milliseconds{500};
    for (;;) {
        auto letters =
            co_await parts_.store.run([&] { return parts_.journal.unsent(letters_at_once); });
        if (!letters) {
            parts_.log->error("outbox cannot be read error=\"{}\"", letters.error().message);
            co_await sleep_for(longest_delivery_pause);
            continue;
        }
        const bool more = letters->size() == static_cast<std::size_t>(letters_at_once);
        if (!more) letters_waiting_ = letters->size();
        const auto before = letters_waiting_;
        bool away = false;
        const auto earliest = co_await deliver_batch(*std::move(letters), &away);
        if (away) {
            // Not woken by new letters: they would meet the same silence.
            co_await sleep_for(pause);
            pause = std::min<Duration>(pause * 2, longest_delivery_pause);
            continue;
        }
        pause = std::chrono::milliseconds{500};
        if (more && letters_waiting_ < before) continue;
        if (earliest)
            (void)co_await outbox_filled_.wait_for(*earliest - Clock::now());
        else
            co_await outbox_filled_.wait();
    }
}

}  // namespace znode::engine
