#include "logs/cursor_page.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <tuple>
#include <utility>

#include "kernel/fd.hpp"

namespace znode::logs {

struct CursorPage::Layout {
    char mark[8];
    std::atomic<std::uint64_t> valid;
    std::uint64_t slots[2][7];
};

namespace {

constexpr char page_mark[] = "ZNCURS02";

}  // namespace

Result<CursorPage> CursorPage::open(const std::filesystem::path& path)
{
    static_assert(sizeof(Layout) == 128 && std::atomic<std::uint64_t>::is_always_lock_free);
    const kernel::Fd file{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    // Allocated, not only made long: a write to a hole of a full disk would be a SIGBUS.
    if (!file || ::posix_fallocate(file.get(), 0, sizeof(Layout)) != 0)
        return fail_errno(errno, "make " + path.string());
    void* const memory =
        ::mmap(nullptr, sizeof(Layout), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (memory == MAP_FAILED) return fail_errno(errno, "map " + path.string());
    auto* const layout = static_cast<Layout*>(memory);
    if (std::memcmp(layout->mark, page_mark, sizeof(layout->mark)) != 0) {
        layout->valid.store(0);
        std::memcpy(layout->mark, page_mark, sizeof(layout->mark));
    }
    return CursorPage{layout};
}

CursorPage::CursorPage(CursorPage&& other) noexcept : layout_{std::exchange(other.layout_, nullptr)}
{
}

CursorPage::~CursorPage()
{
    if (layout_ != nullptr) ::munmap(layout_, sizeof(Layout));
}

std::optional<Noted> CursorPage::read() const
{
    const auto valid = layout_->valid.load();
    if (valid != 1 && valid != 2) return std::nullopt;
    const auto& slot = layout_->slots[valid - 1];
    return Noted{{slot[0], slot[1], slot[2], slot[3]}, {slot[4], slot[5], slot[6]}};
}

void CursorPage::write(const Noted& noted) noexcept
{
    // The slot that is not valid now: who reads after a kill sees the old one or the new one.
    const std::uint64_t next = layout_->valid.load() == 1 ? 2 : 1;
    auto& slot = layout_->slots[next - 1];
    slot[0] = noted.cursor.segment;
    slot[1] = noted.cursor.offset;
    slot[2] = noted.cursor.inner;
    slot[3] = noted.cursor.bytes;
    slot[4] = noted.wire.socket;
    slot[5] = noted.wire.written;
    slot[6] = noted.wire.read;
    layout_->valid.store(next);
}

bool is_further(const Cursor& one, const Cursor& other) noexcept
{
    return std::tie(one.segment, one.offset, one.inner) >
           std::tie(other.segment, other.offset, other.inner);
}

}  // namespace znode::logs
