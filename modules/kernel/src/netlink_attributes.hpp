#pragma once

#include <cstddef>

#include <libmnl/libmnl.h>

namespace znode::kernel {

/// The attributes of a message or of a nest, for a range-based for. A damaged one ends the range.
class Attributes {
public:
    class Iterator {
    public:
        Iterator(const char* at, const char* end) noexcept : at_{at}, end_{end} { check(); }
        const nlattr* operator*() const noexcept { return attribute(); }
        Iterator& operator++() noexcept
        {
            const auto step = static_cast<std::size_t>(MNL_ALIGN(attribute()->nla_len));
            at_ = static_cast<std::size_t>(end_ - at_) <= step ? nullptr : at_ + step;
            check();
            return *this;
        }
        bool operator==(const Iterator& other) const noexcept { return at_ == other.at_; }

    private:
        const nlattr* attribute() const noexcept
        {
            return reinterpret_cast<const nlattr*>(at_);  // NOLINT: the wire format.
        }
        void check() noexcept
        {
            if (at_ != nullptr && mnl_attr_ok(attribute(), static_cast<int>(end_ - at_)) == 0)
                at_ = nullptr;
        }
        const char* at_;  // Null behind the last.
        const char* end_;
    };

    Attributes(const void* from, const void* to) noexcept
        : from_{static_cast<const char*>(from)}, to_{static_cast<const char*>(to)}
    {
    }
    Iterator begin() const noexcept { return {from_ < to_ ? from_ : nullptr, to_}; }
    Iterator end() const noexcept { return {nullptr, to_}; }

private:
    const char* from_;
    const char* to_;
};

/// Behind the fixed part of a message.
inline Attributes attributes_of(const nlmsghdr* message, std::size_t fixed_part) noexcept
{
    return {mnl_nlmsg_get_payload_offset(message, fixed_part), mnl_nlmsg_get_payload_tail(message)};
}
inline Attributes nested_in(const nlattr* nest) noexcept
{
    const auto* from = static_cast<const char*>(mnl_attr_get_payload(nest));
    return {from, from + mnl_attr_get_payload_len(nest)};
}

}  // namespace znode::kernel
