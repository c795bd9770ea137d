#pragma once
// The storage of a 0-db: namespaces of keys and values in append-only segments. No network, no
// protocol texts. Every byte it writes is described in FORMAT.md of this module.
//
// One thread uses an engine and everything it hands out.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.hpp"
#include "base/result.hpp"
#include "base/secret.hpp"

namespace znode::zdb {

inline constexpr std::size_t key_limit = 255;
inline constexpr std::size_t payload_limit = std::size_t{8} << 20U;
inline constexpr std::size_t name_limit = 128;

enum class Mode : std::uint8_t { user = 0, sequential = 1 };

/// Where a record lies; segment 0 means nowhere.
struct Place {
    std::uint32_t segment = 0;
    std::uint32_t offset = 0;

    explicit operator bool() const noexcept { return segment != 0; }
    auto operator<=>(const Place&) const = default;
};

/// What an administrator sets on a namespace.
struct Settings {
    Mode mode = Mode::user;
    std::uint64_t maxsize = 0;  ///< Bytes of live payload, 0 for no limit.
    Secret password;
    bool public_access = true;  ///< With a password: reading needs none.
    bool worm = false;
    bool locked = false;
    bool frozen = false;
};

/// One version of one key, as found. `payload` is set when the value was small enough to come
/// along; it and `key` are valid until the next call to the space.
struct Entry {
    Place at = {};
    std::string_view key = {};
    std::uint32_t length = 0;  ///< Of the payload.
    std::uint32_t crc = 0;     ///< Payload checksum, as written.
    std::uint32_t time = 0;    ///< Unix seconds.
    Place older = {};          ///< The version before, if it is still there.
    Place before = {};         ///< The record before in the segment, whatever its key.
    bool deleted = false;      ///< A tombstone.
    std::optional<std::string_view> payload = {};
};

enum class SetOutcome {
    stored,
    unchanged,   ///< The key has exactly this value: nothing was written.
    no_such_id,  ///< Sequential mode: only living ids can be updated.
    worm,        ///< The key exists and the namespace never overwrites.
    quota,       ///< maxsize, or its bound on the disk, is reached.
    broken,      ///< The disk refuses; see `Counters`.
};

enum class DeleteOutcome { deleted, absent, worm, broken };

struct Counters {
    std::uint64_t index_errors = 0;
    std::uint64_t index_error_last = 0;
    std::uint64_t index_faults = 0;
    std::uint64_t data_errors = 0;      ///< Reads and writes that the kernel refused.
    std::uint64_t data_error_last = 0;  ///< Unix time.
    std::uint64_t data_faults = 0;      ///< Checksums that were wrong.
};

/// A namespace. Writes are visible at once and durable when `Engine::commit` says so.
class Space {
public:
    virtual ~Space() = default;

    virtual const std::string& name() const noexcept = 0;
    virtual const Settings& settings() const noexcept = 0;
    virtual std::uint64_t entries() const noexcept = 0;
    /// Sum of the payloads that count.
    virtual std::uint64_t live_bytes() const noexcept = 0;
    /// Bytes of all segments on disk.
    virtual std::uint64_t disk_bytes() const noexcept = 0;
    virtual std::uint64_t index_bytes() const noexcept = 0;
    /// The counter of ids: the next new id is at least this.
    virtual std::uint64_t next_id() const noexcept = 0;
    virtual const Counters& counters() const noexcept = 0;
    /// Whether it could not be loaded: everything it is asked fails.
    virtual bool failed() const noexcept = 0;
    /// Whether anything was ever written.
    virtual bool used() const noexcept = 0;
    virtual std::uint32_t active_segment() const noexcept = 0;
    virtual std::uint32_t active_size() const noexcept = 0;
    virtual std::uint32_t oldest_segment() const noexcept = 0;
    virtual const std::filesystem::path& data_folder() const noexcept = 0;
    virtual const std::filesystem::path& index_folder() const noexcept = 0;

    /// Stores. In sequential mode an empty key asks for a new id. `stored_key` gets the key or the
    /// 8 bytes of the id.
    virtual SetOutcome set(
        std::string_view key,
        std::string_view value,
        std::uint32_t time,
        std::string& stored_key) = 0;
    virtual DeleteOutcome remove(std::string_view key, std::uint32_t time) = 0;

