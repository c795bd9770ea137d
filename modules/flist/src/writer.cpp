#include "flist/writer.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/hex.hpp"
#include "base/text.hpp"
#include "blake2b_short.hpp"
#include "database_writer.hpp"
#include "flist/block.hpp"
#include "folder_scan.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"
#include "wire.hpp"

namespace znode::flist {
namespace {

using Clock = std::chrono::steady_clock;

/// Sends the content of all files to the store, with several threads.
class Upload {
public:
    Upload(int folder, std::vector<Scanned>& entries, BlockStore& store, const PackOptions& options)
        : folder_{folder}, entries_{entries}, store_{store}, options_{options}
    {
        for (std::size_t i = 0; i < entries_.size(); ++i) {
            if (!S_ISREG(entries_[i].status.st_mode)) continue;
            files_.push_back(i);
            figures_.bytes += static_cast<std::uint64_t>(entries_[i].status.st_size);
        }
        figures_.entries = entries_.size();
        figures_.files = files_.size();
    }

    Result<PackFigures> run()
    {
        const unsigned cpus = std::max(1U, std::thread::hardware_concurrency());
        const unsigned threads = options_.threads == 0 ? cpus : options_.threads;
        {
            std::vector<std::jthread> workers;
            for (unsigned i = 0; i < threads; ++i) workers.emplace_back([this] { work(); });
        }
        if (!outcome_) return tl::unexpected(outcome_.error());
        tell(true);
        return figures_;
    }

private:
    void work()
    {
        for (;;) {
            const auto next = next_++;
            if (next >= files_.size() || failed_) return;
            auto& entry = entries_[files_[next]];
            auto done = pack_file(entry);
            const std::lock_guard lock{mutex_};
            if (!done && outcome_) {
                outcome_ = tl::unexpected(
                    std::move(done).error().during("/" + printable(entry.path, 300)));
                failed_ = true;
            }
            ++figures_.files_done;
            tell(false);
        }
    }

    Result<> pack_file(Scanned& entry)
    {
        const int raw =
            ::openat(folder_, entry.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        const int err = error_of(raw);
        if (err) return fail_errno(err, "open");
        const kernel::Fd file{raw};

        const auto size = static_cast<std::uint64_t>(entry.status.st_size);
        std::string chunk;
        std::uint64_t at = 0;
        for (;;) {
            chunk.resize(std::min<std::uint64_t>(chunk_size, size - at) + 1);
            TRY(const auto got, kernel::pread_full(file.get(), chunk, static_cast<off_t>(at)));
            // One byte more was asked for than is due: after the last chunk it must be missing.
            const bool last = at + got >= size;
            if (last && at + got != size)
                return fail(Errc::unavailable, "it changed while it was packed: try again");
            if (got + 1 < chunk.size())
                return fail(Errc::unavailable, "it changed while it was packed: try again");
            chunk.resize(std::min<std::uint64_t>(got, chunk_size));
            if (chunk.empty()) return {};
            TRY(const auto id, send(chunk, entry));
            at += chunk.size();
            if (at >= size) return {};
        }
    }

    Result<std::string> send(const std::string& chunk, Scanned& entry)
    {
        const auto key = blake2b(chunk);
        std::string id;
        {
            const std::lock_guard lock{mutex_};
            figures_.bytes_done += chunk.size();
            if (const auto known = sent_.find(key); known != sent_.end()) id = known->second;
        }
        if (id.empty()) {
            const auto block = encode_block(chunk);
            TRY(const bool was_new, offer(block));
            const std::lock_guard lock{mutex_};
            if (sent_.emplace(key, block.id).second) {
                ++figures_.blocks;
                if (was_new) {
                    ++figures_.blocks_sent;
                    figures_.bytes_sent += block.stored.size();
                }
            }
            id = block.id;
        }
        entry.refs.append(id).append(key);
        return id;
    }

    /// True when the store did not have it.
    Result<bool> offer(const EncodedBlock& block)
    {
        const auto deadline = Clock::now() + options_.patience;
        std::chrono::milliseconds wait{50};
        for (;;) {
            Result<> outcome;
            auto there = store_.has(block.id);
            if (there && *there) return false;
            if (there)
                outcome = store_.put(block.id, block.stored);
            else
                outcome = tl::unexpected(std::move(there).error());
            if (outcome) return true;
            const bool lasting =
                outcome.error().code == Errc::denied || outcome.error().code == Errc::invalid;
            if (lasting || Clock::now() + wait > deadline || failed_)
                return tl::unexpected(std::move(outcome).error());
            std::this_thread::sleep_for(wait);
            wait = std::min(wait * 2, std::chrono::milliseconds{2000});
        }
    }

    /// Under the lock, or when no thread runs.
    void tell(bool end)
    {
        if (!options_.progress) return;
        const auto now = Clock::now();
        if (!end && now - told_ < std::chrono::milliseconds{100}) return;
        told_ = now;
        options_.progress(figures_);
    }

    int folder_;
    std::vector<Scanned>& entries_;
    BlockStore& store_;
    const PackOptions& options_;
    std::vector<std::size_t> files_;
    std::atomic<std::size_t> next_{0};
    std::atomic<bool> failed_{false};
    std::mutex mutex_;
    Result<> outcome_;                                   // Guarded by mutex_.
    PackFigures figures_;                                // Guarded by mutex_.
    std::unordered_map<std::string, std::string> sent_;  // Key to id. Guarded by mutex_.
    Clock::time_point told_{};                           // Guarded by mutex_.
};

/// Makes the records out of what was scanned.
class Records {
public:
    explicit Records(const std::vector<Scanned>& entries) : entries_{entries} {}

