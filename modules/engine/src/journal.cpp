#include "engine/journal.hpp"

#include <chrono>
#include <filesystem>

#include "base/failpoint.hpp"

namespace znode::engine {
namespace {

using store::Row;

const std::vector<std::string> schema{
    R"sql(
CREATE TABLE workloads (
  gwid TEXT PRIMARY KEY, type TEXT NOT NULL, owner INTEGER NOT NULL, pool INTEGER NOT NULL,
  document TEXT NOT NULL, verified INTEGER NOT NULL, state TEXT NOT NULL, since INTEGER NOT NULL,
  message TEXT NOT NULL, was_ok INTEGER NOT NULL, result TEXT NOT NULL, restarts INTEGER NOT NULL,
  last_exit TEXT NOT NULL, accepted INTEGER NOT NULL);
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, gwid TEXT NOT NULL,
  type TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, message TEXT NOT NULL);
CREATE INDEX events_of ON events (gwid);
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, gwid TEXT NOT NULL, kind INTEGER NOT NULL,
  state INTEGER NOT NULL, category TEXT NOT NULL, message TEXT NOT NULL, data TEXT NOT NULL,
  epoch INTEGER NOT NULL);
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE tenants (owner INTEGER PRIMARY KEY, first_uid INTEGER NOT NULL UNIQUE);
)sql",
    R"sql(
ALTER TABLE workloads ADD COLUMN era TEXT NOT NULL DEFAULT 'pools';
ALTER TABLE workloads ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workloads ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
)sql",
    R"sql(
ALTER TABLE workloads ADD COLUMN exit_reason TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE workloads ADD COLUMN exit_code INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workloads ADD COLUMN exit_signal INTEGER NOT NULL DEFAULT 0;
ALTER TABLE workloads ADD COLUMN exit_time INTEGER NOT NULL DEFAULT 0;
)sql",
    // A new letter takes the place of an older one: looked for with each, also when many wait.
    R"sql(
CREATE INDEX outbox_of ON outbox (gwid);
)sql",
    R"sql(
ALTER TABLE workloads ADD COLUMN told_as TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN told_as TEXT NOT NULL DEFAULT '';
)sql",
    R"sql(
ALTER TABLE workloads ADD COLUMN refusal TEXT NOT NULL DEFAULT '';
)sql",
};

constexpr std::uint32_t range_length = 65536;

Entry entry_of(const Row& row)
{
    Entry entry;
    entry.order.gwid = row.text(0);
    entry.order.type = row.text(1);
    entry.order.owner = row.integer(2);
    entry.order.pool = row.integer(3);
    entry.order.document = row.text(4);
    entry.order.verified = row.integer(5) != 0;
    entry.state = state_of(row.text(6)).value_or(State::waiting);
    entry.since = row.integer(7);
    entry.message = row.text(8);
    entry.was_ok = row.integer(9) != 0;
    entry.result = row.text(10);
    entry.restarts = row.integer(11);
    entry.last_exit.text = row.text(12);
    entry.accepted = row.integer(13);
    entry.order.era = explorer::era_of(row.text(14)).value_or(explorer::Era::pools);
    entry.order.expires = row.integer(15);
    entry.order.fingerprint = row.text(16);
    entry.last_exit.reason = row.text(17);
    entry.last_exit.code = row.integer(18);
    entry.last_exit.signal = row.integer(19);
    entry.last_exit.time = row.integer(20);
    entry.last_exit.good = entry.last_exit.reason == "exit" && entry.last_exit.code == 0;
    entry.order.told_as = row.text(21);
    entry.refusal = row.text(22);
    return entry;
}

JournalEvent event_of(const Row& row)
{
    return {
        row.integer(0),
        row.integer(1),
        row.text(2),
        row.text(3),
        row.text(4),
        row.text(5),
        row.text(6)};
}

/// For some thousands of transitions: on a full disk refusals, ends and removals are still noted.
constexpr std::uint64_t disk_reserve = std::uint64_t{1} << 20U;

}  // namespace

std::int64_t now_ns()
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

