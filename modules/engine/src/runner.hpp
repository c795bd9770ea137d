#pragma once

#include "engine/engine.hpp"

namespace znode::engine {

/// The owner of one workload: one coroutine, which alone changes its state. Others leave a wish
/// (`remove`, `restart`) and wake it.
class Runner {
public:
    Runner(Engine& engine, Entry entry);

    /// A refusal known before there was a plan.
    void refuse(std::string reason) { refusal_ = std::move(reason); }
    /// The plan of an order that was just accepted; else `run` asks the planner.
    void adopt(std::unique_ptr<Plan> plan) { plan_ = std::move(plan); }

    /// Until the workload is gone. Throws Asio's cancellation when the agent stops.
    Task<> run();

    void remove()
    {
        removal_ = true;
        wake_.notify();
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
    /// The explorer asks again for what runs: says it once more.
    Task<Result<>> repeat_result();

    /// A transition that is in the journal now.
    void remember(JournalEvent event);
    bool provides(const std::string& key) const;
    const Entry& entry() const noexcept { return entry_; }
    Amounts amounts() const { return plan_ ? plan_->amounts : Amounts{}; }
    /// What others need of it is there now.
    bool up() const noexcept { return entry_.state == State::running && !recovering_; }
    bool has_program() const { return plan_ && plan_->watch; }
    WorkloadView view() const;

private:
    Task<Event> recover();
    Task<Event> wait_for_needs();
    Task<Event> deploy();
    Task<Event> watch();
    Task<Event> back_off();
    Task<Event> rest();
    Task<Event> undo(Event afterwards);
    Task<Event> until_reported();
    Task<> removal();
    Task<> wish();
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
    bool removal_ = false;
    bool restart_ = false;
    bool reported_ = false;
    bool recovering_;  ///< The journal says running; the world was not asked yet.
    std::vector<JournalEvent> history_;
    int crashes_ = 0;  ///< In a row.
    Clock::time_point started_{};
};

}  // namespace znode::engine