    /// The current version; empty when there is none. Errc::corrupt or Errc::unavailable when the
    /// record cannot be read.
    virtual Result<std::optional<Entry>> find(std::string_view key) = 0;
    virtual Result<bool> exists(std::string_view key) = 0;
    /// Any version at a place (history, cursors): Errc::not_found when no record is there.
    virtual Result<Entry> at(Place place) = 0;
    /// Whether this is the version that counts.
    virtual bool current(const Entry& entry) = 0;
    /// The value, checksum verified: Errc::corrupt when it is wrong.
    virtual Result<> read(const Entry& entry, std::span<char> into) = 0;

    /// User mode: the record after (before) a place, living or not; an empty place asks for the
    /// first (last) one of all. Empty at the end.
    virtual Result<std::optional<Entry>> after(Place place) = 0;
    virtual Result<std::optional<Entry>> before(Place place) = 0;

    /// Segments in which records were superseded since the last reset.
    virtual std::vector<std::uint32_t> dirty_segments() const = 0;
    virtual void reset_dirty() = 0;
};

struct EngineConfig {
    std::filesystem::path data;
    std::filesystem::path index;
    /// Mode of new namespaces; every namespace must have it when `single_mode`.
    Mode mode = Mode::user;
    bool single_mode = false;
    std::uint32_t segment_size = 64U << 20U;
    /// Bytes held back for a full disk, so that DEL and the removal of namespaces go on; 0 for
    /// none.
    std::uint64_t reserve = 0;
    bool sync = false;  ///< `commit` reaches the disk, not only the kernel.
};

/// What is left to do after a step of giving space back.
enum class Compaction {
    idle,     ///< Nothing.
    waiting,  ///< For the disk: ask again in some milliseconds.
    busy,     ///< More: ask again soon.
};

class Engine {
public:
    virtual ~Engine() = default;

    /// In order of creation, `default` first.
    virtual std::vector<Space*> spaces() = 0;
    /// Null when there is none of that name. Valid until the space is removed or emptied.
    virtual Space* find(std::string_view name) = 0;

    /// Errc::exists; Errc::unavailable and the like when the disk refuses. Durable when it returns.
    virtual Result<Space*> create(std::string_view name) = 0;
    virtual Result<> remove(Space& space) = 0;
    /// Changes the settings; on failure they are as before. Changing the mode of a used space is
    /// Errc::invalid.
    virtual Result<> configure(Space& space, Settings settings) = 0;
    /// The counter of ids of a space goes on at `next_id`; Errc::invalid when it is beyond already.
    virtual Result<> raise_next_id(Space& space, std::uint64_t next_id) = 0;
    /// Takes settings for this run only.
    virtual void override_settings(Space& space, Settings settings) = 0;
    /// Makes the space empty; its ids go on. The old object is gone.
    virtual Result<Space*> empty(Space& space) = 0;
    /// Builds the index anew from the segments. The old object is gone.
    virtual Result<Space*> reload(Space& space) = 0;
    /// Begins a new segment.
    virtual Result<> rotate(Space& space) = 0;

    /// Bytes written and not yet committed.
    virtual std::size_t uncommitted() const noexcept = 0;
    /// Hands all writes since the last commit to the kernel (and to the disk with `sync`). Spaces
    /// that the disk refused are returned: their writes are undone.
    virtual std::vector<Space*> commit() = 0;

    /// Gives back space of dead records in small steps, for at most about `budget`.
    virtual Compaction compact(std::chrono::microseconds budget) = 0;

    virtual const EngineConfig& config() const noexcept = 0;
    /// Ends cleanly: commits, makes everything durable, leaves the mark of a clean stop.
    virtual void stop() = 0;
};

/// Opens or makes the folders. Errc::exists when another server has them; Errc::invalid when
/// both folders are the same or a namespace has another mode than `single_mode` asks for.
Result<std::unique_ptr<Engine>> open_engine(EngineConfig config, Log log);

}  // namespace znode::zdb
