#pragma once

#include "engine/engine.hpp"

namespace znode::engine {

/// The owner of one workload: one coroutine, which alone changes its state. Others leave a wish
/// (`remove`, `restart`) and wake it.
class Runner {
public:
    Runner(Engine& engine, Entry entry);

    /// The plan of an order that was just accepted; else `run` asks the planner. From here on the
    /// engine counts what it takes and knows what it provides.
    void adopt(std::unique_ptr<Plan> plan);

    /// Asks the planner, unless there is a plan or a refusal already.
    void make_plan();

    /// Until the workload is gone. Throws Asio's cancellation when the agent stops.
    Task<> run();

    void remove()
    {
        removal_ = true;
        wake_.notify();
    }
    /// The same because of the reservation's own date.
    void end(std::string reason)
    {
        end_reason_ = std::move(reason);
        remove();
    }
    void restart()
    {
        restart_ = true;
        wake_.notify();
    }
    void needs_changed() { wake_.notify(); }
    /// The outbox holds nothing of this workload any more.
    void letters_sent()
    {
        reported_ = true;
        wake_.notify();
    }
    /// The outbox holds something, of the run before.
    void letters_wait() noexcept { reported_ = false; }
    /// When the explorer took its last result; the clock's epoch: it has none.
    Clock::time_point last_report() const noexcept { return last_report_; }
    void reported_at(Clock::time_point when) noexcept { last_report_ = when; }
    /// The result once more, for an explorer that asks again for what runs; none when there is
    /// none.
    std::vector<Letter> result_again() const;
    /// It has had its ok, and neither end has begun.
    bool is_known_to_explorer() const noexcept
    {
        return entry_.was_ok && reported_ && !estranged_ && !removal_ &&
               entry_.state != State::failed && entry_.state != State::retiring &&
               entry_.state != State::gone;
    }
    /// Whether this order is another reservation than the one that is here under the number.
    bool is_other(const Order& order) const
    {
        const auto& mine = entry_.order.fingerprint;
        return !mine.empty() && !order.fingerprint.empty() && mine != order.fingerprint;
    }
    /// The explorer has another name for it from now on, and another end. To be written down.
    void rename(const Order& order)
    {
        entry_.order.told_as = order.told_as;
        entry_.order.pool = order.pool;
        entry_.order.era = order.era;
        entry_.order.expires = order.expires;
    }
    /// The explorer means somebody else by this number now: nothing is reported any more.
    void estrange() { estranged_ = true; }
    /// It was never written down: as if it had not been adopted.
    void forget();
    /// It is gone and its coroutine is over.
    bool has_ended() const { return ended_; }

    /// A transition that is in the journal now.
    void remember(const JournalEvent& event);
    const std::vector<std::string>& provided() const;
    const Entry& entry() const noexcept { return entry_; }
    Amounts amounts() const { return plan_ ? plan_->amounts : Amounts{}; }
    /// What others need of it is there now.
    bool up() const noexcept { return entry_.state == State::running && !recovering_; }
    bool has_program() const { return plan_ && plan_->watch; }
    WorkloadView view(bool with_history) const;

private:
    class NeedsHeard;
    /// A transition in few bytes: there is one of these for each of thousands of workloads.
    struct Passed {
        std::int64_t sequence = 0;
        std::int64_t time = 0;
        std::optional<State> from;
        State to = State::waiting;
        std::string message;
    };

    /// Empty: it is as the journal says.
    Task<std::optional<Event>> recover();
    Task<Event> wait_for_needs();
    Task<Event> deploy();
    Task<Event> watch();
    Task<> end_program();
    Task<Event> back_off();
    Task<Event> rest();
    Task<Event> undo(Event afterwards);
    Task<Event> until_reported();
    Task<> removal();
    Task<> removal_or(Clock::time_point deadline);
    bool needs_come_up() const;
    Task<> wish();
    void count(bool taken);
    Task<> move_on(Transition move);
    std::vector<Letter> letters_for(Effect effect) const;
    void say(std::string message);
    Duration pause_after_crash() const;

    Engine& engine_;
    Entry entry_;
    std::unique_ptr<Plan> plan_;
    std::string refusal_;
    std::vector<std::string> waits_for_;
    znode::Event wake_;
    std::string end_reason_;
    bool removal_ = false;
    bool restart_ = false;
    bool reported_;
    bool estranged_ = false;
    bool counted_ = false;
    bool ended_;
    bool recovering_;  ///< The journal says running; the world was not asked yet.
    std::vector<Passed> history_;
    int crashes_ = 0;  ///< In a row.
    Clock::time_point started_{};
    Clock::time_point last_report_{};
};

}  // namespace znode::engine
