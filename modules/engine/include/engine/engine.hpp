#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "async/blocking.hpp"
#include "async/event.hpp"
#include "async/task_group.hpp"
#include "base/log.hpp"
#include "engine/admission.hpp"
#include "engine/journal.hpp"
#include "engine/lifecycle.hpp"
#include "engine/plan.hpp"
#include "storage/kept_clock.hpp"

namespace znode::engine {

/// Times that a test shortens.
struct Patience {
    Duration deadline = std::chrono::minutes{8};       ///< From acceptance to ok or error.
    Duration unknown_need = std::chrono::seconds{30};  ///< For a need that nobody has announced.
    Duration first_retry = std::chrono::milliseconds{500};
    Duration longest_retry = std::chrono::seconds{30};
    Duration first_back_off = std::chrono::seconds{2};  ///< After a crash.
    Duration longest_back_off = std::chrono::minutes{5};
    Duration calm = std::chrono::minutes{10};       ///< Running so long forgets earlier crashes.
    Duration report_gap = std::chrono::minutes{1};  ///< Between two later results of a workload.
    Duration first_hold = std::chrono::seconds{1};  ///< Of letters that the explorer failed over.
    Duration longest_hold = std::chrono::minutes{5};
    Duration keep_gone = std::chrono::days{7};  ///< So that a late repetition revives nothing.
    Duration tidying = std::chrono::hours{1};   ///< How often what was kept for long is forgotten.
};

/// A workload as the status shows it.
struct WorkloadView {
    Entry entry;
    std::vector<std::string> waits_for;
    Amounts amounts;
    std::vector<std::string> addresses;
    std::int64_t pid = 0;
    bool reported = false;              ///< The explorer has heard the last word on it.
    std::vector<JournalEvent> history;  ///< Its newest transitions, oldest first.
};

/// Brings a letter to the explorer. Errc::unavailable and ::timeout: nobody is there, all letters
/// wait; ::not_found, ::invalid and ::exists: the explorer does not want it, drop it; anything
/// else: those of this workload wait.
using Deliver = std::function<Task<Result<>>(const Letter&)>;

class Runner;

/// The owner of all workloads: takes orders, carries them out, reports, takes down.
///
/// Everything is called on the event loop. Start-up is recovery: `start` reads the journal and lets
/// each workload go on from where it was. `stop` parks: nothing that runs is touched.
class Engine {
public:
    struct Parts {
        asio::io_context& loop;
        Planner& planner;
        Journal& journal;
        Blocking& store;  ///< The lane that the journal lives on; one thread.
        Deliver deliver;
        Log log;
        /// Whether the node can take another workload at all; the error says what it lacks.
        std::function<Task<Result<>>()> room = {};
    };
    Engine(Parts parts, Machine machine, Patience patience);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    Task<Result<>> start();
    Task<> stop();

    /// An entry of the explorer's page. Repeating one is harmless.
    struct Incoming {
        Order order;
        bool remove = false;      ///< next_action 4 or 6.
        bool end_signed = false;  ///< The customer's signature under the removal was checked.
        bool explorer_has_result = false;
        std::string refusal;  ///< Not empty: the document could not be read, for this reason.
    };
    Task<Result<>> take(Incoming incoming);
    /// A whole page at once: one commit for all that is new. The first failure; nothing of what
    /// failed is kept, the rest is.
    Task<Result<>> take_all(std::vector<Incoming> page);
    /// Whether this very reservation is known already, and need not be checked again.
    bool knows(const Order& order) const;

    /// Starts the program of a workload again. Errc::not_found, ::invalid when it has none.
    Result<> restart(const std::string& gwid);
    /// While on, new orders are refused with `reason`; removals go on.
    void set_maintenance(bool on, std::string reason);
    bool in_maintenance() const noexcept { return maintenance_; }
    const std::string& maintenance_reason() const noexcept { return maintenance_reason_; }

    std::vector<WorkloadView> workloads() const;
    std::optional<WorkloadView> workload(const std::string& gwid) const;
    /// Everything that is not gone, without a copy.
    void each(const std::function<void(const Entry&)>& look) const;
    /// What everything that is not gone asked for.
    Amounts taken() const { return taken_; }
    const Machine& machine() const noexcept { return machine_; }
    std::size_t letters_waiting() const noexcept { return letters_waiting_; }
    /// What an operator should know of, by workload: numbers that the explorer has given twice; and
    /// under "" that it ends a lot which nobody signed the end of, under "missing" that it does not
    /// list what runs here.
    const std::map<std::string, std::string>& alarms() const noexcept { return alarms_; }

