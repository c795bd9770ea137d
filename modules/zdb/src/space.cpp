#include "space.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::zdb {
namespace {

std::optional<std::uint64_t> id_of(std::string_view key)
{
    std::uint64_t id = 0;
    if (key.size() != sizeof id) return std::nullopt;
    std::memcpy(&id, key.data(), sizeof id);
    return id;
}

constexpr std::string_view cannot_load = "this namespace could not be loaded";

constexpr std::uint32_t record_size(std::size_t key, std::uint32_t payload)
{
    return static_cast<std::uint32_t>(sizeof(RecordHeader) + key) + payload;
}

}  // namespace

SpaceImpl::SpaceImpl(Shared& shared, Worker& worker, std::string name, const CatalogEntry& entry)
    : shared_{shared},
      worker_{worker},
      name_{std::move(name)},
      settings_{entry.settings},
      hash_key_{entry.hash_key},
      first_id_{entry.first_id},
      index_folder_{shared.config->index / folder_of(entry.uid)},
      log_{shared, shared.config->data / folder_of(entry.uid), entry.uid},
      ids_{index_folder_ / "ids", entry.uid}
{
    state_.next_id = first_id_;
}

std::uint64_t SpaceImpl::index_bytes() const noexcept
{
    // What the original would say: 64 bytes and the key, 64 and 8 for an id.
    const std::uint64_t keys =
        settings_.mode == Mode::sequential ? state_.entries * 8 : state_.key_bytes;
    return state_.entries * 64 + keys;
}

std::uint32_t SpaceImpl::oldest_segment() const noexcept
{
    return log_.segments().empty() ? 0 : log_.segments().begin()->first;
}

std::uint32_t SpaceImpl::segment_limit() const noexcept
{
    const std::uint32_t most = shared_.config->segment_size;
    if (settings_.maxsize == 0) return most;
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(settings_.maxsize / 16, std::min(1U << 20U, most), most));
}

void SpaceImpl::note(const Error& error)
{
    const auto now = static_cast<std::uint64_t>(std::time(nullptr));
    if (error.code == Errc::corrupt || error.code == Errc::not_found) {
        ++counters_.data_faults;
    } else {
        ++counters_.data_errors;
        counters_.data_error_last = now;
    }
    shared_.log->warn("namespace disk trouble uid={:x} error=\"{}\"", log_.uid(), error.message);
}

// --- looking up ---------------------------------------------------------------------------------

SpaceImpl::Located SpaceImpl::locate_key(std::string_view key, std::size_t wanted)
{
    Located found;
    const std::uint32_t tag = tag_of(key, hash_key_);
    keys_.find(tag, [&](const KeyTable::Slot& slot) {
        auto record = log_.read(slot.at, std::min<std::size_t>(wanted, slot.size));
        if (record && record->key != key) return false;
        // An unreadable one is taken for the key that was asked for only if no other fits.
        found.slot = slot;
        found.payload_length = slot.size - record_size(key.size(), 0);
        found.record = std::move(record);
        return found.record.has_value();
    });
    return found;
}

SpaceImpl::Located SpaceImpl::locate_id(std::string_view key, std::size_t wanted)
{
    Located found;
    const auto id = id_of(key);
    if (!id || *id >= state_.next_id || !ids_open_) return found;
    const auto entry = ids_.get(*id);
    if (!entry) {
        found.slot.at = Place{0xFFFFFFFFU, 0};
        found.record = tl::unexpected(entry.error());
        return found;
    }
    if (!entry->at) return found;
    found.slot = {.tag = 0, .at = entry->at, .size = record_size(8, entry->length)};
    found.payload_length = entry->length;
    found.record = log_.read(entry->at, std::min<std::size_t>(wanted, found.slot.size));
    if (found.record && found.record->key != key)
        found.record = fail(Errc::corrupt, "another id lies where this one should be");
    return found;
}

SpaceImpl::Located SpaceImpl::locate(std::string_view key, std::size_t wanted)
{
    return settings_.mode == Mode::sequential ? locate_id(key, wanted) : locate_key(key, wanted);
}

