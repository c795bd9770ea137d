#include "store/database.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <map>

#include <sqlite3.h>

namespace znode::store {
namespace {

Errc errc_of(int code)
{
    switch (code & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return Errc::unavailable;
        case SQLITE_NOMEM:
        case SQLITE_FULL:
            return Errc::exhausted;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            return Errc::corrupt;
        case SQLITE_CONSTRAINT:
            return Errc::exists;
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_AUTH:
            return Errc::denied;
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
            return Errc::unavailable;
        default:
            return Errc::internal;
    }
}

}  // namespace

struct Database::Impl {
    sqlite3* handle = nullptr;
    std::filesystem::path path;
    std::map<std::string, sqlite3_stmt*, std::less<>> statements;
    std::uint64_t reserve = 0;  ///< Bytes to set aside; 0: none.
    bool reserve_used = false;
    std::chrono::steady_clock::time_point reserve_looked_at;

    std::string reserve_path() const { return path.string() + "-reserve"; }

    /// Best effort: without room the disk is what it is.
    void fill_reserve()
    {
        const auto file = reserve_path();
        const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) return;
        reserve_used = ::posix_fallocate(fd, 0, static_cast<off_t>(reserve)) != 0;
        ::close(fd);
        if (reserve_used) ::unlink(file.c_str());
    }

    /// True when there is room now that was not there before.
    bool use_reserve()
    {
        if (reserve == 0 || reserve_used) return false;
        reserve_used = true;
        return ::unlink(reserve_path().c_str()) == 0;
    }

    /// Looks at most once a second, and leaves as much again to others.
    void refill_reserve()
    {
        if (!reserve_used) return;
        const auto now = std::chrono::steady_clock::now();
        if (now - reserve_looked_at < std::chrono::seconds{1}) return;
        reserve_looked_at = now;
        struct statvfs disk{};
        if (::statvfs(path.parent_path().c_str(), &disk) == 0 &&
            disk.f_bavail * disk.f_frsize > 2 * reserve)
            fill_reserve();
    }

    Impl() = default;
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl()
    {
        for (const auto& [text, statement] : statements) sqlite3_finalize(statement);
        sqlite3_close(handle);
    }

    tl::unexpected<Error> failure(int code, std::string_view intent) const
    {
        return fail(
            errc_of(code),
            "database " + path.string() + ": " + std::string{intent} + ": " +
                sqlite3_errmsg(handle));
    }

    Result<sqlite3_stmt*> prepared(std::string_view sql)
    {
        if (const auto known = statements.find(sql); known != statements.end())
            return known->second;
        sqlite3_stmt* statement = nullptr;
        const int code = sqlite3_prepare_v3(
            handle,
            sql.data(),
            static_cast<int>(sql.size()),
            SQLITE_PREPARE_PERSISTENT,
            &statement,
            nullptr);
        if (code != SQLITE_OK) return failure(code, sql);
        statements.emplace(std::string{sql}, statement);
        return statement;
    }