    /// An alarm of somebody else's; "" ends it.
    void set_alarm(const std::string& about, std::string text);
    /// What an explorer that knows this node has in its list, by its names: everything that it was
    /// told of as ok, and that nobody ends.
    std::set<std::string> known_to_explorer() const;

    /// Events after this number, oldest first; from the journal.
    Task<Result<std::vector<JournalEvent>>> events_after(std::int64_t sequence, int limit);
    Task<Result<std::vector<JournalEvent>>> history_of(std::string gwid);
    /// Ends at the next event (or at once when one came in between).
    Task<> wait_for_event();
    std::int64_t last_sequence() const noexcept { return last_sequence_; }

    /// Called after every change of what is taken: new workload running, one gone.
    std::function<void()> on_change = [] {};

private:
    friend class Runner;

    /// A change on its way into the journal.
    struct Pending {
        explicit Pending(asio::io_context& loop) : done{loop} {}
        Change change;
        std::optional<Result<JournalEvent>> outcome;
        znode::Event done;
    };
    using PendingPtr = std::shared_ptr<Pending>;

    PendingPtr enqueue(Change change);
    /// Until it is written; the letters are counted and on their way then.
    Task<Result<JournalEvent>> written(PendingPtr pending);
    Task<Result<JournalEvent>> commit(Change change) { return written(enqueue(std::move(change))); }
    Task<> write_changes();
    Task<> tidy();
    Task<Result<bool>> forget_gone();
    Task<Result<std::vector<Runner*>>> read_workloads();
    Task<Result<>> read_history();

    void count_unsigned_end(const Order& order);
    PendingPtr take_known(Runner& runner, const Incoming& incoming);
    PendingPtr take_new(Incoming incoming);
    PendingPtr rename(Runner& runner, const Order& order);
    PendingPtr refuse_successor(const Incoming& incoming);
    PendingPtr refuse_number(Runner& runner, const Incoming& incoming);

    Runner* provider_of(const std::string& key) const;
    void add_provider(Runner& runner);
    void remove_provider(Runner& runner);
    /// Whether it asks for a number whose workload of before is gone and about to be written so.
    bool waits_for_number(const Order& order) const;
    Task<Result<>> free_numbers(const std::vector<Incoming>* page);
    /// Somebody who needs something of this runner should look again.
    void wake_needy(const Runner& runner);
    void published(const JournalEvent& event);
    Task<> deliver_letters();
    struct Round;
    /// Once through the outbox.
    struct Sweep {
        std::set<std::string> passed;                           ///< Whose letters wait.
        Clock::time_point earliest = Clock::time_point::max();  ///< When one of them may go.
        std::size_t repetitions = 0;
        bool away = false;
    };
    Task<Result<>> sweep_outbox(Sweep* sweep);
    Task<> deliver_batch(std::vector<Letter> letters, Sweep* sweep);
    Task<> deliver_of(std::shared_ptr<Round> round, std::vector<Letter> letters);
    void hold_letters(const std::string& gwid, const Error& error);
    Clock::time_point due(const Letter& letter) const;
    Task<> courier(std::shared_ptr<Round> round);
    void ends_at(const Runner& runner);
    Task<> end_in_time();

    Parts parts_;
    Machine machine_;
    Patience patience_;
    TaskGroup runners_;
    znode::Event runner_ended_;
    TaskGroup couriers_;
    std::map<std::string, std::unique_ptr<Runner>> by_gwid_;
    std::unordered_map<std::string, std::vector<Runner*>> providers_;  ///< By key of a need.
    std::unordered_map<std::string, std::set<Runner*>> needy_;         ///< Who waits for a key.
    Amounts taken_;  ///< Of all that is neither gone nor failed.
    std::vector<PendingPtr> pending_;
    znode::Event changes_pending_;
    /// Reservations with an end, by its date; the moment of the steady clock is the second witness.
    std::multimap<std::int64_t, std::pair<std::string, Clock::time_point>> ends_;
    znode::Event ends_changed_;
    std::map<std::string, std::string> alarms_;    ///< Text by gwid.
    std::deque<Clock::time_point> unsigned_ends_;  ///< Of volumes and 0-dbs, within a minute.
    znode::Event outbox_filled_;
    std::size_t letters_waiting_ = 0;
    /// A workload whose letter the explorer failed over.
    struct Hold {
        Duration pause{};
        Clock::time_point until{};
    };
    storage::KeptClock gone_clock_;
    std::map<std::string, Hold> held_;
    std::int64_t last_sequence_ = 0;
    std::vector<std::shared_ptr<znode::Event>> event_waiters_;
    bool maintenance_ = false;
    std::string maintenance_reason_;
    bool stopping_ = false;
};

}  // namespace znode::engine