Entry SpaceImpl::entry_of(const Record& record) const
{
    const RecordHeader& header = record.header;
    const Place before{header.before != 0 ? record.at.segment : 0, header.before};
    Entry entry{
        .at = record.at,
        .key = record.key,
        .length = header.payload_length,
        .crc = header.payload_crc,
        .time = header.time,
        .before = before,
        .deleted = header.kind == Kind::tombstone,
        .payload = record.payload};
    if ((header.flags & flag::moved) == 0 && log_.segments().contains(header.replaces.segment))
        entry.older = header.replaces;
    return entry;
}

Result<std::optional<Entry>> SpaceImpl::find(std::string_view key)
{
    if (failed_) return fail(Errc::corrupt, std::string{cannot_load});
    const auto found = locate(key, small_record);
    if (!found.slot.at) return std::nullopt;
    if (!found.record) {
        note(found.record.error());
        return fail(Errc::corrupt, found.record.error().message);
    }
    return entry_of(*found.record);
}

Result<bool> SpaceImpl::exists(std::string_view key)
{
    if (failed_) return fail(Errc::corrupt, std::string{cannot_load});
    return static_cast<bool>(locate(key, head_of_record).slot.at);
}

Result<Entry> SpaceImpl::at(Place place)
{
    if (failed_) return fail(Errc::corrupt, std::string{cannot_load});
    TRY(const auto record, log_.read(place));
    return entry_of(record);
}

bool SpaceImpl::current(const Entry& entry)
{
    if (entry.deleted) return false;
    if (settings_.mode == Mode::user)
        return keys_.find_at(tag_of(entry.key, hash_key_), entry.at) != nullptr;
    const auto id = id_of(entry.key);
    if (!id || !ids_open_) return false;
    const auto now = ids_.get(*id);
    return now && now->at == entry.at;
}

Result<> SpaceImpl::read(const Entry& entry, std::span<char> into)
{
    if (entry.payload) {
        std::memcpy(into.data(), entry.payload->data(), into.size());
    } else {
        RecordHeader header{};
        header.key_length = static_cast<std::uint8_t>(entry.key.size());
        auto done = log_.read_payload(entry.at, header, into);
        if (!done) {
            note(done.error());
            return done;
        }
    }
    if (payload_checksum({into.data(), into.size()}) == entry.crc) return {};
    ++counters_.data_faults;
    return fail(Errc::corrupt, "the checksum of the value is wrong");
}

// --- writing ------------------------------------------------------------------------------------

void SpaceImpl::begin_group()
{
    if (pending()) return;
    committed_ = state_;
    changes_.clear();
    shared_.touched.push_back(this);
}

void SpaceImpl::account(const KeyTable::Slot& old, const KeyTable::Slot& now)
{
    auto& segments = log_.segments();
    if (now.at) segments[now.at.segment].live += padded(now.size);
    if (!old.at) return;
    const auto found = segments.find(old.at.segment);
    if (found != segments.end()) found->second.live -= padded(old.size);
}

bool SpaceImpl::write(const Append& record, const KeyTable::Slot& old)
{
    begin_group();
    auto at = log_.append(record, settings_.mode, name_);
    const bool makes_room = record.kind == Kind::tombstone || (record.flags & flag::moved) != 0;
    if (!at && at.error().code == Errc::exhausted && shared_.reserve.give_up() && makes_room)
        at = log_.append(record, settings_.mode, name_);
    if (!at) {
        note(at.error());
        return false;
    }
    KeyTable::Slot now{
        .tag = old.tag,
        .at = *at,
        .size = record_size(record.key.size(), static_cast<std::uint32_t>(record.payload.size()))};
    if (record.kind == Kind::tombstone) now.at = {};
    if (settings_.mode == Mode::sequential) {
        std::uint64_t id = 0;
        std::memcpy(&id, record.key.data(), sizeof id);
        ids_.put(id, now.at, static_cast<std::uint32_t>(record.payload.size()));
    } else if (!now.at) {
        keys_.erase(old.tag, old.at);
    } else if (!old.at || !keys_.replace(old.tag, old.at, now)) {
        keys_.insert(now);
    }
    account(old, now);
    if (old.at) dirty_.insert(old.at.segment);
    changes_.push_back({old, now});
    shared_.uncommitted += padded(now.size);
    state_.next_id = record.next_id;
    return true;
}

