#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.hpp"
#include "explorer/era.hpp"

namespace znode::engine {

/// What a reservation asks for, in the node's own terms. A value; kept in the journal.
struct Order {
    std::string gwid;        ///< "<id>-<workload id>", the name of everything it becomes.
    std::string type;        ///< "volume", "container", … as in the status.
    std::int64_t owner = 0;  ///< The customer's id.
    std::int64_t pool = 0;   ///< The capacity pool that pays.
    std::string document;    ///< The workload as the explorer sent it, JSON.
    bool verified = false;   ///< The customer's signature was checked and is right.
    explorer::Era era = explorer::Era::pools;  ///< In which it came; results have its shapes.
    std::int64_t expires = 0;                  ///< Unix seconds at which it ends; 0: never.
    /// Of what was reserved by whom: another one under the same gwid is another
    /// reservation, of an explorer that was rebuilt. "" when it is not known.
    std::string fingerprint;
    /// What the explorer calls it by now, when that is not `gwid`: a reservation that goes on in a
    /// pool has a new number, and everything it became keeps the name of the old one.
    std::string told_as = {};

    const std::string& explorer_name() const noexcept { return told_as.empty() ? gwid : told_as; }
};

/// What an order takes away from the others. Bytes and whole CPUs.
struct Amounts {
    std::uint64_t cpus = 0;
    std::uint64_t memory = 0;
    std::uint64_t ssd = 0;
    std::uint64_t hdd = 0;
};

/// Something another workload provides: "network:<id>" or "volume:<gwid>".
struct Need {
    std::string key;
    std::string text;   ///< For people: "network gaia", "volume 12-1".
    bool owned = true;  ///< Must belong to the same customer.
};

/// One thing that is done to the world. Both directions may be repeated; `revert` is safe when
/// `apply` never ran, and succeeds when there is nothing to undo.
class Step {
public:
    virtual ~Step() = default;
    virtual std::string name() const = 0;
    virtual Task<Result<>> apply() = 0;
    virtual Task<Result<>> revert() = 0;
};

/// How the program of a workload ended.
struct Ending {
    bool good = false;  ///< Exit code 0.
    std::string text =
        {};  ///< "exit code 7", "signal 9 (Killed), out of memory"; "": it never did.
    std::string reason = {};  ///< "exit", "signal", "out of memory", "not executed", "unknown".
    std::int64_t code = 0;    ///< Of an exit.
    std::int64_t signal = 0;  ///< 0: it ended by itself.
    std::int64_t time = 0;    ///< Unix nanoseconds; 0: unknown.
};

/// Everything that has to be done for one order, first step first.
class Plan {
public:
    std::vector<Need> needs;
    std::vector<std::string> provides;  ///< Keys that others may need.
    Amounts amounts;

    void add(std::unique_ptr<Step> step) { steps_.push_back(std::move(step)); }

    /// Applies every step in order. On failure the plan stays half done: whoever called decides
    /// whether to try again (transient) or to retire.
    Task<Result<>> deploy(std::function<void(const std::string&)> progress);

    /// Reverts every step, last first, and stops at the first that fails: what a later step still
    /// uses (the network of a container that cannot be stopped) is not taken away beneath it.
    /// Whoever called tries the whole again.
    Task<Result<>> retire();

    /// The type's part of the result document, JSON; "null" where there is none. After `deploy`.
    std::function<std::string()> data = [] { return std::string{"null"}; };
    /// Addresses for the status. After `deploy`.
    std::function<std::vector<std::string>()> addresses = [] { return std::vector<std::string>{}; };
    /// The process to show, 0 without one. After `deploy`.
    std::function<std::int64_t()> pid = [] { return std::int64_t{0}; };
    /// Ends when the program of a deployed workload ends; empty: nothing can end.
    std::function<Task<Result<Ending>>()> watch;
    /// Asked once after a restart of the agent, before `deploy`: how the program ended while nobody
    /// looked. Empty when it runs, or when a reboot ended it.
    std::function<Task<std::optional<Ending>>()> missed_ending;

private:
    std::vector<std::unique_ptr<Step>> steps_;
};

/// Whether trying again could help.
bool is_transient(Errc code) noexcept;

/// Whether an order was ever accepted here.
enum class Standing {
    fresh,     ///< The rules and settings of today decide.
    accepted,  ///< Was taken by the rules of then: it may be there, and must be kept and undone.
};

/// Turns orders of the types it knows into plans.
class Planner {
public:
    virtual ~Planner() = default;
    /// The customer has signed the end of this workload: its data need not be kept for a while.
    virtual void may_destroy(const std::string& gwid) { (void)gwid; }
    /// The explorer calls this workload `name` from now on; what refers to it may use either.
    virtual void renamed(const std::string& gwid, const std::string& name)
    {
        (void)gwid;
        (void)name;
    }
    /// Reads the document. Errc::invalid or ::denied: the order is refused, with the reason for the
    /// customer in the message; Errc::unsupported: a type that this node does not run.
    virtual Result<std::unique_ptr<Plan>> plan(const Order& order, Standing standing) = 0;
};

}  // namespace znode::engine
