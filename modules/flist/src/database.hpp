#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace znode::flist {

/// The two tables of a flist, read from memory. The database is hostile until proven otherwise:
/// read-only, no views, no triggers, bounded work per question.
class Database {
public:
    static Result<Database> open(std::string bytes);

    /// The record of a key, or nothing. The view lives until the next call.
    Result<std::optional<std::string_view>> entry(std::string_view key);
    /// Everything in the table `metadata`, which old flists do not have.
    Result<std::map<std::string, std::string>> metadata();

private:
    struct Close {
        void operator()(sqlite3* database) const noexcept;
        void operator()(sqlite3_stmt* statement) const noexcept;
    };
    using Statement = std::unique_ptr<sqlite3_stmt, Close>;

    Database() = default;
    Result<Statement> prepare(const char* sql);
    Result<bool> has_table(std::string_view name);
    tl::unexpected<Error> failure(std::string_view doing);

    // Declared in the order that the last one dies first: sqlite reads from `bytes_`.
    std::unique_ptr<std::string> bytes_;
    std::unique_ptr<sqlite3, Close> database_;
    Statement select_;
};

}  // namespace znode::flist