void SpaceImpl::undo()
{
    for (auto change = changes_.rbegin(); change != changes_.rend(); ++change) {
        const auto& [old, now] = *change;
        account(now, old);
        if (settings_.mode == Mode::sequential) continue;
        if (!now.at) {
            keys_.insert(old);
        } else if (!old.at) {
            keys_.erase(now.tag, now.at);
        } else {
            keys_.replace(now.tag, now.at, old);
        }
    }
    ids_.undo();
    changes_.clear();
    state_ = committed_;
}

bool SpaceImpl::over_quota(std::uint64_t length, std::uint64_t old_length) const noexcept
{
    const std::uint64_t most = settings_.maxsize;
    if (most == 0) return false;
    // Written so that no sum can overflow.
    const std::uint64_t others = state_.live_bytes - std::min(old_length, state_.live_bytes);
    if (others > most || length > most - others) return true;
    // Records, dead values and what compaction still has to do: bounded too.
    return disk_limit() != 0 && log_.disk_bytes() > disk_limit();
}

std::uint64_t SpaceImpl::disk_limit() const noexcept
{
    const std::uint64_t most = settings_.maxsize;
    if (most == 0 || most >= std::uint64_t{1} << 62U) return 0;
    return most + most / 16 + (std::uint64_t{64} << 20U);
}

bool SpaceImpl::same_value(const Located& old, std::string_view value, std::uint32_t crc)
{
    if (!old.record || old.record->header.payload_crc != crc ||
        old.record->header.payload_length != value.size())
        return false;
    if (old.record->payload) return *old.record->payload == value;
    value_buffer_.resize(value.size());
    const bool got = log_.read_payload(old.slot.at, old.record->header, value_buffer_).has_value();
    const bool same = got && value_buffer_ == value;
    if (value_buffer_.capacity() > (1U << 20U)) std::string{}.swap(value_buffer_);
    return same;
}

SetOutcome SpaceImpl::set(
    std::string_view key, std::string_view value, std::uint32_t time, std::string& stored_key)
{
    const bool sequential = settings_.mode == Mode::sequential;
    const bool fresh_id = sequential && key.empty();
    if (failed_) return SetOutcome::broken;
    Located old;
    if (!fresh_id) {
        old = locate(key, small_record);
        if (sequential && !old.slot.at) return SetOutcome::no_such_id;
        if (settings_.worm && old.slot.at) return SetOutcome::worm;
    }
    if (over_quota(value.size(), old.slot.at ? old.payload_length : 0)) return SetOutcome::quota;
    const std::uint32_t crc = payload_checksum(value);
    if (old.slot.at && same_value(old, value, crc)) {
        stored_key = key;
        return SetOutcome::unchanged;
    }
    // What is left belongs to those who make room.
    if (shared_.reserve.still_missing()) return SetOutcome::broken;
    if (sequential && shared_.mark_owed) shared_.mark_owed = !shared_.write_mark();
    if (sequential && shared_.mark_owed) return SetOutcome::broken;
    if (sequential && !ids_open_) {
        const auto opened = ids_.open();
        if (!opened) {
            note(opened.error());
            return SetOutcome::broken;
        }
        ids_open_ = true;
    }
    const std::uint64_t id = state_.next_id;
    if (fresh_id) {
        stored_key.assign(reinterpret_cast<const char*>(&id), sizeof id);
    } else {
        stored_key = key;
    }
    if (!sequential) old.slot.tag = tag_of(key, hash_key_);
    // New keys count up; in sequential mode each update consumes a number as well.
    const bool counts = sequential || !old.slot.at;
    const bool existed = static_cast<bool>(old.slot.at);
    if (old.slot.at.segment == 0xFFFFFFFFU) old.slot.at = {};
    const Append record{
        .kind = Kind::value,
        .key = stored_key,
        .payload = value,
        .payload_crc = crc,
        .time = time,
        .replaces = old.slot.at,
        .next_id = state_.next_id + (counts ? 1 : 0)};
    if (!write(record, old.slot)) return SetOutcome::broken;
    if (!existed) {
        ++state_.entries;
        state_.key_bytes += key.size();
    }
    state_.live_bytes += value.size();
    if (existed)
        state_.live_bytes -= std::min<std::uint64_t>(old.payload_length, state_.live_bytes);
    return SetOutcome::stored;
}

