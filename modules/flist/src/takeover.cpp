#include "takeover.hpp"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace znode::flist {
namespace {

constexpr std::uint64_t magic = 0x31656b61746e7a66;  // "fzntake1"
constexpr std::uint32_t version = 1;
constexpr std::size_t slot_bytes = 8192;  // The kernel never reads a request of ours larger.
constexpr std::size_t slots = 32;

}  // namespace

struct Takeover::Slot {
    union {
        fuse_in_header header;
        char bytes[slot_bytes];
    };
};

struct Takeover::Page {
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t init_length;  // Written last.
    char init[4096 - 16];
    Slot slots[flist::slots];
};

namespace {

/// The request that this thread is answering: whose it is, and its slot.
struct Current {
    const void* owner = nullptr;
    void* slot = nullptr;
};
thread_local Current current;

/// No answer comes for these, so nothing has to be done again.
bool unanswered(std::uint32_t opcode)
{
    return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

/// Two servers in the same slots would lose requests. A record lock, since the kernel tells its
/// owner's pid to whoever asks (the agent does) and drops it with the process.
Result<> claim(int fd, const std::filesystem::path& file)
{
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    const int err = error_of(::fcntl(fd, F_SETLK, &lock));
    if (err == 0) return {};
    if (err != EAGAIN && err != EACCES) return fail_errno(err, "lock " + file.string());
    struct flock owner = lock;
    const bool known = ::fcntl(fd, F_GETLK, &owner) == 0 && owner.l_type != F_UNLCK;
    return fail(
        Errc::exists,
        "another server" + (known ? ", pid " + std::to_string(owner.l_pid) + "," : std::string{}) +
            " serves this mount");
}

}  // namespace

Result<Takeover> Takeover::open(const std::filesystem::path& file)
{
    Takeover self;
    kernel::Fd& fd = self.file_;
    if (!file.empty()) {
        TRY(fd, kernel::open_file(file.string(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
        TRY_DO(claim(fd.get(), file));
        const int err = error_of(::ftruncate(fd.get(), sizeof(Page)));
        if (err) return fail_errno(err, "make room in " + file.string());
    }
    const int flags = fd ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void* memory = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, flags, fd.get(), 0);
    if (memory == MAP_FAILED) return fail_errno(errno, "map " + file.string());

    self.page_ = static_cast<Page*>(memory);
    if (self.page_->magic != 0 && (self.page_->magic != magic || self.page_->version != version))
        return fail(Errc::unsupported, file.string() + " is of another version of this program");
    self.page_->magic = magic;
    self.page_->version = version;
    for (Slot& slot : self.page_->slots) {
        // INIT itself was not answered: the kernel waits for it, so nothing was agreed on.
        if (slot.header.len != 0 && slot.header.opcode == FUSE_INIT) self.page_->init_length = 0;
        (slot.header.len != 0 ? self.redo_ : self.free_).push_back(&slot);
    }
    self.left_behind_ = self.redo_.size();
    return self;
}

Takeover::Takeover(Takeover&& other) noexcept
    : page_{std::exchange(other.page_, nullptr)},
      file_{std::move(other.file_)},
      redo_{std::move(other.redo_)},
      free_{std::move(other.free_)},
      left_behind_{other.left_behind_}
{
}

Takeover::~Takeover()
{
    if (page_ == nullptr) return;
    if (current.owner == page_) current = {};
    ::munmap(page_, sizeof(Page));
}

std::string Takeover::init() const
{
    return {page_->init, std::min<std::size_t>(page_->init_length, sizeof page_->init)};
}

void Takeover::keep_init(std::string_view request)
{
    if (request.size() > sizeof page_->init) return;
    std::memcpy(page_->init, request.data(), request.size());
    std::atomic_thread_fence(std::memory_order_release);
    page_->init_length = static_cast<std::uint32_t>(request.size());
}

Takeover::Slot* Takeover::take_slot(bool& redo)
{
    const std::lock_guard lock{mutex_};
    auto& from = redo_.empty() ? free_ : redo_;
    redo = !redo_.empty();
    if (from.empty()) return nullptr;
    Slot* slot = from.back();
    from.pop_back();
    return slot;
}

void Takeover::give_back(Slot* slot)
{
    slot->header.len = 0;
    const std::lock_guard lock{mutex_};
    free_.push_back(slot);
}

void Takeover::give_back_current()
{
    if (current.owner != page_) return;
    auto* slot = static_cast<Slot*>(current.slot);
    current = {};
    give_back(slot);
}

ssize_t Takeover::read(int fuse, void* into, std::size_t size)
{
    // An answer that never was sent through write() cannot be: each request has one.
    give_back_current();

    bool redo = false;
    Slot* slot = take_slot(redo);
    if (slot == nullptr) {  // More threads than slots: that request would be lost with us.
        errno = EAGAIN;
        return -1;
    }
    if (redo) {
        const auto length = std::min<std::size_t>(slot->header.len, slot_bytes);
        std::memcpy(into, slot->bytes, length);
        current = {page_, slot};
        return static_cast<ssize_t>(length);
    }

    slot->header.len = 0;
    // The kernel wants room for the largest write before it gives anything.
    iovec parts[2] = {
        {slot->bytes, slot_bytes}, {static_cast<char*>(into) + slot_bytes, size - slot_bytes}};
    const ssize_t got = ::readv(fuse, parts, 2);
    if (got <= 0) {
        const int err = errno;
        give_back(slot);
        errno = err;
        return got;
    }
    std::memcpy(into, slot->bytes, std::min(static_cast<std::size_t>(got), slot_bytes));
    if (unanswered(slot->header.opcode)) {
        give_back(slot);
        return got;
    }
    if (slot->header.opcode == FUSE_INIT)
        keep_init({static_cast<const char*>(into), static_cast<std::size_t>(got)});
    current = {page_, slot};
    return got;
}

ssize_t Takeover::write(int fuse, const iovec* parts, int count)
{
    if (muted_) {
        ssize_t length = 0;
        for (int i = 0; i < count; ++i) length += static_cast<ssize_t>(parts[i].iov_len);
        return length;
    }
    const ssize_t sent = ::writev(fuse, parts, count);
    const int err = errno;
    give_back_current();
    errno = err;
    return sent;
}

}  // namespace znode::flist
