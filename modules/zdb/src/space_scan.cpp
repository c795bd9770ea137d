// Building the index of a namespace from its segments, and giving their space back.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/text.hpp"
#include "kernel/files.hpp"
#include "space.hpp"

namespace znode::zdb {
namespace {

/// Ids that may have been given out by writes that the machine then lost.
constexpr std::uint64_t id_gap = 65536;

constexpr std::uint32_t payload_of(std::uint32_t size, std::uint8_t key_length)
{
    return size - static_cast<std::uint32_t>(sizeof(RecordHeader)) - key_length;
}

}  // namespace

std::filesystem::path SpaceImpl::hint_of(std::uint32_t number) const
{
    return index_folder_ / (std::to_string(number) + ".hint");
}

Result<bool> SpaceImpl::load(bool after_power_loss)
{
    TRY_DO(log_.open());
    counters_.data_faults += log_.lost();
    bool was_cut = false;
    if (!log_.segments().empty()) {
        TRY(was_cut, load_segments());
    } else if (settings_.mode == Mode::sequential) {
        // Its entries of segments that are gone would be taken for records that come there next.
        TRY_DO(kernel::remove_file(ids_.file()));
    }
    const bool skips =
        settings_.mode == Mode::sequential && (was_cut || after_power_loss || log_.lost() > 0);
    if (skips) state_.next_id += id_gap;
    committed_ = state_;
    return skips;
}

/// Says whether a torn tail was cut.
Result<bool> SpaceImpl::load_segments()
{
    const auto& newest = *log_.segments().rbegin();
    TRY(const int fd, log_.fd_of(newest.first));
    TRY(const auto header, read_segment_header(fd, log_.uid(), newest.first));
    settings_.mode = header.mode == 1 ? Mode::sequential : Mode::user;
    state_.next_id = std::max(state_.next_id, header.next_id);

    const std::uint64_t before = newest.second.size;
    if (settings_.mode == Mode::sequential) {
        TRY_DO(load_sequential());
    } else {
        TRY_DO(load_user());
    }
    const bool was_cut = log_.segments().rbegin()->second.size != before;
    if (was_cut)
        shared_.log->warn(
            "torn tail cut uid={:x} segment={} bytes={}",
            log_.uid(),
            newest.first,
            before - newest.second.size);
    return was_cut;
}

void SpaceImpl::close_down()
{
    failed_ = true;
    if (settings_.mode != Mode::sequential) return;
    // What follows the newest header that can be read has at most so many records, and so has the
    // array of ids.
    std::uint64_t newest = first_id_;
    std::uint64_t bytes = 0;
    std::error_code ec;
    std::filesystem::directory_iterator entry{log_.folder(), ec};
    for (const std::filesystem::directory_iterator end; !ec && entry != end; entry.increment(ec)) {
        std::error_code gone;
        const auto size = entry->file_size(gone);
        if (!gone) bytes += size;
        const auto number = to_number<std::uint32_t>(entry->path().stem().string());
        const auto fd = kernel::open_file(entry->path().string(), O_RDONLY);
        if (!number || !fd) continue;
        const auto header = read_segment_header(fd->get(), log_.uid(), *number);
        if (header) newest = std::max(newest, header->next_id);
    }
    const auto array = std::filesystem::file_size(ids_.file(), ec);
    if (!ec) newest = std::max<std::uint64_t>(newest, array / sizeof(IdEntry));
    state_.next_id = newest + bytes / sizeof(RecordHeader) + id_gap;
}

Result<Scanned> SpaceImpl::scan_active(
    const std::function<void(const RecordHeader&, std::uint32_t, std::string_view)>& visit)
{
    const std::uint32_t number = log_.active();
    TRY(const int fd, log_.fd_of(number));
    Segment& segment = log_.segments()[number];
    TRY(auto scanned, scan_segment(fd, segment.salt, segment.size, true, visit));
    if (scanned.end != segment.size) TRY_DO(log_.cut(scanned.end));
    segment.last = scanned.last;
    counters_.data_faults += scanned.faults;
    state_.next_id = std::max(state_.next_id, scanned.next_id);
    return scanned;
}

/// The slot of the key of a record whose predecessor is damaged or gone. Keys are read only when
/// tags are equal, which is as good as never without damage.
const KeyTable::Slot* SpaceImpl::same_key(std::uint32_t tag, Place at)
{
    if (keys_.find(tag, [](const KeyTable::Slot&) { return true; }) == nullptr) return nullptr;
    const auto record = log_.read(at, head_of_record);
    if (!record) return nullptr;
    const std::string key{record->key};
    return keys_.find(tag, [&](const KeyTable::Slot& slot) {
        const auto other = log_.read(slot.at, head_of_record);
        return other && other->key == key;
    });
}

void SpaceImpl::apply(const HintEntry& entry, std::uint32_t number)
{
    const KeyTable::Slot* old_slot =
        entry.replaces ? keys_.find_at(entry.tag, entry.replaces) : nullptr;
    if (old_slot == nullptr) old_slot = same_key(entry.tag, {number, entry.offset});
    const KeyTable::Slot old = old_slot != nullptr ? *old_slot : KeyTable::Slot{.tag = entry.tag};
    KeyTable::Slot now{.tag = entry.tag, .at = {number, entry.offset}, .size = entry.size};
    if (entry.kind == Kind::tombstone) now.at = {};
    if (old.at) {
        --state_.entries;
        state_.key_bytes -= entry.key_length;
        state_.live_bytes -= payload_of(old.size, entry.key_length);
        if (now.at) {
            keys_.replace(entry.tag, old.at, now);
        } else {
            keys_.erase(entry.tag, old.at);
        }
    } else if (now.at) {
        keys_.insert(now);
    }
    if (now.at) {
        ++state_.entries;
        state_.key_bytes += entry.key_length;
        state_.live_bytes += payload_of(now.size, entry.key_length);
    }
    account(old, now);
}

Result<> SpaceImpl::load_user()
{
    keys_.clear();
    state_.entries = state_.live_bytes = state_.key_bytes = 0;
    for (auto& [number, segment] : log_.segments()) segment.live = 0;
    for (auto& [number, segment] : log_.segments()) {
        const auto visit =
            [&, at = number](
                const RecordHeader& header, std::uint32_t offset, std::string_view key) {
                apply(
                    {.tag = tag_of(key, hash_key_),
                     .offset = offset,
                     .size = header.size(),
                     .kind = header.kind,
                     .key_length = header.key_length,
                     .flags = header.flags,
                     .replaces = header.replaces},
                    at);
            };
        if (number == log_.active()) {
            TRY_DO(scan_active(visit));
            continue;
        }
        if (auto hints = read_hints(hint_of(number), log_.uid(), number, segment)) {
            for (const HintEntry& entry : hints->entries) apply(entry, number);
            if (!hints->entries.empty()) segment.last = hints->entries.back().offset;
            state_.next_id = std::max(state_.next_id, hints->header.next_id);
            continue;
        }
        TRY(const int fd, log_.fd_of(number));
        TRY(const auto scanned, scan_segment(fd, segment.salt, segment.size, false, visit));
        segment.last = scanned.last;
        counters_.data_faults += scanned.faults;
        state_.next_id = std::max(state_.next_id, scanned.next_id);
        after_seal(number);
    }
    return {};
}

Result<> SpaceImpl::replay_ids(std::uint32_t from, Scanned& last)
{
    for (auto& [number, segment] : log_.segments()) {
        Result<> written;
        const auto visit =
            [&, at = number](
                const RecordHeader& header, std::uint32_t offset, std::string_view key) {
                std::uint64_t id = 0;
                if (key.size() != sizeof id) return;
                std::memcpy(&id, key.data(), sizeof id);
                const Place place = header.kind == Kind::value ? Place{at, offset} : Place{};
                ids_.put(id, place, header.payload_length);
                // A full disk: all stays in memory, and the end of the segment tries once more.
                if (written && (offset >> 20U) != (last.end >> 20U)) written = ids_.commit();
                last.end = offset;
            };
        if (number == log_.active()) {
            TRY_DO(scan_active(visit));
        } else if (number >= from) {
            TRY(const int fd, log_.fd_of(number));
            TRY(const auto scanned, scan_segment(fd, segment.salt, segment.size, false, visit));
            segment.last = scanned.last;
            counters_.data_faults += scanned.faults;
            state_.next_id = std::max(state_.next_id, scanned.next_id);
        }
        written = ids_.commit();
        if (!written && written.error().code != Errc::exhausted) return written;
    }
    return {};
}

Result<> SpaceImpl::count_ids(bool& sound)
{
    state_.entries = state_.live_bytes = 0;
    auto& segments = log_.segments();
    for (auto& [number, segment] : segments) segment.live = 0;
    TRY(sound, ids_.walk(state_.next_id, [&](std::uint64_t, const IdEntry& entry) {
        const auto segment = segments.find(entry.at.segment);
        const std::uint64_t size = sizeof(RecordHeader) + 8 + entry.length;
        if (segment == segments.end() || entry.at.offset + size > segment->second.size)
            return false;
        segment->second.live += padded(static_cast<std::uint32_t>(size));
        ++state_.entries;
        state_.live_bytes += entry.length;
        return true;
    }));
    return {};
}

Result<> SpaceImpl::load_sequential()
{
    TRY(const auto covered, ids_.open());
    ids_open_ = true;
    Scanned last;
    bool sound = false;
    TRY_DO(replay_ids(covered, last));
    TRY_DO(ids_.cut(state_.next_id));
    TRY_DO(count_ids(sound));
    if (sound) return {};
    shared_.log->warn("index of ids built anew uid={:x}", log_.uid());
    TRY_DO(ids_.restart());
    TRY_DO(replay_ids(1, last));
    TRY_DO(count_ids(sound));
    if (!sound) return fail(Errc::corrupt, "the index of ids cannot be built from the segments");
    return {};
}

void SpaceImpl::after_seal(std::uint32_t number)
{
    const auto segment = log_.path_of(number);
    auto log = shared_.log;
    const auto flush = [segment] {
        const auto fd = kernel::open_file(segment.string(), O_RDONLY);
        if (fd) (void)::fdatasync(fd->get());  // What fails here fails the next --sync commit too.
    };
    if (settings_.mode == Mode::sequential) {
        if (ids_.owes()) return worker_.post(flush);
        worker_.post([flush, log, file = ids_.file(), uid = ids_.uid(), number] {
            flush();
            const auto done = cover_ids(file, uid, number + 1);
            if (!done) log->debug("ids not covered error=\"{}\"", done.error().message);
        });
        return;
    }
    worker_.post(
        [flush, log, segment, hint = hint_of(number), uid = log_.uid(), number, key = hash_key_] {
            flush();
            const auto done = write_hints(segment, hint, uid, number, key);
            if (!done) log->debug("hint not written error=\"{}\"", done.error().message);
        });
}

// --- giving space back --------------------------------------------------------------------------

std::uint64_t SpaceImpl::dead_bytes() const noexcept
{
    std::uint64_t live = 0;
    for (const auto& [number, segment] : log_.segments()) live += segment.live;
    const std::uint64_t disk = log_.disk_bytes();
    return disk > live ? disk - live : 0;
}

bool SpaceImpl::worth_compacting() const noexcept
{
    const std::uint64_t dead = dead_bytes();
    if (dead > segment_limit() + (log_.disk_bytes() - dead) / 3) return true;
    // Where room is short, less is worth the work.
    if (shared_.reserve.missing()) return dead > std::min(segment_limit() / 4, 1U << 20U);
    return pressed() && dead > segment_limit() / 4;
}

bool SpaceImpl::pressed() const noexcept
{
    const std::uint64_t most = disk_limit();
    return most != 0 && log_.disk_bytes() + segment_limit() > most;
}

bool SpaceImpl::compact_record(const Record& record)
{
    const auto entry = entry_of(record);
    if (!current(entry)) return true;
    value_buffer_.resize(entry.length);
    if (entry.payload) {
        value_buffer_.assign(*entry.payload);
    } else if (!log_.read_payload(record.at, record.header, value_buffer_)) {
        return false;
    }
    const std::string key{record.key};
    const KeyTable::Slot old{
        .tag = settings_.mode == Mode::user ? tag_of(key, hash_key_) : 0,
        .at = record.at,
        .size = record.header.size()};
    // The payload checksum goes along as it is: what was damaged stays known as damaged.
    return write(
        {.kind = Kind::value,
         .key = key,
         .payload = value_buffer_,
         .payload_crc = record.header.payload_crc,
         .time = record.header.time,
         .replaces = record.at,
         .next_id = state_.next_id,
         .flags = flag::moved},
        old);
}

Compaction SpaceImpl::finish_compacting()
{
    const int state = flushed_->load();
    if (state == 0) return Compaction::waiting;
    flushed_.reset();
    if (state < 0) return Compaction::idle;
    const std::uint32_t number = compacting_.segment;
    const std::uint32_t size = log_.segments()[number].size;
    compacting_ = {};
    give_room_back();
    if (const auto dropped = log_.drop_oldest(); !dropped) {
        note(dropped.error());
        return Compaction::idle;
    }
    shared_.reserve.gain(size);
    (void)shared_.reserve.still_missing();
    dirty_.erase(number);
    (void)kernel::remove_file(hint_of(number));  // Derived; start ignores one without a segment.
    return worth_compacting() ? Compaction::busy : Compaction::idle;
}

/// On a full disk copies may only take what the whole of them fits into: an end that is never
/// reached gives nothing back.
bool SpaceImpl::may_copy()
{
    Reserve& reserve = shared_.reserve;
    if (!reserve.missing() || (paid_ && paid_->round == reserve.round())) return true;
    const auto room = log_.segments().begin()->second.live + sizeof(SegmentHeader);
    if (!reserve.spend(room)) return false;
    paid_ = Paid{.round = reserve.round(), .left = room};
    return true;
}

/// Not what copies have taken: those may stay.
void SpaceImpl::give_room_back()
{
    if (paid_) shared_.reserve.refund(paid_->left, paid_->round);
    paid_.reset();
}

Compaction SpaceImpl::compact(std::chrono::microseconds budget)
{
    if (failed_) return Compaction::idle;
    if (pending()) return Compaction::busy;
    if (flushed_) return finish_compacting();
    if (!compacting_ && (log_.segments().empty() || !worth_compacting())) return Compaction::idle;
    if (!may_copy()) return Compaction::idle;
    const std::uint64_t before = log_.disk_bytes();
    const auto outcome = copy_some(budget);
    if (paid_) paid_->left -= std::min(paid_->left, log_.disk_bytes() - before);
    return outcome;
}

Compaction SpaceImpl::copy_some(std::chrono::microseconds budget)
{
    if (!compacting_) {
        if (log_.segments().size() == 1) {
            rotate();
            if (!log_.begin_segment(settings_.mode, name_, state_.next_id)) return Compaction::idle;
        }
        compacting_ = {oldest_segment(), sizeof(SegmentHeader)};
        moved_to_ = log_.active();
    }
    // Who writes at its limit waits for this.
    if (pressed()) budget *= 8;
    const auto until = std::chrono::steady_clock::now() + budget;
    const std::uint32_t size = log_.segments()[compacting_.segment].size;
    while (compacting_.offset < size && std::chrono::steady_clock::now() < until &&
           pending_bytes() < (1U << 20U)) {
        const auto record = log_.read(compacting_);
        if (!record) {
            if (record.error().code != Errc::not_found) {
                // Left pending, nobody would ever commit it, nor what clients write behind it.
                (void)commit();
                compacting_.offset = sizeof(SegmentHeader);
                return Compaction::idle;
            }
            compacting_.offset += record_alignment;
            continue;
        }
        const std::uint32_t next = compacting_.offset + padded(record->header.size());
        if (record->header.kind == Kind::value && !compact_record(*record)) {
            (void)commit();  // Its outcome changes nothing: this segment is tried again.
            compacting_.offset = sizeof(SegmentHeader);
            return Compaction::idle;
        }
        compacting_.offset = next;
    }
    if (!commit()) {
        // Undone: from the start, for what was moved is no longer.
        compacting_.offset = sizeof(SegmentHeader);
        return Compaction::idle;
    }
    if (compacting_.offset < size) return Compaction::busy;
    flushed_ = std::make_shared<std::atomic<int>>(0);
    // Each segment that took moved records, since what they were moved from goes next.
    std::vector<std::filesystem::path> paths;
    for (auto at = log_.segments().lower_bound(moved_to_); at != log_.segments().end(); ++at)
        paths.push_back(log_.path_of(at->first));
    worker_.post([done = flushed_, folder = log_.folder(), paths = std::move(paths)] {
        const bool good = std::ranges::all_of(paths, [](const auto& path) {
            const auto fd = kernel::open_file(path.string(), O_RDONLY);
            return fd && ::fdatasync(fd->get()) == 0;
        });
        done->store(good && kernel::sync_folder(folder) ? 1 : -1);
    });
    return Compaction::waiting;
}

}  // namespace znode::zdb
