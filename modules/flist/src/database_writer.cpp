#include "database_writer.hpp"

#include <cstdio>
#include <cstring>
#include <memory>

#include <sqlite3.h>
#include <zlib.h>

namespace znode::flist {
namespace {

struct Close {
    void operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
    void operator()(unsigned char* memory) const noexcept { sqlite3_free(memory); }
};

Result<> run(sqlite3* database, const char* sql)
{
    if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
    return fail(Errc::internal, std::string{"write the database: "} + sqlite3_errmsg(database));
}

Result<> insert(
    sqlite3* database, const char* sql, const std::map<std::string, std::string>& rows, bool blob)
{
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(database, sql, -1, &raw, nullptr) != SQLITE_OK)
        return run(database, sql);
    const std::unique_ptr<sqlite3_stmt, Close> statement{raw};
    for (const auto& [key, value] : rows) {
        sqlite3_reset(raw);
        sqlite3_bind_text(raw, 1, key.data(), static_cast<int>(key.size()), SQLITE_STATIC);
        const auto size = static_cast<int>(value.size());
        if (blob)
            sqlite3_bind_blob(raw, 2, value.data(), size, SQLITE_STATIC);
        else
            sqlite3_bind_text(raw, 2, value.data(), size, SQLITE_STATIC);
        if (sqlite3_step(raw) != SQLITE_DONE)
            return fail(Errc::internal, std::string{"write a record: "} + sqlite3_errmsg(database));
    }
    return {};
}

std::string tar_header(const char* name, std::size_t size, char type, unsigned mode)
{
    std::string header(512, '\0');
    const auto put = [&](std::size_t at, std::size_t width, const char* format, std::size_t value) {
        char text[24];
        (void)std::snprintf(text, sizeof text, format, value);
        header.replace(
            at, std::min(width, std::strlen(text)), text, std::min(width, std::strlen(text)));
    };
    header.replace(0, std::strlen(name), name);
    put(100, 8, "%07zo", mode);
    put(108, 8, "%07zo", 0);
    put(116, 8, "%07zo", 0);
    put(124, 12, "%011zo", size);
    put(136, 12, "%011zo", 0);
    header.replace(148, 8, "        ");
    header[156] = type;
    header.replace(257, 8, std::string{"ustar  \0", 8});
    header.replace(265, 4, "root");
    header.replace(297, 4, "root");
    std::size_t sum = 0;
    for (const char byte : header) sum += static_cast<unsigned char>(byte);
    put(148, 6, "%06zo", sum);
    header[154] = '\0';
    return header;
}

}  // namespace

Result<std::string> write_database(
    const std::map<std::string, std::string>& entries,
    const std::map<std::string, std::string>& metadata)
{
    sqlite3* raw = nullptr;
    const int opened = sqlite3_open(":memory:", &raw);
    const std::unique_ptr<sqlite3, Close> database{raw};
    if (opened != SQLITE_OK) return fail(Errc::internal, "sqlite opens no database in memory");

    TRY_DO(run(raw, "PRAGMA page_size=4096; BEGIN"));
    TRY_DO(run(raw, "CREATE TABLE entries (key VARCHAR(64) PRIMARY KEY, value BLOB)"));
    TRY_DO(run(raw, "CREATE TABLE metadata (key VARCHAR(64) PRIMARY KEY, value TEXT)"));
    TRY_DO(insert(raw, "INSERT INTO entries (key, value) VALUES (?1, ?2)", entries, true));
    TRY_DO(insert(raw, "INSERT INTO metadata (key, value) VALUES (?1, ?2)", metadata, false));
    TRY_DO(run(raw, "COMMIT"));

    sqlite3_int64 size = 0;
    const std::unique_ptr<unsigned char, Close> bytes{sqlite3_serialize(raw, "main", &size, 0)};
    if (!bytes) return fail(Errc::exhausted, "no memory for the database");
    return std::string{reinterpret_cast<const char*>(bytes.get()), static_cast<std::size_t>(size)};
}

Result<std::string> wrap_database(std::string_view database)
{
    std::string tar = tar_header("./", 0, '5', 0700);
    tar += tar_header("./flistdb.sqlite3", database.size(), '0', 0644);
    tar += database;
    tar.resize((tar.size() + 511) / 512 * 512 + 1024);

    z_stream gzip{};
    if (deflateInit2(
            &gzip, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return fail(Errc::exhausted, "no memory to compress");
    std::string out(deflateBound(&gzip, tar.size()) + 64, '\0');
    gzip.next_in = reinterpret_cast<Bytef*>(tar.data());
    gzip.avail_in = static_cast<uInt>(tar.size());
    gzip.next_out = reinterpret_cast<Bytef*>(out.data());
    gzip.avail_out = static_cast<uInt>(out.size());
    const int outcome = deflate(&gzip, Z_FINISH);
    out.resize(gzip.total_out);
    deflateEnd(&gzip);
    if (outcome != Z_STREAM_END) return fail(Errc::internal, "compress the flist");
    return out;
}

}  // namespace znode::flist