    std::map<std::string, std::string> run()
    {
        std::vector<std::size_t> parents(entries_.size());
        for (std::size_t i = 0; i < entries_.size(); ++i)
            for (const auto child : entries_[i].children) parents[child] = i;
        for (std::size_t i = 0; i < entries_.size(); ++i)
            if (S_ISDIR(entries_[i].status.st_mode)) add_folder(i, entries_[parents[i]]);
        return std::move(records_);
    }

private:
    static std::string key_of(const Scanned& folder) { return to_hex(blake2b(folder.path)); }
    static std::uint32_t seconds(const Scanned& entry)
    {
        return static_cast<std::uint32_t>(entry.status.st_mtim.tv_sec);
    }
    static capnp::Text::Reader text(const std::string& bytes)
    {
        return {bytes.c_str(), bytes.size()};
    }
    static capnp::Data::Reader data(std::string_view bytes)
    {
        return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
    }

    void add_folder(std::size_t index, const Scanned& parent)
    {
        const Scanned& folder = entries_[index];
        // One segment is enough for all: readers with few of them exist.
        std::size_t words = 64 + folder.path.size() / 4;
        for (const auto child : folder.children)
            words += 32 + entries_[child].name.size() / 8 + entries_[child].target.size() / 8 +
                     entries_[child].refs.size() / 32 * 8;
        capnp::MallocMessageBuilder message{static_cast<capnp::uint>(words)};
        auto dir = message.initRoot<wire::Dir>();
        dir.setName(text(folder.name));
        dir.setLocation(text(folder.path));
        dir.setParent(text(key_of(parent)));
        dir.setSize(folder_size);
        dir.setAclkey(text(acl_of(folder)));
        dir.setModificationTime(seconds(folder));
        dir.setCreationTime(seconds(folder));
        auto contents = dir.initContents(static_cast<capnp::uint>(folder.children.size()));
        capnp::uint at = 0;
        for (const auto child : folder.children) fill(contents[at++], entries_[child]);
        keep(key_of(folder), message);
    }

