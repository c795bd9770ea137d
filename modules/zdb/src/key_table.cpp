#include "key_table.hpp"

#include <bit>

namespace znode::zdb {

void KeyTable::place(const Slot& slot)
{
    std::size_t i = home(slot.tag);
    while (slots_[i].at) i = (i + 1) & mask();
    slots_[i] = slot;
}

void KeyTable::grow(std::size_t slots)
{
    std::vector<Slot> old(slots);
    old.swap(slots_);
    shift_ = 32U - static_cast<unsigned>(std::countr_zero(slots));
    for (const Slot& slot : old)
        if (slot.at) place(slot);
}

void KeyTable::insert(const Slot& slot)
{
    if (slots_.empty()) grow(16);
    if ((count_ + 1) * 5 > slots_.size() * 4) grow(slots_.size() * 2);
    place(slot);
    ++count_;
}

bool KeyTable::replace(std::uint32_t tag, Place old, const Slot& slot)
{
    const Slot* found = find_at(tag, old);
    if (found == nullptr) return false;
    slots_[static_cast<std::size_t>(found - slots_.data())] = slot;
    return true;
}

bool KeyTable::erase(std::uint32_t tag, Place old)
{
    const Slot* found = find_at(tag, old);
    if (found == nullptr) return false;
    auto hole = static_cast<std::size_t>(found - slots_.data());
    // Those behind move up, so that no chain is broken and no marks of the dead pile up.
    for (std::size_t i = (hole + 1) & mask(); slots_[i].at; i = (i + 1) & mask()) {
        const std::size_t wanted = home(slots_[i].tag);
        if (((i - wanted) & mask()) < ((i - hole) & mask())) continue;
        slots_[hole] = slots_[i];
        hole = i;
    }
    slots_[hole] = Slot{};
    --count_;
    return true;
}

void KeyTable::clear()
{
    slots_ = {};
    count_ = 0;
    shift_ = 32;
}

void KeyTable::reserve(std::size_t keys)
{
    const auto slots = std::bit_ceil(keys * 5 / 4 + 16);
    if (slots > slots_.size()) grow(slots);
}

}  // namespace znode::zdb
