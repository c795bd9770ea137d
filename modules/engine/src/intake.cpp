// What the explorer's pages become: new workloads, news of known ones, refusals.

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "engine/engine.hpp"
#include "runner.hpp"

namespace znode::engine {
namespace {

/// How long a page waits for the journal to learn that a number is free again.
constexpr auto number_patience = std::chrono::seconds{10};
/// More ends of data than this within this time, and none of them signed, are an alarm.
constexpr std::size_t mass_of_ends = 10;
constexpr auto mass_window = std::chrono::minutes{1};

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
    parts_.planner.renamed(order.gwid, order.told_as);
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
        auto planned = parts_.planner.plan(entry.order, Standing::fresh);
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

    // Written down with the order: after a crash nobody checks it a second time.
    entry.refusal = std::move(refusal);
    // In the map before the journal is asked: the next order of the page counts what this one
    // takes.
    auto runner = std::make_unique<Runner>(*this, entry);
    auto* const made = runner.get();
    by_gwid_[gwid] = std::move(runner);
    if (plan) made->adopt(std::move(plan));
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

bool Engine::waits_for_number(const Order& order) const
{
    const auto known = by_gwid_.find(order.gwid);
    return known != by_gwid_.end() && order.told_as.empty() && known->second->is_other(order) &&
           known->second->entry().state == State::gone && !known->second->has_ended();
}

/// An order that came a moment too early would be refused for ever.
Task<Result<>> Engine::free_numbers(const std::vector<Incoming>* page)
{
    const auto until = Clock::now() + number_patience;
    for (const auto& incoming : *page) {
        while (waits_for_number(incoming.order)) {
            const auto left = until - Clock::now();
            if (left <= Duration::zero())
                co_return fail(
                    Errc::unavailable,
                    "the journal does not take that " + incoming.order.gwid + " is gone");
            (void)co_await runner_ended_.wait_for(left);
        }
    }
    co_return Result<>{};
}

Task<Result<>> Engine::take_all(std::vector<Incoming> page)
{
    CO_TRY_DO(co_await free_numbers(&page));
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

}  // namespace znode::engine
