#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace znode::store {

/// A value of a row; text and blobs are both std::string (bind with `Blob` to store bytes).
struct Blob {
    std::string bytes;
};
using Value = std::variant<std::nullptr_t, std::int64_t, double, std::string, Blob>;

/// One row of an answer. Columns count from 0; asking for another type than the stored one gives
/// sqlite's conversion (0 or "" for NULL). Valid inside of the callback only.
class Row {
public:
    explicit Row(sqlite3_stmt* statement) noexcept : statement_{statement} {}
    std::int64_t integer(int column) const;
    double real(int column) const;
    std::string text(int column) const;
    bool is_null(int column) const;

private:
    sqlite3_stmt* statement_;
};

/// How much of the last transactions a power cut may take.
enum class Durability {
    full,    ///< Nothing that was committed: fsync at each commit.
    normal,  ///< The last commits, never consistency; kill -9 takes nothing.
};

/// A sqlite database of ours: WAL, foreign keys on, 5 s patience with another holder.
///
/// One connection, used by one thread at a time. Statements are prepared once and kept by their
/// text, so pass literals with `?` and bind values.
class Database {
public:
    /// Opens or creates (file 0600). A damaged file, or one that is no database, is Errc::corrupt.
    [[nodiscard]] static Result<Database> open(
        const std::filesystem::path& path, Durability durability = Durability::full);

    Database(Database&&) noexcept;
    Database& operator=(Database&&) noexcept;
    ~Database();

    /// Runs one statement; how many rows it changed.
    [[nodiscard]] Result<std::int64_t> run(
        std::string_view sql, const std::vector<Value>& values = {});

    /// Calls `each` for every row until it returns false.
    [[nodiscard]] Result<> query(
        std::string_view sql,
        const std::vector<Value>& values,
        const std::function<bool(const Row&)>& each);

    /// The first column of the first row, if there is one.
    [[nodiscard]] Result<std::optional<std::int64_t>> integer(
        std::string_view sql, const std::vector<Value>& values = {});
    [[nodiscard]] Result<std::optional<std::string>> text(
        std::string_view sql, const std::vector<Value>& values = {});

    std::int64_t last_insert_id() const;

    /// Several statements without values, for schemas.
    [[nodiscard]] Result<> script(const std::string& sql);

    /// Brings the schema to the newest version in one transaction: `steps[n]` leads from version n
    /// to n+1 (`PRAGMA user_version`). Errc::unsupported when the file is newer than this program.
    [[nodiscard]] Result<> migrate(const std::vector<std::string>& steps);

    /// Sets disk space aside ("<path>-reserve") that writing falls back on when the disk is full,
    /// so that what must be noted then still can be. Given back to the reserve once there is room.
    /// With a reserve the work of a transaction may run twice.
    void keep_reserve(std::uint64_t bytes);

    /// Runs `work` in one transaction (BEGIN IMMEDIATE): committed when it succeeds, undone when it
    /// fails. Does not nest.
    [[nodiscard]] Result<> transaction(const std::function<Result<>()>& work);

    /// Inside of a transaction: runs `work` as a part that stands for itself. Kept when it says
    /// true, undone when it says false; gives what it said. An error: the whole transaction is to
    /// be given up, for sqlite may have done so already.
    [[nodiscard]] Result<bool> part(const std::function<bool()>& work);

private:
    struct Impl;
    explicit Database(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace znode::store
