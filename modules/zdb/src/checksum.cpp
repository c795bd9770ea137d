#include "checksum.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace znode::zdb {
namespace {

constexpr std::array<std::uint32_t, 256> make_table()
{
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit)
            value = (value >> 1U) ^ ((value & 1U) != 0 ? 0x82F63B78U : 0U);
        table[i] = value;
    }
    return table;
}

std::uint32_t by_table(std::uint32_t state, const unsigned char* at, std::size_t size) noexcept
{
    static constexpr auto table = make_table();
    for (std::size_t i = 0; i < size; ++i) state = (state >> 8U) ^ table[(state ^ at[i]) & 0xFFU];
    return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(
    std::uint32_t state, const unsigned char* at, std::size_t size) noexcept
{
    std::uint64_t wide = state;
    for (; size >= 8; at += 8, size -= 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    auto narrow = static_cast<std::uint32_t>(wide);
    for (; size > 0; ++at, --size) narrow = _mm_crc32_u8(narrow, *at);
    return narrow;
}
#endif

}  // namespace

std::uint32_t crc32c(std::uint32_t before, const void* bytes, std::size_t size) noexcept
{
    const auto* at = static_cast<const unsigned char*>(bytes);
#if defined(__x86_64__)
    static const bool fast = __builtin_cpu_supports("sse4.2") != 0;
    if (fast) return by_instruction(before, at, size);
#endif
    return by_table(before, at, size);
}

}  // namespace znode::zdb
