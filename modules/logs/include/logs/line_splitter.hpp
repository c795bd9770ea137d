#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "logs/reader.hpp"

namespace znode::logs {

/// Makes lines of one stream's records. No I/O.
///
/// A line ends with its `\n`, which belongs to it. A line that was cut into records is joined
/// again; one that grows beyond the limit is given out in pieces. A line that a restart of the
/// program left open ends there. What the monitor could not keep is told in a line of ours.
class LineSplitter {
public:
    static constexpr std::size_t longest_line = std::size_t{1} << 20U;

    explicit LineSplitter(Stream stream, std::size_t longest = longest_line)
        : kind_{stream == Stream::out ? Kind::out : Kind::err}, longest_{longest}
    {
    }

    /// Calls `each(std::string_view text, std::int64_t time_ns, const Cursor& after)` for every
    /// line that ends here. The text is valid during the call. `skip` bytes of the payload have
    /// been given out in an earlier life. `after` is where to go on once the line is done with.
    template <class Each>
    void feed(const RecordView& record, std::uint64_t skip, Each each)
    {
        if (record.kind == Kind::started || record.kind == Kind::exited) flush(record.at, each);
        if (record.kind == Kind::lost) tell_loss(record, each);
        if (record.kind != kind_) return;
        const bool continues = (record.flags & flag_continues) != 0;
        if (!continues && skip == 0) flush(record.at, each);

        auto rest = record.payload.substr(std::min<std::size_t>(skip, record.payload.size()));
        auto time = record.time_ns;
        while (!rest.empty()) {
            auto end = rest.find('\n');
            const bool whole = end != std::string_view::npos;
            const auto size = whole ? end + 1 : rest.size();
            if (pending_.empty() && whole && size <= longest_) {
                each(rest.substr(0, size), time, after(record, rest, size));
                rest.remove_prefix(size);
                continue;
            }
            // Cut, or too long to be given out at once.
            if (pending_.empty()) pending_time_ = time;
            const auto take = std::min(size, longest_ - pending_.size());
            pending_ += rest.substr(0, take);
            const auto reached = after(record, rest, take);
            const bool ended = whole && take == size;
            rest.remove_prefix(take);
            if (ended || pending_.size() >= longest_) give(reached, each);
        }
        const bool open = (record.flags & flag_open) != 0;
        if (!open) flush(record.next, each);
    }

    /// Whether a line has begun and not ended: a cursor must not move past its beginning.
    bool is_open() const noexcept { return !pending_.empty(); }

private:
    static Cursor after(const RecordView& record, std::string_view rest, std::size_t size)
    {
        if (size == rest.size()) return record.next;
        Cursor cursor = record.at;
        cursor.inner = record.payload.size() - rest.size() + size;
        return cursor;
    }
    /// Who reads the log is told where it has a hole: a line that the program did not write.
    template <class Each>
    void tell_loss(const RecordView& record, Each& each)
    {
        constexpr std::string_view mine[] = {"stream=out bytes=", "stream=err bytes="};
        const auto prefix = mine[kind_ == Kind::out ? 0 : 1];
        if (!record.payload.starts_with(prefix)) return;
        flush(record.at, each);
        pending_time_ = record.time_ns;
        pending_ = "[znode: the disk of the logs was full, ";
        pending_ += record.payload.substr(prefix.size());
        pending_ += " bytes of this output are lost]\n";
        give(record.next, each);
    }
    template <class Each>
    void flush(const Cursor& reached, Each& each)
    {
        if (!pending_.empty()) give(reached, each);
    }
    template <class Each>
    void give(const Cursor& reached, Each& each)
    {
        each(std::string_view{pending_}, pending_time_, reached);
        pending_.clear();
    }

    Kind kind_;
    std::size_t longest_;
    std::string pending_;
    std::int64_t pending_time_ = 0;
};

}  // namespace znode::logs
