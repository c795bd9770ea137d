#pragma once
// A cursor in a mapped file: written as often as one likes, whole after a kill at any instant.

#include <filesystem>
#include <optional>

#include "base/result.hpp"
#include "logs/reader.hpp"

namespace znode::logs {

/// Little endian, 80 bytes: 8 of mark ("ZNCURS01"), the number of the valid slot (0: none, else 1
/// or 2), two slots of 4 × 8 bytes: segment, offset, inner, bytes. On tmpfs it costs no I/O at all;
/// on a disk it is as durable as the page cache.
class CursorPage {
public:
    /// Opens or makes the file (0600); what is no such page is begun anew.
    [[nodiscard]] static Result<CursorPage> open(const std::filesystem::path& path);
    CursorPage(CursorPage&& other) noexcept;
    CursorPage& operator=(CursorPage&&) = delete;
    ~CursorPage();

    std::optional<Cursor> read() const;
    /// By one thread at a time.
    void write(const Cursor& cursor) noexcept;

private:
    struct Layout;
    explicit CursorPage(Layout* layout) : layout_{layout} {}
    Layout* layout_;
};

/// The further one of two places in the same log.
bool is_further(const Cursor& one, const Cursor& other) noexcept;

}  // namespace znode::logs
