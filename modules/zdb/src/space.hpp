#pragma once

#include <atomic>
#include <set>

#include "catalog.hpp"
#include "id_table.hpp"
#include "key_table.hpp"
#include "log.hpp"
#include "scan.hpp"
#include "worker.hpp"

namespace znode::zdb {

/// One namespace: its log, and the index of its mode.
class SpaceImpl final : public Space {
public:
    SpaceImpl(Shared& shared, Worker& worker, std::string name, const CatalogEntry& entry);
    ~SpaceImpl() override { give_room_back(); }

    /// Reads what is on disk. `after_power_loss`: ids of lost writes may be known to clients. Says
    /// whether ids were skipped: only who loads it knows, until `next_id` is written down.
    Result<bool> load(bool after_power_loss);

    const std::string& name() const noexcept override { return name_; }
    const Settings& settings() const noexcept override { return settings_; }
    std::uint64_t entries() const noexcept override { return state_.entries; }
    std::uint64_t live_bytes() const noexcept override { return state_.live_bytes; }
    std::uint64_t disk_bytes() const noexcept override { return log_.disk_bytes(); }
    std::uint64_t index_bytes() const noexcept override;
    std::uint64_t next_id() const noexcept override { return state_.next_id; }
    const Counters& counters() const noexcept override { return counters_; }
    bool used() const noexcept override { return failed_ || !log_.segments().empty(); }
    std::uint32_t active_segment() const noexcept override { return log_.active(); }
    std::uint32_t active_size() const noexcept override { return log_.active_size(); }
    std::uint32_t oldest_segment() const noexcept override;
    const std::filesystem::path& data_folder() const noexcept override { return log_.folder(); }
    const std::filesystem::path& index_folder() const noexcept override { return index_folder_; }

    SetOutcome set(
        std::string_view key,
        std::string_view value,
        std::uint32_t time,
        std::string& stored_key) override;
    DeleteOutcome remove(std::string_view key, std::uint32_t time) override;
    Result<std::optional<Entry>> find(std::string_view key) override;
    Result<bool> exists(std::string_view key) override;
    Result<Entry> at(Place place) override;
    bool current(const Entry& entry) override;
    Result<> read(const Entry& entry, std::span<char> into) override;
    Result<std::optional<Entry>> after(Place place) override;
    Result<std::optional<Entry>> before(Place place) override;
    std::vector<std::uint32_t> dirty_segments() const override;
    void reset_dirty() override { dirty_.clear(); }

    /// After a `load` that failed: all it is asked is answered with an error, and nothing on disk
    /// is touched. `next_id` is beyond all that was ever given out.
    void close_down();
    bool failed() const noexcept override { return failed_; }

    /// Whether writes wait for `commit`.
    bool pending() const noexcept { return log_.pending() > 0; }
    std::size_t pending_bytes() const noexcept { return log_.pending(); }
    /// On failure all writes since the last commit are undone.
    Result<> commit();
    void configure(const Settings& settings) { settings_ = settings; }
    void raise_next_id(std::uint64_t next_id) { state_.next_id = next_id; }
    void rotate();
    /// One step of giving space back.
    Compaction compact(std::chrono::microseconds budget);
    void stop();

private:
    struct State {
        std::uint64_t entries = 0;
        std::uint64_t live_bytes = 0;
        std::uint64_t key_bytes = 0;  ///< User mode: lengths of all keys.
        std::uint64_t next_id = 0;
    };
    /// How to take one change back.
    struct Change {
        KeyTable::Slot old;  ///< at: nowhere when there was none.
        KeyTable::Slot now;  ///< at: nowhere for a removal.
    };

    /// Room for copies that the reserve gave.
    struct Paid {
        std::uint64_t round = 0;
        std::uint64_t left = 0;  ///< Not yet taken by copies.
    };

    // space_scan.cpp: building the index.
    Result<bool> load_segments();
    Result<> load_user();
    Result<> load_sequential();
    Result<> replay_ids(std::uint32_t from, Scanned& last);
    Result<> count_ids(bool& sound);
    Result<Scanned> scan_active(
        const std::function<void(const RecordHeader&, std::uint32_t, std::string_view)>& visit);
    const KeyTable::Slot* same_key(std::uint32_t tag, Place at);
    void apply(const HintEntry& entry, std::uint32_t segment);
    std::filesystem::path hint_of(std::uint32_t number) const;
    void after_seal(std::uint32_t number);

    /// What the index says of a key, and the record it points to if that can be read.
    struct Located {
        KeyTable::Slot slot;  ///< at: nowhere when there is no such key.
        std::uint32_t payload_length = 0;
        Result<Record> record = tl::unexpected(Error{});
    };
    Located locate(std::string_view key, std::size_t wanted);
    Located locate_key(std::string_view key, std::size_t wanted);
    Located locate_id(std::string_view key, std::size_t wanted);
    Entry entry_of(const Record& record) const;
    void begin_group();
    void account(const KeyTable::Slot& old, const KeyTable::Slot& now);
    /// Appends and points the index to it. `old`: what the index held.
    bool write(const Append& record, const KeyTable::Slot& old);
    void undo();
    bool same_value(const Located& old, std::string_view value, std::uint32_t crc);
    Result<std::optional<Entry>> step(Place from);
    bool over_quota(std::uint64_t length, std::uint64_t old_length) const noexcept;
    void note(const Error& error);
    std::uint64_t dead_bytes() const noexcept;
    bool worth_compacting() const noexcept;
    /// Bytes its segments may take, 0 for no bound.
    std::uint64_t disk_limit() const noexcept;
    /// Whether it is about to reach that.
    bool pressed() const noexcept;
    bool may_copy();
    void give_room_back();
    Compaction copy_some(std::chrono::microseconds budget);
    bool compact_record(const Record& record);
    Compaction finish_compacting();
    std::uint32_t segment_limit() const noexcept;

    Shared& shared_;
    Worker& worker_;
    std::string name_;
    Settings settings_;
    HashKey hash_key_;
    std::uint64_t first_id_;
    std::filesystem::path index_folder_;
    SegmentLog log_;
    KeyTable keys_;
    IdTable ids_;
    bool ids_open_ = false;
    State state_;
    State committed_;
    std::vector<Change> changes_;
    bool failed_ = false;
    Counters counters_;
    std::set<std::uint32_t> dirty_;
    std::string value_buffer_;
    Place compacting_;                           ///< Next record to look at; segment 0: not begun.
    std::optional<Paid> paid_;                   ///< For this compaction.
    std::uint32_t moved_to_ = 0;                 ///< First segment that has records moved by it.
    std::shared_ptr<std::atomic<int>> flushed_;  ///< 0 under way, 1 done, -1 failed.
};

}  // namespace znode::zdb
