#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace znode::storage {

/// The first second of 2025: a clock that says less has lost the time, and so has a stamp.
inline constexpr std::int64_t first_plausible = 1'735'689'600;

/// Says which of what is kept for a while has been kept long enough, with a wall clock that may
/// jump and a monotonic one that starts with the agent.
///
/// Nothing is over in the agent's first hour, so that a wrong clock has time to be set. A jump
/// ahead does not end anybody's time: from one look to the next no more passes than the monotonic
/// clock says. Only when the jump has stood for as long as things are kept is it believed.
class KeptClock {
public:
    using Moment = std::chrono::steady_clock::time_point;

    /// What was set aside at this moment (Unix seconds) or before is over; nothing while nobody can
    /// say. Ask often: what passes between two calls is taken for real.
    std::optional<std::int64_t> over_until(
        std::int64_t wall, Moment monotonic, std::chrono::seconds kept);

private:
    struct Seen {
        std::int64_t wall = 0;  // As far as it is believed.
        Moment at;
        Moment since;                       // Of the first look.
        std::optional<Moment> ahead_since;  // The wall clock is ahead of what is believed.
    };
    std::optional<Seen> seen_;
};

}  // namespace znode::storage
