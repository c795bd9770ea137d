#pragma once

#include <cstdint>

#include "container/monitor_page.hpp"
#include "segments.hpp"

namespace znode::monitor {

/// Takes a container's output out of its two FIFOs and puts it into log segments, so that a kill at
/// any instant neither loses nor doubles a byte (modules/logs/FORMAT.md, "The writer's crash
/// safety"). All state is in the page; the object itself may vanish at any time.
class Relay {
public:
    /// Page, descriptors and segments outlive the relay. `fifos`: out, err, readable, not blocking.
    Relay(container::MonitorPage* page, Segments* segments, const int (&fifos)[2]) noexcept
        : page_{page}, segments_{segments}, fifos_{fifos[0], fifos[1]}
    {
    }
    ~Relay();
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    /// Begins on a fresh page, behind what earlier runs logged. 0 or errno.
    int begin();
    /// Goes on where a predecessor was killed. 0 or errno.
    int resume();

    /// Moves what the FIFOs hold now, at most some batches; true when there may be more.
    bool move();
    /// Bytes that wait in both FIFOs.
    std::uint64_t waiting() const;
    /// Writes a mark: `text` without zero, shorter than 60.
    void mark(logs::Kind kind, const char* text);
    /// The program ended and the FIFOs are empty: puts lines without an end, and what was lost.
    void flush();
    /// Bytes were lost that no record tells of yet.
    bool owes() const;
    /// Tries to put that record; never waits for a full disk.
    void tell_lost();

private:
    bool take(unsigned stream);
    void finish_take(unsigned stream);
    void compact(unsigned stream);
    void emit(unsigned stream, bool all);
    void put(logs::Kind kind, std::uint8_t flags, unsigned stream, std::uint32_t length);
    int leave_segment();
    bool finish_put();
    void apply();
    void rotate(std::uint64_t coming);
    void finish_rotate();
    const unsigned char* payload_of_put() const;

    container::MonitorPage* page_;
    Segments* segments_;
    int fifos_[2];
    int peek_[2] = {-1, -1};       // A pipe that a FIFO's first byte is duplicated into.
    std::int64_t full_since_ = 0;  // When the disk became full, 0 if it is not.
};

std::int64_t wall_ns();

}  // namespace znode::monitor