    Result<> bind(sqlite3_stmt* statement, const std::vector<Value>& values) const
    {
        int index = 0;
        for (const auto& value : values) {
            ++index;
            int code = SQLITE_OK;
            if (const auto* number = std::get_if<std::int64_t>(&value))
                code = sqlite3_bind_int64(statement, index, *number);
            else if (const auto* real = std::get_if<double>(&value))
                code = sqlite3_bind_double(statement, index, *real);
            else if (const auto* text = std::get_if<std::string>(&value))
                code = sqlite3_bind_text64(
                    statement, index, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
            else if (const auto* blob = std::get_if<Blob>(&value))
                code = sqlite3_bind_blob64(
                    statement, index, blob->bytes.data(), blob->bytes.size(), SQLITE_STATIC);
            else
                code = sqlite3_bind_null(statement, index);
            if (code != SQLITE_OK) return failure(code, sqlite3_sql(statement));
        }
        return {};
    }
};

std::int64_t Row::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Row::real(int column) const { return sqlite3_column_double(statement_, column); }
bool Row::is_null(int column) const
{
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}
std::string Row::text(int column) const
{
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    return bytes == nullptr ? std::string{} : std::string{bytes, size};
}

Database::Database(std::unique_ptr<Impl> impl) : impl_{std::move(impl)} {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

Result<Database> Database::open(const std::filesystem::path& path, Durability durability)
{
    auto impl = std::make_unique<Impl>();
    impl->path = path;
    // sqlite gives journal and WAL the mode of the database: set before they are born.
    const mode_t before = ::umask(0077);
    const int code = sqlite3_open_v2(
        path.c_str(),
        &impl->handle,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
        nullptr);
    ::umask(before);
    if (code != SQLITE_OK) return impl->failure(code, "open");
    sqlite3_extended_result_codes(impl->handle, 1);
    sqlite3_busy_timeout(impl->handle, 5000);

    Database database{std::move(impl)};
    const mode_t old = ::umask(0077);
    auto set_up = database.script(
        std::string{"PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA synchronous="} +
        (durability == Durability::full ? "FULL" : "NORMAL") + "; PRAGMA temp_store=MEMORY;");
    ::umask(old);
    if (!set_up) return tl::unexpected(std::move(set_up).error());
    TRY(const auto verdict, database.text("PRAGMA quick_check(1)"));
    if (verdict != "ok")
        return fail(
            Errc::corrupt, "database " + path.string() + ": " + verdict.value_or("no answer"));
    return database;
}

Result<std::int64_t> Database::run(std::string_view sql, const std::vector<Value>& values)
{
    const bool alone = sqlite3_get_autocommit(impl_->handle) != 0;
    const auto once = [&] { return query(sql, values, [](const Row&) { return true; }); };
    auto done = once();
    if (!done && alone && done.error().code == Errc::exhausted && impl_->use_reserve())
        done = once();
    TRY_DO(std::move(done));
    return sqlite3_changes64(impl_->handle);
}

Result<> Database::query(
    std::string_view sql,
    const std::vector<Value>& values,
    const std::function<bool(const Row&)>& each)
{
    TRY(auto* statement, impl_->prepared(sql));
    auto bound = impl_->bind(statement, values);
    int code = SQLITE_DONE;
    if (bound) {
        while ((code = sqlite3_step(statement)) == SQLITE_ROW)
            if (!each(Row{statement})) {
                code = SQLITE_DONE;
                break;
            }
    }
    Result<> outcome = std::move(bound);
    // The text of the failure is taken before reset overwrites it.
    if (code != SQLITE_DONE) outcome = impl_->failure(code, sql.substr(0, 60));
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return outcome;
}

Result<std::optional<std::int64_t>> Database::integer(
    std::string_view sql, const std::vector<Value>& values)
{
    std::optional<std::int64_t> found;
    TRY_DO(query(sql, values, [&](const Row& row) {
        if (!row.is_null(0)) found = row.integer(0);
        return false;
    }));
    return found;
}

Result<std::optional<std::string>> Database::text(
    std::string_view sql, const std::vector<Value>& values)
{
    std::optional<std::string> found;
    TRY_DO(query(sql, values, [&](const Row& row) {
        if (!row.is_null(0)) found = row.text(0);
        return false;
    }));
    return found;
}

std::int64_t Database::last_insert_id() const { return sqlite3_last_insert_rowid(impl_->handle); }

Result<> Database::script(const std::string& sql)
{
    const int code = sqlite3_exec(impl_->handle, sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return impl_->failure(code, "set up");
    return {};
}

Result<> Database::migrate(const std::vector<std::string>& steps)
{
    TRY(const auto version, integer("PRAGMA user_version"));
    const auto from = static_cast<std::size_t>(version.value_or(0));
    if (from > steps.size())
        return fail(
            Errc::unsupported,
            "database " + impl_->path.string() + " has version " + std::to_string(from) +
                ", this program knows up to " + std::to_string(steps.size()) +
                ": install a newer program");
    for (std::size_t step = from; step < steps.size(); ++step)
        TRY_DO(transaction([&]() -> Result<> {
            TRY_DO(script(steps[step]));
            return script("PRAGMA user_version = " + std::to_string(step + 1));
        }));
    return {};
}

Result<> Database::transaction(const std::function<Result<>()>& work)
{
    const auto attempt = [&]() -> Result<> {
        TRY_DO(run("BEGIN IMMEDIATE"));
        auto outcome = work();
        if (outcome) {
            auto committed = run("COMMIT");
            if (committed) return {};
            outcome = tl::unexpected(std::move(committed).error());
        }
        (void)run(
            "ROLLBACK");  // Fails when sqlite has rolled back by itself; the outcome says why.
        return outcome;
    };
    auto outcome = attempt();
    if (!outcome && outcome.error().code == Errc::exhausted && impl_->use_reserve())
        outcome = attempt();
    if (outcome) impl_->refill_reserve();
    return outcome;
}

Result<bool> Database::part(const std::function<bool()>& work)
{
    TRY_DO(run("SAVEPOINT part"));
    const bool kept = work();
    // A disk that is full can end the transaction beneath us; both statements fail then.
    if (!kept) TRY_DO(run("ROLLBACK TO part"));
    TRY_DO(run("RELEASE part"));
    return kept;
}

void Database::keep_reserve(std::uint64_t bytes)
{
    impl_->reserve = bytes;
    impl_->fill_reserve();
}

}  // namespace znode::store
