#include "database.hpp"

#include <sqlite3.h>

namespace znode::flist {
namespace {

constexpr int record_limit = 64 << 20;
constexpr int steps_between_looks = 10'000;
// A question by primary key takes some hundred steps; a million is a trap and not a question.
constexpr int looks_allowed = 100;

int count_looks(void* counter) { return ++*static_cast<int*>(counter) > looks_allowed ? 1 : 0; }

std::string_view text_of(sqlite3_stmt* statement, int column)
{
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, column));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
    return {bytes, bytes != nullptr ? size : 0};
}

}  // namespace

void Database::Close::operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
void Database::Close::operator()(sqlite3_stmt* statement) const noexcept
{
    sqlite3_finalize(statement);
}

tl::unexpected<Error> Database::failure(std::string_view doing)
{
    return fail(
        Errc::corrupt,
        "the flist's database: " + std::string{doing} + ": " + sqlite3_errmsg(database_.get()));
}

Result<Database> Database::open(std::string bytes)
{
    Database self;
    self.bytes_ = std::make_unique<std::string>(std::move(bytes));
    sqlite3* raw = nullptr;
    const int opened =
        sqlite3_open_v2(":memory:", &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
    self.database_.reset(raw);
    if (opened != SQLITE_OK) return fail(Errc::internal, "sqlite cannot open a database in memory");

    sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
    sqlite3_limit(raw, SQLITE_LIMIT_LENGTH, record_limit);
    sqlite3_limit(raw, SQLITE_LIMIT_EXPR_DEPTH, 50);
    const int loaded = sqlite3_deserialize(
        raw,
        "main",
        reinterpret_cast<unsigned char*>(self.bytes_->data()),
        static_cast<sqlite3_int64>(self.bytes_->size()),
        static_cast<sqlite3_int64>(self.bytes_->size()),
        SQLITE_DESERIALIZE_READONLY);
    if (loaded != SQLITE_OK) return self.failure("load");
    sqlite3_exec(raw, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0", nullptr, nullptr, nullptr);

    TRY(const bool found, self.has_table("entries"));
    if (!found) return fail(Errc::corrupt, "the flist's database has no table `entries`");
    TRY(self.select_, self.prepare("SELECT value FROM entries WHERE key = ?1"));
    return self;
}

Result<Database::Statement> Database::prepare(const char* sql)
{
    sqlite3_stmt* raw = nullptr;
    const int prepared = sqlite3_prepare_v2(database_.get(), sql, -1, &raw, nullptr);
    Statement statement{raw};
    if (prepared != SQLITE_OK) return failure("prepare");
    return statement;
}

// A real table has a root page; views and virtual tables, which run code, have none.
Result<bool> Database::has_table(std::string_view name)
{
    TRY(const auto statement,
        prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1 AND type = 'table' AND rootpage > 0"));
    int looks = 0;
    sqlite3_progress_handler(database_.get(), steps_between_looks, count_looks, &looks);
    sqlite3_bind_text(
        statement.get(), 1, name.data(), static_cast<int>(name.size()), SQLITE_STATIC);
    const int stepped = sqlite3_step(statement.get());
    sqlite3_progress_handler(database_.get(), 0, nullptr, nullptr);
    if (stepped != SQLITE_ROW && stepped != SQLITE_DONE) return failure("read its schema");
    return stepped == SQLITE_ROW;
}

Result<std::optional<std::string_view>> Database::entry(std::string_view key)
{
    int looks = 0;
    sqlite3_progress_handler(database_.get(), steps_between_looks, count_looks, &looks);
    sqlite3_reset(select_.get());
    sqlite3_bind_text(select_.get(), 1, key.data(), static_cast<int>(key.size()), SQLITE_TRANSIENT);
    const int stepped = sqlite3_step(select_.get());
    sqlite3_progress_handler(database_.get(), 0, nullptr, nullptr);
    if (stepped == SQLITE_DONE) return std::nullopt;
    if (stepped != SQLITE_ROW) return failure("read an entry");
    return text_of(select_.get(), 0);
}

Result<std::map<std::string, std::string>> Database::metadata()
{
    std::map<std::string, std::string> rows;
    TRY(const bool found, has_table("metadata"));
    if (!found) return rows;

    TRY(const auto statement, prepare("SELECT key, value FROM metadata LIMIT 1000"));
    int looks = 0;
    sqlite3_progress_handler(database_.get(), steps_between_looks, count_looks, &looks);
    int stepped = SQLITE_ROW;
    while ((stepped = sqlite3_step(statement.get())) == SQLITE_ROW)
        rows[std::string{text_of(statement.get(), 0)}] = text_of(statement.get(), 1);
    sqlite3_progress_handler(database_.get(), 0, nullptr, nullptr);
    if (stepped != SQLITE_DONE) return failure("read the metadata");
    return rows;
}

}  // namespace znode::flist