Result<Journal> Journal::open(const std::filesystem::path& path)
{
    auto database = store::Database::open(path);
    std::string aside;
    if (!database &&
        (database.error().code == Errc::exhausted || database.error().code == Errc::unavailable)) {
        // Started on a full disk: what the last run set aside is for this.
        std::error_code failed;
        if (std::filesystem::remove(path.string() + "-reserve", failed))
            database = store::Database::open(path);
    }
    if (!database && database.error().code == Errc::corrupt) {
        aside = path.string() + ".damaged-" + std::to_string(now_ns() / 1'000'000'000);
        std::error_code failed;
        std::filesystem::rename(path, aside, failed);
        if (failed)
            return fail(
                Errc::unavailable, "move damaged " + path.string() + " aside: " + failed.message());
        for (const auto* suffix : {"-wal", "-shm"})
            std::filesystem::remove(path.string() + suffix, failed);
        database = store::Database::open(path);
    }
    if (!database) return tl::unexpected(std::move(database).error());
    database->keep_reserve(disk_reserve);
    Journal journal{*std::move(database)};
    TRY_DO(journal.database_.migrate(schema));
    journal.moved_aside_ = std::move(aside);
    return journal;
}

Result<std::vector<Entry>> Journal::load(const Place& after, int limit)
{
    std::vector<Entry> entries;
    TRY_DO(database_.query(
        // Nobody reads again what the gone ones were.
        "SELECT gwid, type, owner, pool, CASE state WHEN 'gone' THEN '' ELSE document END,"
        " verified, state, since, message, was_ok, result, restarts, last_exit, accepted, era,"
        " expires, fingerprint, exit_reason, exit_code, exit_signal, exit_time,"
        " told_as, refusal FROM workloads WHERE (accepted, gwid) > (?, ?)"
        " ORDER BY accepted, gwid LIMIT ?",
        {after.accepted, after.gwid, std::int64_t{limit}},
        [&](const Row& row) {
            entries.push_back(entry_of(row));
            return true;
        }));
    return entries;
}

Result<JournalEvent> Journal::add_event(const Entry& entry, const std::string& from)
{
    const JournalEvent event{
        0,
        entry.since,
        entry.order.gwid,
        entry.order.type,
        from,
        std::string{to_string(entry.state)},
        entry.message};
    TRY_DO(database_.run(
        "INSERT INTO events (time, gwid, type, before, after, message) VALUES (?, ?, ?, ?, ?, ?)",
        {event.time, event.gwid, event.type, event.from, event.to, event.message}));
    auto numbered = event;
    numbered.sequence = database_.last_insert_id();
    return numbered;
}

Result<> Journal::add_letter(const Letter& letter)
{
    // Only the newest result of a workload is of interest to the explorer.
    if (letter.kind == Letter::Kind::result)
        TRY_DO(database_.run("DELETE FROM outbox WHERE gwid = ? AND kind = 0", {letter.gwid}));
    else
        TRY_DO(database_.run("DELETE FROM outbox WHERE gwid = ? AND kind = 1", {letter.gwid}));
    TRY_DO(database_.run(
        "INSERT INTO outbox (gwid, kind, state, category, message, data, epoch, told_as)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        {letter.gwid,
         std::int64_t{letter.kind == Letter::Kind::result ? 0 : 1},
         std::int64_t{letter.state},
         letter.category,
         letter.message,
         letter.data,
         letter.epoch,
         letter.told_as}));
    return {};
}

Result<> Journal::insert(const Entry& entry)
{
    FP("engine.journal.accept");
    // One that is gone may stand there under the same number, from before an explorer was rebuilt.
    TRY_DO(database_.run(
        "INSERT OR REPLACE INTO workloads VALUES"
        " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        {entry.order.gwid,
         entry.order.type,
         entry.order.owner,
         entry.order.pool,
         entry.order.document,
         std::int64_t{entry.order.verified},
         std::string{to_string(entry.state)},
         entry.since,
         entry.message,
         std::int64_t{entry.was_ok},
         entry.result,
         entry.restarts,
         entry.last_exit.text,
         entry.accepted,
         std::string{explorer::to_string(entry.order.era)},
         entry.order.expires,
         entry.order.fingerprint,
         entry.last_exit.reason,
         entry.last_exit.code,
         entry.last_exit.signal,
         entry.last_exit.time,
         entry.order.told_as,
         entry.refusal}));
    return {};
}

