#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>

namespace znode::zdb {

/// A file of bytes that mean nothing. It is given up when the disk is full, so that deleting and
/// giving space back can go on; until there is room for it again nobody else writes.
class Reserve {
public:
    /// Makes it if there is room; `size` 0: there is none, and none is ever missing.
    void open(std::filesystem::path file, std::uint64_t size);
    /// Frees its bytes; false when there was nothing to free.
    bool give_up();
    bool missing() const noexcept { return missing_; }
    /// Whether it is still missing; looks for room at most once a second.
    bool still_missing();
    /// While it is missing: takes `bytes` out of what its end has freed, for copies that will give
    /// back more. A part of it is never given: deleting needs that.
    bool spend(std::uint64_t bytes);
    /// While it is missing: of what was spent in `round`, this much is not needed any more.
    void refund(std::uint64_t bytes, std::uint64_t round);
    /// Counts up whenever it is given up: then all is handed out anew.
    std::uint64_t round() const noexcept { return round_; }
    /// This much was freed on the disk.
    void gain(std::uint64_t bytes);
    /// Counts up whenever there may be more to `spend` than before.
    std::uint64_t chances() const noexcept { return chances_; }

private:
    bool make();
    void look_for_room();

    std::filesystem::path file_;
    std::uint64_t size_ = 0;
    std::uint64_t left_ = 0;
    std::uint64_t chances_ = 0;
    std::uint64_t round_ = 0;
    bool missing_ = false;
    std::chrono::steady_clock::time_point tried_;
};

}  // namespace znode::zdb
