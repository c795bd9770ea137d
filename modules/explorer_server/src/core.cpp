#include "core.hpp"

#include <algorithm>

#include <sodium.h>

#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"
#include "explorer_server/accounting.hpp"
#include "grid/units.hpp"
#include "identity/identity.hpp"
#include "kernel/files.hpp"

namespace znode::explorer_server {
namespace {

// Documents are kept as the JSON that is shown; the columns beside them are what is searched.
const std::vector<std::string> schema{
    R"sql(
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, email TEXT NOT NULL,
  document TEXT NOT NULL);
CREATE INDEX user_email ON user (email);
CREATE TABLE farm (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, owner INTEGER NOT NULL,
  document TEXT NOT NULL);
CREATE INDEX farm_owner ON farm (owner);
CREATE TABLE node (id INTEGER PRIMARY KEY, node_id TEXT NOT NULL UNIQUE, farm INTEGER NOT NULL,
  country TEXT NOT NULL, city TEXT NOT NULL, deleted INTEGER NOT NULL,
  cru REAL NOT NULL, mru REAL NOT NULL, sru REAL NOT NULL, hru REAL NOT NULL,
  document TEXT NOT NULL);
CREATE INDEX node_farm ON node (farm);
CREATE TABLE gateway (id INTEGER PRIMARY KEY, node_id TEXT NOT NULL UNIQUE, farm INTEGER NOT NULL,
  country TEXT NOT NULL, city TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE pool (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL, empty_at INTEGER NOT NULL,
  document TEXT NOT NULL);
CREATE INDEX pool_owner ON pool (owner);
CREATE INDEX pool_empty_at ON pool (empty_at);
CREATE TABLE payment (id INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE workload (id INTEGER PRIMARY KEY, workload_id INTEGER NOT NULL, node TEXT NOT NULL,
  customer INTEGER NOT NULL, pool INTEGER NOT NULL, next_action INTEGER NOT NULL,
  customer_epoch INTEGER, document TEXT NOT NULL);
CREATE INDEX workload_live ON workload (node, id) WHERE next_action IN (3, 4);
CREATE INDEX workload_customer ON workload (customer, next_action);
CREATE INDEX workload_pool ON workload (pool) WHERE next_action = 3;
CREATE TABLE queue (number INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL,
  id INTEGER NOT NULL, workload_id INTEGER NOT NULL, UNIQUE (node, id, workload_id));
CREATE TABLE deliverable (node TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
)sql",
    // The first era: orders of many workloads, and which node has which of them.
    R"sql(
CREATE TABLE reservation (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL,
  next_action INTEGER NOT NULL, changes INTEGER, document TEXT NOT NULL);
CREATE INDEX reservation_customer ON reservation (customer, next_action);
CREATE INDEX reservation_changes ON reservation (changes) WHERE changes IS NOT NULL;
CREATE TABLE part (reservation INTEGER NOT NULL, position INTEGER NOT NULL,
  workload_id INTEGER NOT NULL, node TEXT NOT NULL, gone INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (reservation, position)) WITHOUT ROWID;
CREATE INDEX part_live ON part (node, reservation) WHERE gone = 0;
CREATE TABLE deal (farm INTEGER NOT NULL, customer INTEGER NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY (farm, customer)) WITHOUT ROWID;
)sql",
    // The pools that take reservations of the first era over, one per customer and farm.
    R"sql(
CREATE TABLE conversion_pool (customer INTEGER NOT NULL, farm INTEGER NOT NULL,
  pool INTEGER NOT NULL, PRIMARY KEY (customer, farm)) WITHOUT ROWID;
)sql",
    // Whose a folder of the hub is: `anna` and `anna.3bot` may both ask for `anna`.
    R"sql(
CREATE TABLE hub_folder (folder TEXT PRIMARY KEY, user INTEGER NOT NULL) WITHOUT ROWID;
)sql"};

std::string random_hex(std::size_t bytes)
{
    std::string raw(bytes, '\0');
    randombytes_buf(raw.data(), raw.size());
    return to_hex(raw);
}

}  // namespace

Refusal::Refusal(Error error)
    : status{error.code == Errc::invalid ? 400U : 500U}, text{std::move(error).message}
{
}

bool append_to_page(std::string& list, std::string_view item)
{
    // One document can't be shown on a smaller page.
    const bool is_first = list.size() <= 1;
    if (!is_first && list.size() + item.size() >= list_page_bytes) return false;
    if (!is_first) list += ',';
    list += item;
    return true;
}

tl::unexpected<Refusal> page_too_large()
{
    return refuse(
        413,
        "the page is larger than " + std::to_string(list_page_bytes) +
            " bytes; ask for a smaller page size");
}

