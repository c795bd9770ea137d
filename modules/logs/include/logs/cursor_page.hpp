#pragma once
// A cursor in a mapped file: written as often as one likes, whole after a kill at any instant.

#include <filesystem>
#include <optional>

#include "base/result.hpp"
#include "logs/reader.hpp"

namespace znode::logs {

/// Little endian, 128 bytes: 8 of mark ("ZNCURS02"), the number of the valid slot (0: none, else 1
/// or 2), two slots of 7 × 8 bytes: segment, offset, inner, bytes of the cursor; socket, written,
/// read of the wire. On tmpfs it costs no I/O at all;
/// on a disk it is as durable as the page cache.
class CursorPage {
public:
    /// Opens or makes the file (0600); what is no such page is begun anew.
    [[nodiscard]] static Result<CursorPage> open(const std::filesystem::path& path);
    CursorPage(CursorPage&& other) noexcept;
    CursorPage& operator=(CursorPage&&) = delete;
    ~CursorPage();

    std::optional<Noted> read() const;
    /// By one thread at a time.
    void write(const Noted& noted) noexcept;

private:
    struct Layout;
    explicit CursorPage(Layout* layout) : layout_{layout} {}
    Layout* layout_;
};

/// The further one of two places in the same log.
bool is_further(const Cursor& one, const Cursor& other) noexcept;

}  // namespace znode::logs