DeleteOutcome SpaceImpl::remove(std::string_view key, std::uint32_t time)
{
    if (failed_) return DeleteOutcome::broken;
    Located old = locate(key, head_of_record);
    if (!old.slot.at) return DeleteOutcome::absent;
    if (settings_.worm) return DeleteOutcome::worm;
    if (settings_.mode == Mode::user) old.slot.tag = tag_of(key, hash_key_);
    if (old.slot.at.segment == 0xFFFFFFFFU) old.slot.at = {};
    const Append record{
        .kind = Kind::tombstone,
        .key = key,
        .time = time,
        .replaces = old.slot.at,
        .next_id = state_.next_id};
    if (!write(record, old.slot)) return DeleteOutcome::broken;
    if (state_.entries > 0) --state_.entries;
    state_.key_bytes -= std::min<std::uint64_t>(key.size(), state_.key_bytes);
    state_.live_bytes -= std::min<std::uint64_t>(old.payload_length, state_.live_bytes);
    return DeleteOutcome::deleted;
}

Result<> SpaceImpl::commit()
{
    if (!pending()) return {};
    auto done = log_.commit();
    if (!done) {
        undo();
        note(done.error());
        if (done.error().code == Errc::exhausted) shared_.reserve.give_up();
        return done;
    }
    committed_ = state_;
    changes_.clear();
    if (settings_.mode == Mode::sequential) {
        if (const auto indexed = ids_.commit(); !indexed) {
            ++counters_.index_errors;
            counters_.index_error_last = static_cast<std::uint64_t>(std::time(nullptr));
        }
    }
    if (log_.full(segment_limit())) rotate();
    return {};
}

void SpaceImpl::rotate()
{
    if (failed_ || log_.segments().empty() || log_.active_size() <= sizeof(SegmentHeader)) return;
    log_.seal();
    after_seal(log_.active());
}

void SpaceImpl::stop()
{
    if (failed_) return;
    if (const auto done = log_.sync(); !done) note(done.error());
    if (settings_.mode == Mode::sequential && ids_open_ && !ids_.owes() && log_.active() != 0)
        (void)cover_ids(
            ids_.file(), ids_.uid(), log_.active());  // Derived: read again if it fails.
}

std::vector<std::uint32_t> SpaceImpl::dirty_segments() const
{
    return {dirty_.begin(), dirty_.end()};
}

// --- walking ------------------------------------------------------------------------------------

/// The first record at or behind a place, damage skipped.
Result<std::optional<Entry>> SpaceImpl::step(Place from)
{
    const auto& segments = log_.segments();
    for (auto segment = segments.lower_bound(from.segment); segment != segments.end(); ++segment) {
        std::uint32_t offset = segment->first == from.segment
                                   ? std::max<std::uint32_t>(from.offset, sizeof(SegmentHeader))
                                   : sizeof(SegmentHeader);
        for (; offset < segment->second.size; offset += record_alignment) {
            auto record = log_.read({segment->first, offset}, head_of_record);
            if (record) return entry_of(*record);
            if (record.error().code != Errc::not_found)
                return tl::unexpected(std::move(record).error());
        }
    }
    return std::nullopt;
}

Result<std::optional<Entry>> SpaceImpl::after(Place place)
{
    if (failed_) return fail(Errc::corrupt, std::string{cannot_load});
    if (!place || place.segment < oldest_segment()) return step({});
    TRY(const auto record, log_.read(place, head_of_record));
    return step({place.segment, place.offset + padded(record.header.size())});
}

Result<std::optional<Entry>> SpaceImpl::before(Place place)
{
    if (failed_) return fail(Errc::corrupt, std::string{cannot_load});
    Place wanted;
    if (!place) {
        if (log_.segments().empty()) return std::nullopt;
        const auto& [number, segment] = *log_.segments().rbegin();
        wanted = {number, segment.last};
    } else {
        if (place.segment < oldest_segment()) return std::nullopt;
        TRY(const auto record, log_.read(place, head_of_record));
        wanted = {place.segment, record.header.before};
    }
    while (wanted.offset == 0) {
        const auto segment = log_.segments().find(wanted.segment);
        if (segment == log_.segments().end() || segment == log_.segments().begin())
            return std::nullopt;
        const auto older = std::prev(segment);
        wanted = {older->first, older->second.last};
    }
    TRY(const auto record, log_.read(wanted, head_of_record));
    return entry_of(record);
}

}  // namespace znode::zdb