Answer<> check_length(std::string_view text, std::string_view what, std::size_t longest)
{
    if (text.size() <= longest) return http::Reply{};
    return refuse(
        400, std::string{what} + " can not be longer than " + std::to_string(longest) + " bytes");
}

std::string Core::printable_start(std::string_view text) { return printable(text, 80); }

Result<std::unique_ptr<Core>> Core::open(Options options, Log log)
{
    if (::sodium_init() < 0) return fail(Errc::internal, "libsodium does not start");
    TRY_DO(kernel::make_folders(options.data, 0700));
    if (!options.hub.empty()) TRY_DO(kernel::make_folders(options.hub, 0755));
    TRY(auto database,
        store::Database::open(options.data / "explorer.db", store::Durability::full));
    TRY_DO(database.migrate(schema));

    std::string id;
    TRY_DO(database.transaction([&]() -> Result<> {
        TRY_DO(database.run(
            "INSERT OR IGNORE INTO meta (name, value) VALUES ('id', ?)", {random_hex(8)}));
        TRY_DO(database.run(
            "INSERT OR IGNORE INTO counter (name, value) VALUES ('workload', ?)",
            {options.first_id - 1}));
        TRY(auto stored, database.text("SELECT value FROM meta WHERE name = 'id'"));
        id = stored.value_or("");
        return {};
    }));
    return std::make_unique<Core>(
        std::move(database), std::move(options), std::move(id), std::move(log));
}

Result<std::int64_t> Core::next_id(std::string_view counter)
{
    TRY_DO(db.run(
        "INSERT INTO counter (name, value) VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET value = value + 1",
        {std::string{counter}}));
    return last_id(counter);
}

Result<std::int64_t> Core::last_id(std::string_view counter)
{
    TRY(const auto value,
        db.integer("SELECT value FROM counter WHERE name = ?", {std::string{counter}}));
    return value.value_or(0);
}

Result<std::optional<grid::User>> Core::user(std::int64_t id)
{
    return document<grid::User>("SELECT document FROM user WHERE id = ?", {id});
}

Result<std::optional<grid::Farm>> Core::farm(std::int64_t id)
{
    return document<grid::Farm>("SELECT document FROM farm WHERE id = ?", {id});
}

Result<> Core::save_farm(const grid::Farm& farm)
{
    TRY(auto text, stored_text(farm, "farm", largest_old_farm));
    TRY_DO(db.run(
        "INSERT INTO farm (id, name, owner, document) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO "
        "UPDATE SET name = excluded.name, owner = excluded.owner, document = excluded.document",
        {farm.id, farm.name, farm.threebot_id, std::move(text)}));
    return {};
}

Result<std::optional<grid::Node>> Core::node(const std::string& node_id)
{
    return document<grid::Node>("SELECT document FROM node WHERE node_id = ?", {node_id});
}

Result<> Core::save_node(const grid::Node& node)
{
    const auto& total = node.total_resources;
    TRY(auto text, stored_text(node, "node", largest_node));
    TRY_DO(db.run(
        "INSERT INTO node (id, node_id, farm, country, city, deleted, cru, mru, sru, hru, "
        "document) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "farm = excluded.farm, country = excluded.country, city = excluded.city, "
        "deleted = excluded.deleted, cru = excluded.cru, mru = excluded.mru, sru = excluded.sru, "
        "hru = excluded.hru, document = excluded.document",
        {node.id,
         node.node_id,
         node.farm_id,
         node.location.country,
         node.location.city,
         std::int64_t{node.deleted},
         static_cast<double>(total.cru),
         total.mru,
         total.sru,
         total.hru,
         std::move(text)}));
    return {};
}

Result<std::optional<grid::Gateway>> Core::gateway(const std::string& node_id)
{
    return document<grid::Gateway>("SELECT document FROM gateway WHERE node_id = ?", {node_id});
}

Result<std::optional<grid::Pool>> Core::pool(std::int64_t id)
{
    return document<grid::Pool>("SELECT document FROM pool WHERE id = ?", {id});
}

Result<> Core::save_pool(const grid::Pool& pool)
{
    TRY(auto text, stored_text(pool, "pool", largest_pool));
    TRY_DO(db.run(
        "INSERT INTO pool (id, owner, empty_at, document) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO "
        "UPDATE SET empty_at = excluded.empty_at, document = excluded.document",
        {pool.pool_id, pool.customer_tid, pool.empty_at, std::move(text)}));
    timer_changed = true;
    return {};
}

