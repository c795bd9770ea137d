// Commands on keys and values.

#include <cstring>
#include <ctime>

#include "checksum.hpp"
#include "session.hpp"

namespace znode::zdb {
namespace {

constexpr std::string_view read_only = "Namespace is in read-only mode";
constexpr std::string_view locked = "Namespace is temporarily locked (read-only)";
constexpr std::string_view frozen = "Namespace is temporarily frozen (read-write disabled)";
constexpr std::string_view unexpected = "Unexpected arguments";

/// Offsets in cursors count as the original's do: its first index entry lies at 29.
constexpr std::uint32_t cursor_shift = 192 - 29;
constexpr std::size_t cursor_size = 17;

/// atoll: what is no number is 0.
std::uint32_t time_of(std::string_view text)
{
    const std::string terminated{text.substr(0, 32)};
    return static_cast<std::uint32_t>(std::strtoll(terminated.c_str(), nullptr, 10));
}

struct Cursor {
    std::uint8_t key_length = 0;
    std::uint32_t file = 0;
    std::uint32_t length = 0;
    std::uint32_t offset = 0;
    std::uint32_t crc = 0;

    std::string bytes() const
    {
        std::string text(cursor_size, '\0');
        text[0] = static_cast<char>(key_length);
        std::memcpy(text.data() + 1, &file, 4);
        std::memcpy(text.data() + 5, &length, 4);
        std::memcpy(text.data() + 9, &offset, 4);
        std::memcpy(text.data() + 13, &crc, 4);
        return text;
    }
    static std::optional<Cursor> parse(std::string_view bytes)
    {
        if (bytes.size() != cursor_size) return std::nullopt;
        Cursor cursor;
        cursor.key_length = static_cast<std::uint8_t>(bytes[0]);
        std::memcpy(&cursor.file, bytes.data() + 1, 4);
        std::memcpy(&cursor.length, bytes.data() + 5, 4);
        std::memcpy(&cursor.offset, bytes.data() + 9, 4);
        std::memcpy(&cursor.crc, bytes.data() + 13, 4);
        return cursor;
    }
};

/// A user key's cursor names its record.
Cursor cursor_of(const Entry& entry)
{
    return {
        .key_length = static_cast<std::uint8_t>(entry.key.size()),
        .file = entry.at.segment - 1,
        .length = entry.length,
        .offset = entry.at.offset - cursor_shift,
        .crc = entry.crc};
}

/// An id's cursor is the id itself, in the two places; it lives through updates.
Cursor cursor_of(std::uint64_t id)
{
    return {
        .key_length = 8,
        .file = static_cast<std::uint32_t>(id >> 32U),
        .offset = static_cast<std::uint32_t>(id)};
}

Place place_of(const Cursor& cursor) { return {cursor.file + 1, cursor.offset + cursor_shift}; }

/// Cuts a walk off before other clients notice.
class WalkClock {
public:
    bool over(std::size_t found) const
    {
        const auto spent = std::chrono::steady_clock::now() - start_;
        return spent > std::chrono::milliseconds{found > 0 ? 2 : 8};
    }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void put_row(Buffer& to, const Entry& entry)
{
    reply_array(to, 3);
    reply_bulk(to, entry.key);
    reply_integer(to, entry.length);
    reply_integer(to, entry.time);
}

void put_page(Buffer& to, const std::string& cursor, std::size_t count, const Buffer& rows)
{
    reply_array(to, 2);
    reply_bulk(to, cursor);
    reply_array(to, count);
    to.append(rows.view());
}

std::string id_bytes(std::uint64_t id) { return {reinterpret_cast<const char*>(&id), sizeof id}; }

}  // namespace

bool Commands::readable(Session& session)
{
    if (session.space->settings().frozen) {
        fail(session, frozen);
    } else if (session.space->failed()) {
        fail(session, "Internal Error");  // Not "empty": what is there may be well.
    } else {
        return true;
    }
    return false;
}

bool Commands::may_write(Session& session)
{
    if (!session.writable) {
        fail(session, read_only);
    } else if (session.space->settings().frozen) {
        fail(session, frozen);
    } else if (session.space->settings().locked) {
        fail(session, locked);
    } else {
        return true;
    }
    return false;
}

bool Commands::key_given(Session& session, Arguments arguments)
{
    if (arguments.size() != 2) {
        fail(session, unexpected);
    } else if (arguments[1].empty()) {
        fail(session, "Invalid argument");
    } else if (arguments[1].size() > key_limit) {
        fail(session, "Invalid key");
    } else {
        return readable(session);
    }
    return false;
}

void Commands::set(Session& session, Arguments arguments)
{
    if (arguments.size() != 3 && arguments.size() != 4) return fail(session, unexpected);
    if (arguments.size() == 4 && !admin(session)) return;
    const auto key = arguments[1];
    if (key.size() > key_limit) return fail(session, "Key too large");
    if (!may_write(session)) return;
    if (key.empty() && session.space->settings().mode == Mode::user)
        return fail(session, "Invalid argument, key needed");
    const std::uint32_t time = arguments.size() == 4
                                   ? time_of(arguments[3])
                                   : static_cast<std::uint32_t>(std::time(nullptr));
    switch (session.space->set(key, arguments[2], time, key_)) {
        case SetOutcome::stored:
            return reply_bulk(session.out, key_);
        case SetOutcome::unchanged:
            return reply_nil(session.out);
        case SetOutcome::no_such_id:
            return fail(session, "Invalid key, only update authorized");
        case SetOutcome::worm:
            return fail(session, "Namespace is protected by worm mode");
        case SetOutcome::quota:
            return fail(session, "No space left on this namespace");
        case SetOutcome::broken:
            return fail(session, "Cannot write data right now");
    }
}

void Commands::reply_value(Session& session, const Entry& entry)
{
    const std::size_t before = session.out.size();
    const auto into = begin_bulk(session.out, entry.length);
    if (session.space->read(entry, into)) return finish_bulk(session.out, entry.length);
    session.out.truncate(before);
    fail(session, "Internal Error");
}

void Commands::get(Session& session, Arguments arguments)
{
    if (!key_given(session, arguments)) return;
    const auto found = session.space->find(arguments[1]);
    if (!found) return fail(session, "Internal Error");
    if (!*found) return reply_nil(session.out);
    reply_value(session, **found);
}

void Commands::mget(Session& session, Arguments arguments)
{
    if (arguments.size() < 2) return fail(session, "Invalid arguments");
    for (const auto key : arguments.subspan(1))
        if (key.size() > key_limit) return fail(session, "Invalid key");
    if (!readable(session)) return;
    // Answered one by one as the client takes them: all at once could be gigabytes.
    reply_array(session.out, arguments.size() - 1);
    session.mget.assign(arguments.rbegin(), arguments.rend() - 1);
}

void Commands::continue_mget(Session& session)
{
    const std::string key = std::move(session.mget.back());
    session.mget.pop_back();
    if (session.space == nullptr) return reply_nil(session.out);
    const auto found = session.space->find(key);
    if (!found) return fail(session, "Internal Error");
    if (!*found) return reply_nil(session.out);
    reply_value(session, **found);
}

void Commands::del(Session& session, Arguments arguments)
{
    if (arguments.size() != 2 && arguments.size() != 3) return fail(session, unexpected);
    if (arguments.size() == 3 && !admin(session)) return;
    const auto key = arguments[1];
    if (key.empty()) return fail(session, "Invalid argument");
    if (key.size() > key_limit) return fail(session, "Invalid key");
    if (!may_write(session)) return;
    const std::uint32_t time = arguments.size() == 3
                                   ? time_of(arguments[2])
                                   : static_cast<std::uint32_t>(std::time(nullptr));
    switch (session.space->remove(key, time)) {
        case DeleteOutcome::deleted:
            return reply_status(session.out, "OK");
        case DeleteOutcome::worm:
            return fail(session, "Cannot delete a key when namespace is in worm mode");
        case DeleteOutcome::broken:
            return fail(session, "Cannot delete key (data)");
        case DeleteOutcome::absent:
            break;
    }
    std::uint64_t id = 0;
    if (config_.delete_again_ok && key.size() == sizeof id &&
        session.space->settings().mode == Mode::sequential) {
        std::memcpy(&id, key.data(), sizeof id);
        if (id < session.space->next_id()) return reply_status(session.out, "OK");
    }
    fail(session, "Key not found");
}

void Commands::exists(Session& session, Arguments arguments)
{
    if (!key_given(session, arguments)) return;
    const auto found = session.space->exists(arguments[1]);
    if (!found) return fail(session, "Internal Error");
    reply_integer(session.out, *found ? 1 : 0);
}

void Commands::check(Session& session, Arguments arguments)
{
    if (!key_given(session, arguments)) return;
    const auto found = session.space->find(arguments[1]);
    if (!found) return reply_integer(session.out, -1);
    if (!*found) return reply_nil(session.out);
    const auto into = session.out.prepare((*found)->length + 1U).first((*found)->length);
    const auto read = session.space->read(**found, into);
    if (read) return reply_integer(session.out, 1);
    // Wrong bytes are 0, no bytes are -1.
    reply_integer(session.out, read.error().message.find("checksum") != std::string::npos ? 0 : -1);
}

void Commands::length(Session& session, Arguments arguments)
{
    if (!key_given(session, arguments)) return;
    const auto found = session.space->find(arguments[1]);
    if (!found) return fail(session, "Internal Error");
    if (!*found) return reply_nil(session.out);
    reply_integer(session.out, (*found)->length);
}

void Commands::keytime(Session& session, Arguments arguments)
{
    if (!key_given(session, arguments)) return;
    const auto found = session.space->find(arguments[1]);
    if (!found) return fail(session, "Internal Error");
    if (!*found) return reply_nil(session.out);
    reply_integer(session.out, (*found)->time);
}

void Commands::keycur(Session& session, Arguments arguments)
{
    if (arguments.size() == 2 && arguments[1].size() > key_limit)
        return readable(session) ? fail(session, "Key not found") : void();
    if (!key_given(session, arguments)) return;
    const auto found = session.space->find(arguments[1]);
    if (!found) return fail(session, "Internal Error");
    if (!*found) return fail(session, "Key not found");
    if (session.space->settings().mode == Mode::user)
        return reply_bulk(session.out, cursor_of(**found).bytes());
    std::uint64_t id = 0;
    std::memcpy(&id, (*found)->key.data(), sizeof id);
    reply_bulk(session.out, cursor_of(id).bytes());
}

void Commands::scan(Session& session, Arguments arguments) { walk(session, arguments, true); }
void Commands::rscan(Session& session, Arguments arguments) { walk(session, arguments, false); }

void Commands::walk(Session& session, Arguments arguments, bool forward)
{
    if (!readable(session)) return;
    Space& space = *session.space;
    if (space.settings().mode == Mode::sequential) return walk_ids(session, arguments, forward);
    Place at;
    if (arguments.size() > 1) {
        const auto cursor = Cursor::parse(arguments[1]);
        if (!cursor) return fail(session, "Invalid key format");
        at = place_of(*cursor);
        // What compaction has moved is found again at the end, so a walk goes on at the oldest.
        if (at.segment >= space.oldest_segment()) {
            const auto record = space.at(at);
            if (!record || record->key.size() != cursor->key_length || record->crc != cursor->crc ||
                record->length != cursor->length)
                return fail(session, "Invalid key format");
        }
    }
    Buffer rows;
    std::size_t count = 0;
    std::optional<Cursor> last;
    const WalkClock clock;
    while (!clock.over(count) && rows.size() < (std::size_t{1} << 20U)) {
        const auto next = forward ? space.after(at) : space.before(at);
        if (!next) return fail(session, "Internal Error");
        if (!*next) {
            if (count == 0) last.reset();
            break;
        }
        at = (*next)->at;
        last = cursor_of(**next);
        if (!space.current(**next)) continue;
        put_row(rows, **next);
        key_ = last->bytes();
        ++count;
    }
    if (!last) return fail(session, "No more data");
    // After a long run of dead entries the place is given back without any.
    put_page(session.out, count > 0 ? key_ : last->bytes(), count, rows);
}

void Commands::walk_ids(Session& session, Arguments arguments, bool forward)
{
    Space& space = *session.space;
    std::uint64_t id = forward ? 0 : space.next_id();
    if (arguments.size() > 1) {
        const auto cursor = Cursor::parse(arguments[1]);
        if (!cursor || cursor->key_length != 8) return fail(session, "Invalid key format");
        id = (std::uint64_t{cursor->file} << 32U) | cursor->offset;
        if (id >= space.next_id()) return fail(session, "Invalid key format");
        if (forward) ++id;
    }
    Buffer rows;
    std::size_t count = 0;
    std::optional<std::uint64_t> last;
    const WalkClock clock;
    bool more = true;
    while (!clock.over(count) && rows.size() < (std::size_t{1} << 20U)) {
        more = forward ? id < space.next_id() : id > 0;
        if (!more) break;
        const std::uint64_t looked_at = forward ? id++ : --id;
        const auto found = space.find(id_bytes(looked_at));
        if (!found || !*found) {
            if (count == 0) last = looked_at;
            continue;
        }
        put_row(rows, **found);
        last = looked_at;
        ++count;
    }
    if (count == 0 && !more) return fail(session, "No more data");
    put_page(session.out, cursor_of(*last).bytes(), count, rows);
}

void Commands::kscan(Session& session, Arguments)
{
    fail(session, "Command disabled in release code, not yet available");
}

void Commands::history(Session& session, Arguments arguments)
{
    if (arguments.size() != 2 && arguments.size() != 3) return fail(session, "Invalid arguments");
    if (!readable(session)) return;
    Space& space = *session.space;
    const auto key = arguments[1];
    const auto now = space.find(key);
    if (now && !*now) return fail(session, "Key not found");
    Entry entry;
    if (arguments.size() == 2) {
        if (!now) return fail(session, "Internal Error");
        entry = **now;
    } else {
        const auto ref = arguments[2];
        if (ref.size() != 8) return fail(session, "Invalid arguments");
        if (ref == std::string_view{"\0\0\0\0\0\0\0\0", 8}) return fail(session, "No more history");
        Cursor at;
        std::memcpy(&at.file, ref.data(), 4);
        std::memcpy(&at.offset, ref.data() + 4, 4);
        const auto found = space.at(place_of(at));
        if (!found) return fail(session, "Invalid arguments (index query)");
        if (found->key != key || found->deleted)
            return fail(session, "Invalid arguments (invalid key)");
        entry = *found;
    }
    const std::size_t before = session.out.size();
    reply_array(session.out, 3);
    if (entry.older) {
        std::string ref(8, '\0');
        const std::uint32_t file = entry.older.segment - 1;
        const std::uint32_t offset = entry.older.offset - cursor_shift;
        std::memcpy(ref.data(), &file, 4);
        std::memcpy(ref.data() + 4, &offset, 4);
        reply_bulk(session.out, ref);
    } else {
        reply_nil(session.out);
    }
    reply_bulk(session.out, std::to_string(entry.time));
    const auto into = begin_bulk(session.out, entry.length);
    if (space.read(entry, into)) return finish_bulk(session.out, entry.length);
    session.out.truncate(before);
    fail(session, "Internal Error");
}

void Commands::dbsize(Session& session, Arguments)
{
    if (session.space->failed()) return fail(session, "Internal Error");
    reply_integer(session.out, static_cast<long long>(session.space->entries()));
}

}  // namespace znode::zdb
