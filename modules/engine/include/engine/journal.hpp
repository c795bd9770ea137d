#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/lifecycle.hpp"
#include "engine/plan.hpp"
#include "store/database.hpp"

namespace znode::engine {

/// One workload as the journal holds it.
struct Entry {
    Order order;
    State state = State::waiting;
    std::int64_t since = 0;     ///< Unix nanoseconds of the last transition.
    std::string message;        ///< Why it is in this state, for people.
    bool was_ok = false;        ///< A result "ok" was put into the outbox once.
    std::string result;         ///< data_json of that result.
    std::int64_t restarts = 0;  ///< Starts after the first.
    Ending last_exit;           ///< How the program ended last.
    std::int64_t accepted = 0;  ///< Unix nanoseconds.
    /// Not empty: refused when it came, for this reason; never to be planned, whoever reads it.
    std::string refusal = {};
};

/// One line of the event stream.
struct JournalEvent {
    std::int64_t sequence = 0;
    std::int64_t time = 0;  ///< Unix nanoseconds.
    std::string gwid;
    std::string type;
    std::string from;
    std::string to;
    std::string message;
};

/// A word for the explorer that it has not taken yet.
struct Letter {
    std::int64_t id = 0;
    std::string gwid;
    enum class Kind { result, removed } kind = Kind::result;
    int state = 0;         ///< 0 error, 1 ok.
    std::string category;  ///< The workload's type.
    std::string message;
    std::string data;          ///< data_json.
    std::int64_t epoch = 0;    ///< Unix seconds of the event, not of the sending.
    std::string told_as = {};  ///< The explorer's name for it, when that is another.
};

/// Something to be written down: an entry (new, or with its new state) and what is said of it.
struct Change {
    std::optional<Entry> entry;  ///< Absent: only letters.
    std::optional<State> from;   ///< The state before; absent for a new workload.
    std::vector<Letter> letters;
    std::vector<std::int64_t> sent = {};  ///< Letters that the explorer has taken, by id.
};

/// The durable memory of the engine: workloads, events, the outbox, cursors, chosen values.
///
/// Written before anything is done, so that a restart knows what was meant. Not thread-safe: used
/// from one lane only. A transaction per call, fsync included.
class Journal {
public:
    /// Opens or makes the database. A damaged one is moved aside (`<path>.damaged-<time>`) and a
    /// new one begun: the explorer and the marks on the resources tell the rest.
    [[nodiscard]] static Result<Journal> open(const std::filesystem::path& path);

    /// What a damaged database was moved to, for the status; empty if all was well.
    const std::string& moved_aside() const noexcept { return moved_aside_; }

    /// A place in the order in which workloads were accepted; the beginning by default.
    struct Place {
        std::int64_t accepted = std::numeric_limits<std::int64_t>::min();
        std::string gwid;
    };
    /// The next entries in that order: in pieces, since a machine may have thousands.
    [[nodiscard]] Result<std::vector<Entry>> load(const Place& after, int limit);

    /// A new workload in state `waiting`.
    [[nodiscard]] Result<JournalEvent> accept(const Entry& entry);

    /// Writes the entry with its new state, the event, and letters for the explorer, in one
    /// transaction. A new result of a workload replaces older unsent ones.
    [[nodiscard]] Result<JournalEvent> record(
        const Entry& entry, State from, const std::vector<Letter>& letters);

    /// Several changes in one transaction: all of them, or none. The events of those that have an
    /// entry, in order; what has none gets an empty event.
    [[nodiscard]] Result<std::vector<JournalEvent>> commit(const std::vector<Change>& changes);

    /// Whose letters wait: the workload of each of them.
    [[nodiscard]] Result<std::vector<std::string>> unsent_of();
    /// Letters in the order of their birth, those after the one with this number.
    [[nodiscard]] Result<std::vector<Letter>> unsent(int limit, std::int64_t after = 0);
    [[nodiscard]] Result<> sent(std::int64_t letter);
    /// Puts a letter into the outbox without a transition.
    [[nodiscard]] Result<> write(const Letter& letter);

    [[nodiscard]] Result<std::vector<JournalEvent>> events_after(std::int64_t sequence, int limit);
    /// The number of the newest event, 0 without any.
    [[nodiscard]] Result<std::int64_t> last_sequence();
    [[nodiscard]] Result<std::vector<JournalEvent>> history_of(const std::string& gwid);
    /// The same as `events_after`, without what is gone.
    [[nodiscard]] Result<std::vector<JournalEvent>> events_of_living(
        std::int64_t sequence, int limit);

    /// Small durable facts: cursors, chosen numbers.
    [[nodiscard]] Result<std::optional<std::string>> fact(const std::string& key);
    [[nodiscard]] Result<> set_fact(const std::string& key, const std::string& value);

    /// Drops every fact whose key begins with this.
    [[nodiscard]] Result<> forget_facts(const std::string& prefix);

    /// The first id of the tenant's user range; given once and kept, since ids on disk depend on
    /// it. Ranges begin at `first` and are 65536 long.
    [[nodiscard]] Result<std::uint32_t> uid_range(std::int64_t owner, std::uint32_t first);
    /// Whether any range was given yet: not after a damaged database was moved aside.
    [[nodiscard]] Result<bool> has_uid_ranges();
    /// Notes a range that was found on disk, unless the owner or the range is known already.
    [[nodiscard]] Result<> keep_uid_range(std::int64_t owner, std::uint32_t first);

    struct Pruned {
        std::vector<std::string> workloads;
        bool more = false;  ///< It was a piece only.
    };
    /// Drops workloads that are gone since before this moment, and old events beyond 100,000: some,
    /// so that nobody waits long.
    [[nodiscard]] Result<Pruned> prune(std::int64_t gone_before);

private:
    explicit Journal(store::Database database) : database_{std::move(database)} {}
    Result<JournalEvent> add_event(const Entry& entry, const std::string& from);
    Result<> add_letter(const Letter& letter);
    Result<JournalEvent> apply(const Change& change);
    Result<> insert(const Entry& entry);
    Result<> update(const Entry& entry);
    Result<std::vector<JournalEvent>> events(
        const std::string& which, const std::vector<store::Value>& values);

    store::Database database_;
    std::string moved_aside_;
};

/// CLOCK_REALTIME, nanoseconds.
std::int64_t now_ns();

}  // namespace znode::engine