Result<std::optional<Core::StoredWorkload>> Core::workload(std::int64_t id)
{
    TRY(auto found, document<grid::Workload>("SELECT document FROM workload WHERE id = ?", {id}));
    if (!found) return std::optional<StoredWorkload>{};
    TRY(const auto epoch, db.integer("SELECT customer_epoch FROM workload WHERE id = ?", {id}));
    return std::optional<StoredWorkload>{StoredWorkload{
        .document = *std::move(found),
        .customer_epoch = epoch.value_or(0),
        .has_epoch = epoch.has_value()}};
}

Result<> Core::save_workload(const StoredWorkload& workload)
{
    const auto& document = workload.document;
    store::Value epoch{nullptr};
    if (workload.has_epoch) epoch = workload.customer_epoch;
    TRY(auto text, stored_text(document, "workload", largest_workload));
    TRY_DO(db.run(
        "INSERT INTO workload (id, workload_id, node, customer, pool, next_action, customer_epoch, "
        "document) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "next_action = excluded.next_action, document = excluded.document",
        {document.id,
         document.workload_id,
         document.node_id,
         document.customer_tid,
         document.pool_id,
         static_cast<std::int64_t>(document.next_action),
         epoch,
         std::move(text)}));
    FP("explorer_server.workload.saved");
    return {};
}

Result<> Core::enqueue(const std::string& node, std::int64_t id, std::int64_t workload_id)
{
    TRY_DO(db.run(
        "INSERT OR IGNORE INTO queue (node, id, workload_id) VALUES (?, ?, ?)",
        {node, id, workload_id}));
    TRY_DO(db.run(
        "INSERT INTO deliverable (node, count) VALUES (?, 1) "
        "ON CONFLICT (node) DO UPDATE SET count = count + 1",
        {node}));
    woken.insert(node);
    FP("explorer_server.workload.queued");
    return {};
}

Result<> Core::dequeue(const std::string& node, std::int64_t id, std::int64_t workload_id)
{
    TRY_DO(db.run(
        "DELETE FROM queue WHERE node = ? AND id = ? AND workload_id = ?",
        {node, id, workload_id}));
    return {};
}

Result<std::string> Core::etag_of(const std::string& node)
{
    TRY(const auto count, db.integer("SELECT count FROM deliverable WHERE node = ?", {node}));
    return "\"" + database_id + "-" + std::to_string(count.value_or(0)) + "\"";
}

Result<bool> Core::anything_new(const std::string& node, std::int64_t from)
{
    TRY(const auto found,
        db.integer(
            "SELECT 1 FROM workload WHERE node = ?1 AND id >= ?2 AND next_action IN (3, 4) UNION "
            "ALL SELECT 1 FROM part p JOIN reservation r ON r.id = p.reservation WHERE p.node = ?1 "
            "AND p.gone = 0 AND p.reservation >= ?2 AND r.next_action IN (3, 4) LIMIT 1",
            {node, from}));
    return found.has_value();
}

Result<std::array<unsigned char, 32>> Core::key_of_user_signer(const std::string& key_id)
{
    const auto unknown = [&] { return fail(Errc::not_found, "no key with id \"" + key_id + "\""); };
    std::int64_t id = 0;
    const auto [end, bad] = std::from_chars(key_id.data(), key_id.data() + key_id.size(), id);
    if (bad != std::errc{} || end != key_id.data() + key_id.size() || id < 1) return unknown();
    TRY(const auto found, user(id));
    if (!found) return unknown();
    return identity::key_of_hex(found->pubkey);
}

Answer<> list_of_customers(
    Core& core, const Call& call, std::string_view table, std::vector<std::int64_t>& ids)
{
    const auto paging = Paging::of(call);
    std::int64_t customer = 0;
    std::optional<std::int64_t> action;
    if (const auto text = call.argument("customer_tid"); text && !text->empty()) {
        TRY(customer, integer_of(*text, "customer_tid should be an integer: "));
    }
    if (const auto text = call.argument("next_action"); text && !text->empty()) {
        TRY(action, integer_of(*text, "next_action should be an integer: "));
    }
    const auto where = " FROM " + std::string{table} +
                       " WHERE (?1 = 0 OR customer = ?1) AND (?2 = 0 OR next_action = ?3)";
    std::vector<store::Value> values{
        customer, std::int64_t{action.has_value()}, action.value_or(0)};
    TRY(const auto total, core.db.integer("SELECT count(*)" + where, values));
    const bool all_are_shown = customer != 0 || paging.size_is_asked;
    const auto most = all_are_shown ? INT64_MAX : static_cast<std::int64_t>(largest_listed);
    values.insert(values.end(), {paging.size, paging.offset(), most});
    std::string left_out;
    TRY_DO(core.db.query(
        "SELECT id, length(CAST(document AS BLOB)) > ?6" + where +
            " ORDER BY id LIMIT ?4 OFFSET ?5",
        values,
        [&](const store::Row& row) {
            if (row.integer(1) == 0)
                ids.push_back(row.integer(0));
            else
                left_out += (left_out.empty() ? "" : ",") + std::to_string(row.integer(0));
            return true;
        }));
    if (!left_out.empty())
        core.log->warn("too large for everybody's list kind={} ids={}", table, left_out);
    auto reply = json_reply(200, {});
    paging.mark(reply, total.value_or(0));
    return reply;
}

