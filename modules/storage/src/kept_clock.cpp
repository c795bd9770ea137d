#include "storage/kept_clock.hpp"

#include <algorithm>

namespace znode::storage {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds witness = 1h;
// Rounding and a clock that is being slewed are no jump.
constexpr std::int64_t tolerance = 60;

}  // namespace

std::optional<std::int64_t> KeptClock::over_until(
    std::int64_t wall, Moment monotonic, std::chrono::seconds kept)
{
    if (wall < first_plausible) {
        seen_.reset();
        return std::nullopt;
    }
    if (!seen_) seen_ = Seen{.wall = wall, .at = monotonic, .since = monotonic, .ahead_since = {}};
    auto& seen = *seen_;

    // Whole seconds only: what is left of one passes at a later look.
    const auto passed = std::chrono::floor<std::chrono::seconds>(monotonic - seen.at);
    seen.at += passed;
    const auto most = seen.wall + passed.count();
    if (wall <= most + tolerance) {
        seen.ahead_since.reset();
    } else if (!seen.ahead_since) {
        seen.ahead_since = monotonic;
    }
    const bool believed = seen.ahead_since && monotonic - *seen.ahead_since >= kept;
    seen.wall = believed ? wall : std::min(wall, most);
    if (believed) seen.ahead_since.reset();

    if (monotonic - seen.since < std::min(kept, witness)) return std::nullopt;
    return seen.wall - kept.count();
}

}  // namespace znode::storage