Result<> Journal::update(const Entry& entry)
{
    FP("engine.journal.record");
    TRY_DO(database_.run(
        "UPDATE workloads SET state = ?, since = ?, message = ?, was_ok = ?, result = ?,"
        " restarts = ?, last_exit = ?, exit_reason = ?, exit_code = ?, exit_signal = ?,"
        " exit_time = ?, pool = ?, era = ?, expires = ?, told_as = ? WHERE gwid = ?",
        {std::string{to_string(entry.state)},
         entry.since,
         entry.message,
         std::int64_t{entry.was_ok},
         entry.result,
         entry.restarts,
         entry.last_exit.text,
         entry.last_exit.reason,
         entry.last_exit.code,
         entry.last_exit.signal,
         entry.last_exit.time,
         entry.order.pool,
         std::string{explorer::to_string(entry.order.era)},
         entry.order.expires,
         entry.order.told_as,
         entry.order.gwid}));
    return {};
}

Result<JournalEvent> Journal::apply(const Change& change)
{
    if (change.entry && change.from)
        TRY_DO(update(*change.entry));
    else if (change.entry)
        TRY_DO(insert(*change.entry));
    const auto& letters = change.letters;
    // Nothing may follow on a removal: an explorer takes a late result for a revival.
    if (letters.size() == 1 && letters.front().kind == Letter::Kind::removed)
        TRY_DO(database_.run("DELETE FROM outbox WHERE gwid = ?", {letters.front().gwid}));
    for (const auto& letter : letters) TRY_DO(add_letter(letter));
    for (const auto letter : change.sent) {
        FP("engine.outbox.sent");
        TRY_DO(database_.run("DELETE FROM outbox WHERE id = ?", {letter}));
    }
    if (!change.entry) return JournalEvent{};
    return add_event(
        *change.entry, change.from ? std::string{to_string(*change.from)} : std::string{});
}

Result<std::vector<JournalEvent>> Journal::commit(const std::vector<Change>& changes)
{
    std::vector<JournalEvent> events;
    TRY_DO(database_.transaction([&]() -> Result<> {
        for (const auto& change : changes) {
            TRY(auto event, apply(change));
            events.push_back(std::move(event));
        }
        return {};
    }));
    FP("engine.journal.recorded");
    return events;
}

Result<JournalEvent> Journal::accept(const Entry& entry)
{
    TRY(const auto events, commit({Change{entry, std::nullopt, {}}}));
    return events.front();
}

Result<JournalEvent> Journal::record(
    const Entry& entry, State from, const std::vector<Letter>& letters)
{
    TRY(const auto events, commit({Change{entry, from, letters}}));
    return events.front();
}

Result<std::vector<std::string>> Journal::unsent_of()
{
    std::vector<std::string> workloads;
    TRY_DO(database_.query("SELECT gwid FROM outbox", {}, [&](const Row& row) {
        workloads.push_back(row.text(0));
        return true;
    }));
    return workloads;
}

Result<std::vector<Letter>> Journal::unsent(int limit, std::int64_t after)
{
    std::vector<Letter> letters;
    TRY_DO(database_.query(
        "SELECT id, gwid, kind, state, category, message, data, epoch, told_as FROM outbox"
        " WHERE id > ? ORDER BY id LIMIT ?",
        {after, std::int64_t{limit}},
        [&](const Row& row) {
            Letter letter;
            letter.id = row.integer(0);
            letter.gwid = row.text(1);
            letter.kind = row.integer(2) == 0 ? Letter::Kind::result : Letter::Kind::removed;
            letter.state = static_cast<int>(row.integer(3));
            letter.category = row.text(4);
            letter.message = row.text(5);
            letter.data = row.text(6);
            letter.epoch = row.integer(7);
            letter.told_as = row.text(8);
            letters.push_back(std::move(letter));
            return true;
        }));
    return letters;
}

Result<> Journal::sent(std::int64_t letter)
{
    TRY_DO(commit({Change{std::nullopt, std::nullopt, {}, {letter}}}));
    return {};
}

Result<> Journal::write(const Letter& letter)
{
    TRY_DO(commit({Change{std::nullopt, std::nullopt, {letter}}}));
    return {};
}

Result<std::vector<JournalEvent>> Journal::events_after(std::int64_t sequence, int limit)
{
    return events("sequence > ? ORDER BY sequence LIMIT ?", {sequence, std::int64_t{limit}});
}