Result<> release(Core& core, const grid::Workload& workload, std::int64_t now)
{
    TRY(auto pool, core.pool(workload.pool_id));
    const auto units = grid::resource_units(workload);
    if (pool && units) {
        remove_workload(*pool, workload.id, grid::cloud_units(*units), now);
        TRY_DO(core.save_pool(*pool));
    }
    if (workload.workload_type != grid::WorkloadType::public_ip) return {};

    // Its node may belong to another farm by now: the one that names the workload is meant.
    TRY(const auto farms,
        core.documents<grid::Farm>(
            "SELECT document FROM farm WHERE instr(document, ?) > 0",
            {"\"reservation_id\":" + std::to_string(workload.id)}));
    for (auto farm : farms) {
        bool named = false;
        for (auto& ip : farm.ipaddresses) {
            if (ip.reservation_id != workload.id) continue;
            ip.reservation_id = 0;
            named = true;
        }
        if (named) TRY_DO(core.save_farm(farm));
    }
    return {};
}

Result<bool> on_its_own(Core& core, std::string_view what, const std::function<Result<>()>& work)
{
    std::optional<Error> failed;
    TRY(const bool kept, core.db.part([&] {
        if (auto done = work(); !done) failed = std::move(done).error();
        return !failed;
    }));
    if (failed) core.log->error("{} is passed over error=\"{}\"", what, failed->message);
    return kept;
}

Result<> Core::expire_pool(std::int64_t id, std::int64_t now)
{
    TRY(auto pool, this->pool(id));
    if (!pool) return {};
    sync_pool(*pool, now);
    TRY(const auto live,
        documents<grid::Workload>(
            "SELECT document FROM workload WHERE pool = ? AND next_action = 3", {id}));
    for (const auto& document : live) {
        const auto units = grid::resource_units(document);
        if (!units || !needs_exhausted(*pool, grid::cloud_units(*units))) continue;
        const auto what = "workload " + std::to_string(document.id);
        TRY(const bool ended, on_its_own(*this, what, [&]() -> Result<> {
                TRY(auto stored, workload(document.id));
                stored->document.next_action = grid::NextAction::remove;
                TRY_DO(save_workload(*stored));
                return enqueue(stored->document);
            }));
        if (ended) log->info("workload ends with its pool id={} pool={}", document.id, id);
    }
    TRY_DO(save_pool(*pool));
    // What still uses it is charged until its node confirms the end; looking again every second
    // would not hasten that, but its other units run dry in their time. Customers still see when
    // the first one did.
    TRY_DO(db.run("UPDATE pool SET empty_at = ? WHERE id = ?", {next_end(*pool, now), id}));
    return {};
}

Result<std::int64_t> Core::expire_pools(std::int64_t now)
{
    std::vector<std::int64_t> due;
    TRY_DO(db.query("SELECT id FROM pool WHERE empty_at <= ?", {now}, [&](const store::Row& row) {
        due.push_back(row.integer(0));
        return true;
    }));
    for (const auto id : due) {
        const auto what = "pool " + std::to_string(id);
        TRY(const bool done, on_its_own(*this, what, [&] { return expire_pool(id, now); }));
        // What can't be ended now can't in a second either; a change of the pool brings it back.
        if (!done)
            TRY_DO(db.run("UPDATE pool SET empty_at = ? WHERE id = ?", {grid::Pool::never, id}));
    }
    TRY(const auto earliest, db.integer("SELECT min(empty_at) FROM pool"));
    return earliest.value_or(grid::Pool::never);
}

Result<std::int64_t> Core::expire(std::int64_t now)
{
    std::int64_t next = 0;
    TRY_DO(db.transaction([&]() -> Result<> {
        TRY(const auto pools, expire_pools(now));
        TRY(const auto reservations, expire_reservations(*this, now));
        next = std::clamp(std::min(pools, reservations), now + 1, now + 3600);
        return {};
    }));
    return next;
}

}  // namespace znode::explorer_server
