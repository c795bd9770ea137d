#pragma once

#include "base/result.hpp"
#include "engine/plan.hpp"

namespace znode::engine {

/// What the machine can sell. Disk space is guarded by the pools themselves.
struct Machine {
    std::uint64_t cpus = 1;
    std::uint64_t memory = 0;          ///< Bytes, all of it.
    std::uint64_t memory_reserve = 0;  ///< Bytes kept for the node itself.
    double cpu_overcommit = 4;         ///< The sum of all CPUs may be so many times `cpus`.
};

/// max(512 MiB, 10 %): what the node keeps for itself unless the config says otherwise.
std::uint64_t default_memory_reserve(std::uint64_t memory) noexcept;

/// Whether `asked` fits beside what is `taken`. Errc::exhausted names numbers a person can act on.
Result<> admit(const Amounts& asked, const Amounts& taken, const Machine& machine);

Amounts& operator+=(Amounts& sum, const Amounts& more) noexcept;
Amounts& operator-=(Amounts& sum, const Amounts& less) noexcept;

}  // namespace znode::engine