Result<std::int64_t> Journal::last_sequence()
{
    TRY(const auto highest, database_.integer("SELECT max(sequence) FROM events"));
    return highest.value_or(0);
}

Result<std::vector<JournalEvent>> Journal::history_of(const std::string& gwid)
{
    return events("gwid = ? ORDER BY sequence", {gwid});
}

Result<std::vector<JournalEvent>> Journal::events_of_living(std::int64_t sequence, int limit)
{
    return events(
        "sequence > ? AND gwid IN (SELECT gwid FROM workloads WHERE state <> 'gone')"
        " ORDER BY sequence LIMIT ?",
        {sequence, std::int64_t{limit}});
}

Result<std::vector<JournalEvent>> Journal::events(
    const std::string& which, const std::vector<store::Value>& values)
{
    std::vector<JournalEvent> found;
    TRY_DO(database_.query(
        "SELECT sequence, time, gwid, type, before, after, message FROM events WHERE " + which,
        values,
        [&](const Row& row) {
            found.push_back(event_of(row));
            return true;
        }));
    return found;
}

Result<std::optional<std::string>> Journal::fact(const std::string& key)
{
    return database_.text("SELECT value FROM facts WHERE key = ?", {key});
}

Result<> Journal::set_fact(const std::string& key, const std::string& value)
{
    TRY_DO(database_.run(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        {key, value}));
    return {};
}

Result<> Journal::forget_facts(const std::string& prefix)
{
    TRY_DO(
        database_.run("DELETE FROM facts WHERE substr(key, 1, length(?)) = ?", {prefix, prefix}));
    return {};
}

Result<std::uint32_t> Journal::uid_range(std::int64_t owner, std::uint32_t first)
{
    std::uint32_t range = 0;
    TRY_DO(database_.transaction([&]() -> Result<> {
        TRY(const auto known,
            database_.integer("SELECT first_uid FROM tenants WHERE owner = ?", {owner}));
        if (known) {
            range = static_cast<std::uint32_t>(*known);
            return {};
        }
        TRY(const auto highest, database_.integer("SELECT max(first_uid) FROM tenants"));
        const auto next = highest ? *highest + range_length : std::int64_t{first};
        if (next > 0xFFFF'FFFFLL - 2 * static_cast<std::int64_t>(range_length))
            return fail(Errc::exhausted, "no user range is left for another customer");
        TRY_DO(database_.run("INSERT INTO tenants VALUES (?, ?)", {owner, next}));
        range = static_cast<std::uint32_t>(next);
        return {};
    }));
    return range;
}

Result<bool> Journal::has_uid_ranges()
{
    TRY(const auto count, database_.integer("SELECT count(*) FROM tenants"));
    return count.value_or(0) > 0;
}

Result<> Journal::keep_uid_range(std::int64_t owner, std::uint32_t first)
{
    TRY_DO(
        database_.run("INSERT OR IGNORE INTO tenants VALUES (?, ?)", {owner, std::int64_t{first}}));
    return {};
}

Result<Journal::Pruned> Journal::prune(std::int64_t gone_before)
{
    constexpr std::int64_t piece = 500;
    constexpr std::int64_t piece_of_events = 10'000;
    Pruned pruned;
    TRY_DO(database_.transaction([&]() -> Result<> {
        TRY_DO(database_.query(
            "SELECT gwid FROM workloads WHERE state = 'gone' AND since < ?"
            " AND gwid NOT IN (SELECT gwid FROM outbox) LIMIT ?",
            {gone_before, piece},
            [&](const Row& row) {
                pruned.workloads.push_back(row.text(0));
                return true;
            }));
        for (const auto& gwid : pruned.workloads)
            TRY_DO(database_.run("DELETE FROM workloads WHERE gwid = ?", {gwid}));
        TRY_DO(database_.run(
            "DELETE FROM events WHERE sequence <= (SELECT max(sequence) FROM events) - 100000"
            " AND sequence < (SELECT min(sequence) FROM events) + ?",
            {piece_of_events}));
        TRY(const auto left,
            database_.integer("SELECT max(sequence) - min(sequence) - 100000 FROM events"));
        pruned.more = static_cast<std::int64_t>(pruned.workloads.size()) == piece ||
                      left.value_or(0) > piece_of_events;
        return {};
    }));
    return pruned;
}

}  // namespace znode::engine
