#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "zdb/engine.hpp"

namespace znode::zdb {

/// User keys in RAM: an open-addressed table of 16-byte slots, between 40 and 80 % full once it has
/// grown. Keys themselves are on disk; equal tags are told apart by reading.
class KeyTable {
public:
    struct Slot {
        std::uint32_t tag = 0;
        Place at = {};
        std::uint32_t size = 0;  ///< Of the record, without padding.
    };
    static_assert(sizeof(Slot) == 16);

    /// Calls `visit(const Slot&)` for each slot with this tag until it returns true.
    template <class Visit>
    const Slot* find(std::uint32_t tag, Visit visit) const
    {
        if (slots_.empty()) return nullptr;
        for (std::size_t i = home(tag);; i = (i + 1) & mask()) {
            const Slot& slot = slots_[i];
            if (!slot.at) return nullptr;
            if (slot.tag == tag && visit(slot)) return &slot;
        }
    }
    const Slot* find_at(std::uint32_t tag, Place at) const
    {
        return find(tag, [&](const Slot& slot) { return slot.at == at; });
    }

    void insert(const Slot& slot);
    /// Takes the place of the slot at `old`; false when there is none.
    bool replace(std::uint32_t tag, Place old, const Slot& slot);
    bool erase(std::uint32_t tag, Place old);

    std::size_t size() const noexcept { return count_; }
    std::size_t bytes() const noexcept { return slots_.size() * sizeof(Slot); }
    void clear();
    void reserve(std::size_t keys);

private:
    std::size_t mask() const noexcept { return slots_.size() - 1; }
    /// The upper bits of the tag, so that neighbours stay neighbours when the table grows.
    std::size_t home(std::uint32_t tag) const noexcept { return tag >> shift_; }
    void grow(std::size_t slots);
    void place(const Slot& slot);

    std::vector<Slot> slots_;
    std::size_t count_ = 0;
    unsigned shift_ = 32;
};

}  // namespace znode::zdb
