#pragma once

#include <cstdint>

#include "container/monitor_page.hpp"

namespace znode::monitor {

/// The segment files of one container, for the one process that writes them.
class Segments {
public:
    /// `folder` (a descriptor) outlives the object. At most `count` files of about `bytes` each.
    Segments(int folder, std::uint64_t bytes, std::uint32_t count) noexcept
        : folder_{folder}, bytes_{bytes}, count_{count < 2 ? 2 : count}
    {
    }
    ~Segments();
    Segments(const Segments&) = delete;
    Segments& operator=(const Segments&) = delete;

    /// Finds where the log of earlier runs ends and cuts a torn tail off. 0 or errno.
    int find_end(container::LogPosition& position);
    /// Opens the segment that a predecessor wrote.
    int reopen(const container::LogPosition& position);
    /// Makes (again) the segment `position.segment` with its header.
    int create(const container::LogPosition& position, std::int64_t now_ns);
    /// Removes what is beyond the count below `current`.
    void trim(std::uint64_t current);
    /// Removes the oldest below `current` to make room; false when there is none.
    bool drop_oldest(std::uint64_t current);
    /// Writes header and payload at `offset`. 0 or errno; a part may have been written.
    int write_at(
        std::uint64_t offset, const logs::RecordHeader& header, const unsigned char* payload);
    /// Cuts what a failed write left.
    void cut(std::uint64_t offset);

    std::uint64_t limit() const noexcept { return bytes_; }

private:
    bool lowest_and_highest(std::uint64_t& lowest, std::uint64_t& highest) const;
    int walk(container::LogPosition& position) const;

    int folder_;
    std::uint64_t bytes_;
    std::uint32_t count_;
    int file_ = -1;
};

/// Line ends in these bytes.
std::uint64_t count_lines(const unsigned char* bytes, std::size_t size) noexcept;

}  // namespace znode::monitor
