#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace znode::zdb {

/// CRC-32C register after `bytes`, without any final xor: start with 0 for what 0-db calls crc.
std::uint32_t crc32c(std::uint32_t before, const void* bytes, std::size_t size) noexcept;

/// The checksum of a payload, as clients see it in cursors.
inline std::uint32_t payload_checksum(std::string_view payload) noexcept
{
    return crc32c(0, payload.data(), payload.size());
}

/// The check of our own structures, gathered piece by piece.
class Check {
public:
    Check& add(const void* bytes, std::size_t size) noexcept
    {
        state_ = crc32c(state_, bytes, size);
        return *this;
    }
    template <class T>
    Check& add(const T& value) noexcept
    {
        return add(&value, sizeof value);
    }
    std::uint32_t value() const noexcept { return ~state_; }

private:
    std::uint32_t state_ = 0xFFFFFFFFU;
};

}  // namespace znode::zdb