    void fill(wire::Inode::Builder inode, const Scanned& entry)
    {
        inode.setName(text(entry.name));
        inode.setAclkey(text(acl_of(entry)));
        inode.setModificationTime(seconds(entry));
        // Not st_ctime: that is when the packing host touched the inode, different on each host.
        inode.setCreationTime(seconds(entry));
        auto attributes = inode.initAttributes();
        switch (entry.status.st_mode & S_IFMT) {
            case S_IFDIR:
                inode.setSize(folder_size);
                attributes.initDir().setKey(text(key_of(entry)));
                break;
            case S_IFREG: {
                inode.setSize(static_cast<std::uint64_t>(entry.status.st_size));
                auto file = attributes.initFile();
                file.setBlockSize(chunk_size / 4096);
                if (entry.refs.empty()) break;
                auto blocks = file.initBlocks(static_cast<capnp::uint>(entry.refs.size() / 32));
                for (capnp::uint i = 0; i < blocks.size(); ++i) {
                    const auto ref = std::string_view{entry.refs}.substr(std::size_t{i} * 32, 32);
                    blocks[i].setHash(data(ref.substr(0, 16)));
                    blocks[i].setKey(data(ref.substr(16)));
                }
                break;
            }
            case S_IFLNK:
                inode.setSize(entry.target.size());
                attributes.initLink().setTarget(text(entry.target));
                break;
            default:
                fill_special(attributes.initSpecial(), entry);
                break;
        }
    }

    static void fill_special(wire::Special::Builder special, const Scanned& entry)
    {
        using Type = wire::Special::Type;
        const auto device = entry.status.st_rdev;
        std::string numbers = std::to_string(major(device)) + "," + std::to_string(minor(device));
        switch (entry.status.st_mode & S_IFMT) {
            case S_IFBLK:
                special.setType(Type::BLOCK);
                break;
            case S_IFCHR:
                special.setType(Type::CHARDEV);
                break;
            case S_IFIFO:
                special.setType(Type::FIFOPIPE);
                numbers = "(nothing)";
                break;
            default:
                special.setType(Type::SOCKET);
                numbers = "(nothing)";
                break;
        }
        special.setData(data(numbers));
    }

    std::string acl_of(const Scanned& entry)
    {
        // Names of accounts would be those of the packing host, and mean nothing elsewhere.
        const auto name = [](unsigned id) { return id == 0 ? "root" : std::to_string(id); };
        const unsigned mode = entry.status.st_mode & 07777U;
        char octal[16];
        (void)std::snprintf(octal, sizeof octal, "0o%o", mode);
        const auto user = name(entry.status.st_uid);
        const auto group = name(entry.status.st_gid);
        const std::string described = "user:" + user + "\ngroup:" + group + "\nmode:" + octal +
                                      "\nuid:" + std::to_string(entry.status.st_uid) +
                                      "\ngid:" + std::to_string(entry.status.st_gid);
        auto key = to_hex(blake2b_64(described));
        if (records_.contains(key)) return key;

        capnp::MallocMessageBuilder message{64};
        auto aci = message.initRoot<wire::ACI>();
        aci.setUname(text(user));
        aci.setGname(text(group));
        aci.setMode(static_cast<std::uint16_t>(mode));
        aci.setUid(entry.status.st_uid);
        aci.setGid(entry.status.st_gid);
        keep(key, message);
        return key;
    }

    void keep(const std::string& key, capnp::MallocMessageBuilder& message)
    {
        const auto words = capnp::messageToFlatArray(message);
        const auto bytes = words.asBytes();
        records_[key].assign(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
    }

    static constexpr std::uint64_t folder_size = 4096;  // That of the host's file system differs.

    const std::vector<Scanned>& entries_;
    std::map<std::string, std::string> records_;
};

}  // namespace

Result<PackFigures> pack_folder(
    const std::filesystem::path& folder,
    const std::filesystem::path& output,
    BlockStore& store,
    const PackOptions& options)
{
    TRY(auto entries, scan_folder(folder));
    TRY(const auto top, kernel::open_file(folder.string(), O_RDONLY | O_DIRECTORY));
    TRY(const auto figures, Upload(top.get(), entries, store, options).run());
    TRY(const auto database, write_database(Records{entries}.run(), options.metadata));
    TRY(const auto flist, wrap_database(database));
    TRY_DO(kernel::write_file_atomically(output, flist, 0644));
    return figures;
}

}  // namespace znode::flist
