#include "relay.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace znode::monitor {

using container::Putting;
using container::relay_buffer_bytes;
using container::Span;
using logs::Kind;

namespace {

/// How long a full disk holds the program up before its output is thrown away and counted.
constexpr std::int64_t full_patience_ns = 10'000'000'000;
constexpr long full_pause_ns = 50'000'000;
constexpr std::size_t page_bytes = 4096;

std::uint32_t held(int fifo)
{
    int bytes = 0;
    return ::ioctl(fifo, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<std::uint32_t>(bytes)
                                                             : 0;
}

}  // namespace

std::int64_t wall_ns()
{
    struct timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

Relay::~Relay()
{
    for (const int fd : peek_)
        if (fd >= 0) ::close(fd);
}

int Relay::begin()
{
    if (::pipe2(peek_, O_CLOEXEC | O_NONBLOCK) < 0) return errno;
    container::LogPosition end{};
    if (const int err = segments_->find_end(end); err != 0) return err;
    page_->log = end;
    rotate(0);  // Nothing to go on in, or full: the segment after it.
    return 0;
}

int Relay::resume()
{
    if (::pipe2(peek_, O_CLOEXEC | O_NONBLOCK) < 0) return errno;
    for (unsigned stream = 0; stream < 2; ++stream) finish_take(stream);
    const int err = page_->log.offset == 0 ? ENOENT : segments_->reopen(page_->log);
    if (err != 0 && err != ENOENT) return err;
    if (page_->put.state == Putting::written) apply();
    if (err == ENOENT) {
        if (const int no_end = leave_segment(); no_end != 0) return no_end;
    } else if (page_->put.state == Putting::rotate) {
        finish_rotate();
    } else if (page_->put.state == Putting::record && finish_put()) {
        apply();
    }
    for (unsigned stream = 0; stream < 2; ++stream) {
        compact(stream);
        emit(stream, false);
    }
    return 0;
}

/// The segment was never made, or somebody removed it: goes on behind whatever is there. Lines of
/// an unfinished put are in the buffers still, and are put again.
int Relay::leave_segment()
{
    container::LogPosition end{};
    if (const int err = segments_->find_end(end); err != 0) return err;
    auto& at = page_->log;
    at.offset = 0;
    page_->put.state = Putting::nothing;
    if (end.segment > at.segment) at.segment = end.segment;
    if (end.lines > at.lines) at.lines = end.lines;
    if (end.bytes > at.bytes) at.bytes = end.bytes;
    rotate(0);
    return 0;
}

std::uint64_t Relay::waiting() const { return std::uint64_t{held(fifos_[0])} + held(fifos_[1]); }

bool Relay::move()
{
    bool more = false;
    for (int batch = 0; batch < 16; ++batch) {
        more = false;
        for (unsigned stream = 0; stream < 2; ++stream) {
            if (!take(stream)) continue;
            emit(stream, false);
            more = true;
        }
        if (!more) break;
    }
    return more;
}

/// Reads what fits from the FIFO into the page. A pipe gives all the bytes that it holds in one
/// read, so after a kill either all or none of them have left it, and the first byte tells which.
bool Relay::take(unsigned stream)
{
    auto& state = page_->streams[stream];
    const auto span = Span::unpack(state.span);
    auto bytes = held(fifos_[stream]);
    if (bytes > relay_buffer_bytes - span.end) bytes = relay_buffer_bytes - span.end;
    if (bytes == 0) return false;

    unsigned char first = 0;
    if (::tee(fifos_[stream], peek_[1], 1, SPLICE_F_NONBLOCK) != 1) return false;
    if (::read(peek_[0], &first, 1) != 1) return false;

    unsigned char* into = page_->buffers[stream][span.half] + span.end;
    // The pages exist before the kernel copies into them: it can't fail in the middle.
    for (std::size_t at = 0; at < bytes; at += page_bytes)
        *static_cast<volatile unsigned char*>(into + at) = 0;
    *static_cast<volatile unsigned char*>(into + bytes - 1) = 0;
    state.absent = static_cast<unsigned char>(~first);
    *static_cast<volatile unsigned char*>(into) = state.absent;
    state.span_after = Span{span.half, span.begin, span.end + bytes}.pack();
    state.taken_ns = wall_ns();
    state.taking = 1;

    const auto got = ::read(fifos_[stream], into, bytes);
    if (got != static_cast<ssize_t>(bytes)) {
        // We are the only reader, so this is no place to come to; nothing was taken.
        if (got <= 0) state.taking = 0;
        if (got <= 0) return false;
        state.span_after =
            Span{span.half, span.begin, span.end + static_cast<std::uint32_t>(got)}.pack();
    }
    state.span = state.span_after;
    state.taking = 0;
    return true;
}

void Relay::finish_take(unsigned stream)
{
    auto& state = page_->streams[stream];
    if (state.taking == 0) return;
    const auto span = Span::unpack(state.span);
    const auto after = Span::unpack(state.span_after);
    const bool stored = span.end == after.end;
    if (!stored && page_->buffers[stream][span.half][span.end] != state.absent)
        state.span = state.span_after;
    state.taking = 0;
}

/// Brings the rest of a line to the begin of the other half, where there is room for its end.
void Relay::compact(unsigned stream)
{
    auto& state = page_->streams[stream];
    const auto span = Span::unpack(state.span);
    if (span.begin == 0) return;
    if (span.begin == span.end) {
        state.span = Span{span.half, 0, 0}.pack();
        return;
    }
    const std::uint32_t other = span.half ^ 1U;
    std::memcpy(
        page_->buffers[stream][other],
        page_->buffers[stream][span.half] + span.begin,
        span.end - span.begin);
    state.span = Span{other, 0, span.end - span.begin}.pack();
}

/// Puts the whole lines that are there; a line that fills the buffer is put in pieces. With `all`
/// also the begin of a line.
void Relay::emit(unsigned stream, bool all)
{
    const auto span = Span::unpack(page_->streams[stream].span);
    const auto size = span.end - span.begin;
    if (size == 0) return;
    const unsigned char* bytes = page_->buffers[stream][span.half] + span.begin;
    const auto* last = static_cast<const unsigned char*>(::memrchr(bytes, '\n', size));
    auto length = last == nullptr ? 0 : static_cast<std::uint32_t>(last - bytes) + 1;
    std::uint8_t flags = 0;
    if (all || (length == 0 && size == relay_buffer_bytes)) {
        if (length != size) flags = logs::flag_open;
        length = size;
    }
    if (length == 0) return;
    if (page_->streams[stream].open_line != 0) flags |= logs::flag_continues;
    tell_lost();
    put(stream == 0 ? Kind::out : Kind::err, flags, stream, length);
    compact(stream);
}

void Relay::flush()
{
    for (unsigned stream = 0; stream < 2; ++stream) emit(stream, true);
    tell_lost();
}

bool Relay::owes() const
{
    return page_->streams[0].lost_bytes != 0 || page_->streams[1].lost_bytes != 0;
}

void Relay::mark(Kind kind, const char* text)
{
    auto& put_page = page_->put;
    std::snprintf(put_page.mark, sizeof put_page.mark, "%s", text);
    put(kind, 0, 0, static_cast<std::uint32_t>(std::strlen(put_page.mark)));
}

void Relay::tell_lost()
{
    for (unsigned stream = 0; stream < 2; ++stream) {
        const auto bytes = page_->streams[stream].lost_bytes;
        if (bytes == 0) continue;
        auto& put_page = page_->put;
        std::snprintf(
            put_page.mark,
            sizeof put_page.mark,
            "stream=%s bytes=%llu",
            stream == 0 ? "out" : "err",
            static_cast<unsigned long long>(bytes));
        put(Kind::lost, 0, stream, static_cast<std::uint32_t>(std::strlen(put_page.mark)));
    }
}

const unsigned char* Relay::payload_of_put() const
{
    const auto& put_page = page_->put;
    if (put_page.header.kind == Kind::out || put_page.header.kind == Kind::err)
        return page_->buffers[put_page.stream][put_page.half] + put_page.begin;
    return reinterpret_cast<const unsigned char*>(put_page.mark);
}

void Relay::put(Kind kind, std::uint8_t flags, unsigned stream, std::uint32_t length)
{
    auto& put_page = page_->put;
    const auto& state = page_->streams[stream];
    const auto span = Span::unpack(state.span);
    const bool data = kind == Kind::out || kind == Kind::err;
    do {
        rotate(sizeof(logs::RecordHeader) + length);
        put_page.stream = stream;
        put_page.half = span.half;
        put_page.begin = span.begin;
        put_page.header.kind = kind;  // Says where the payload is.
        const unsigned char* payload = payload_of_put();
        put_page.header = logs::make_record_header(
            kind, flags, data ? state.taken_ns : wall_ns(), payload, length);
        put_page.after = page_->log;
        put_page.after.offset += sizeof(logs::RecordHeader) + length;
        put_page.span_after = state.span;
        put_page.lost_after = kind == Kind::lost ? 0 : state.lost_bytes;
        put_page.open_after = (flags & logs::flag_open) != 0 ? 1 : 0;
        if (data) {
            put_page.after.lines += count_lines(payload, length);
            put_page.after.bytes += length;
            put_page.span_after = Span{span.half, span.begin + length, span.end}.pack();
        }
        put_page.state = Putting::record;
    } while (!finish_put());
    apply();
}

/// Writes the noted record. When the disk is full, older segments make room; then the program
/// waits for a while; then its bytes are counted instead of kept. False: there is no segment yet,
/// and the put is to be begun again.
bool Relay::finish_put()
{
    auto& put_page = page_->put;
    for (;;) {
        // Without a segment an older file may still be open, which is not to be written over.
        const bool placed = page_->log.offset != 0;
        const int err =
            placed ? segments_->write_at(page_->log.offset, put_page.header, payload_of_put())
                   : ENOSPC;
        const bool data = put_page.header.kind == Kind::out || put_page.header.kind == Kind::err;
        if (err == 0) {
            // The mark of a loss may find room where the next line does not: nobody is held up
            // anew.
            if (data) full_since_ = 0;
            break;
        }
        if (placed && segments_->drop_oldest(page_->log.segment)) continue;
        const auto now = wall_ns();
        if (full_since_ == 0) full_since_ = now;
        // Marks of a loss are tried again with the next line, others are not worth waiting for.
        if (data && now - full_since_ < full_patience_ns && now >= full_since_) {
            const struct timespec pause{0, full_pause_ns};
            ::nanosleep(&pause, nullptr);
            if (placed) continue;
            put_page.state = Putting::nothing;
            return false;
        }
        if (placed) segments_->cut(page_->log.offset);
        put_page.after = page_->log;
        put_page.lost_after = page_->streams[put_page.stream].lost_bytes;
        if (data) put_page.lost_after += put_page.header.length;
        break;
    }
    put_page.state = Putting::written;
    return true;
}

void Relay::apply()
{
    auto& put_page = page_->put;
    page_->log = put_page.after;
    auto& state = page_->streams[put_page.stream];
    switch (put_page.header.kind) {
        case Kind::out:
        case Kind::err:
            state.span = put_page.span_after;
            state.open_line = put_page.open_after;
            state.lost_bytes = put_page.lost_after;
            break;
        case Kind::lost:
            state.lost_bytes = put_page.lost_after;
            break;
        case Kind::started:
            page_->start_marked = 1;
            break;
        case Kind::exited:
            page_->exit_marked = 1;
            page_->streams[0].open_line = page_->streams[1].open_line = 0;
            break;
    }
    put_page.state = Putting::nothing;
}

/// Goes on in the next segment when this one is full, between lines.
void Relay::rotate(std::uint64_t coming)
{
    const auto& at = page_->log;
    const auto limit = segments_->limit();
    // Offset 0: there was no room yet to make a segment at all.
    if (at.offset != 0) {
        if (at.offset <= sizeof(logs::SegmentHeader) || at.offset + coming <= limit) return;
        const bool open = page_->streams[0].open_line != 0 || page_->streams[1].open_line != 0;
        if (open && at.offset < 4 * limit) return;
    }

    page_->put.after = at;
    page_->put.after.segment = at.segment + 1;
    page_->put.after.offset = sizeof(logs::SegmentHeader);
    page_->put.state = Putting::rotate;
    finish_rotate();
    segments_->trim(page_->log.segment);
}

void Relay::finish_rotate()
{
    auto& put_page = page_->put;
    // A disk without room for 64 bytes: the oldest goes; with none left, on in the old segment.
    int err = 0;
    while ((err = segments_->create(put_page.after, wall_ns())) != 0)
        if (!segments_->drop_oldest(page_->log.segment)) break;
    if (err == 0) page_->log = put_page.after;
    put_page.state = Putting::nothing;
}

}  // namespace znode::monitor
