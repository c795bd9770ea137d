#include "engine/admission.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace znode::engine {

std::uint64_t default_memory_reserve(std::uint64_t memory) noexcept
{
    return std::max(std::uint64_t{512} << 20U, memory / 10);
}

Amounts& operator+=(Amounts& sum, const Amounts& more) noexcept
{
    sum.cpus += more.cpus;
    sum.memory += more.memory;
    sum.ssd += more.ssd;
    sum.hdd += more.hdd;
    return sum;
}

Amounts& operator-=(Amounts& sum, const Amounts& less) noexcept
{
    sum.cpus -= less.cpus;
    sum.memory -= less.memory;
    sum.ssd -= less.ssd;
    sum.hdd -= less.hdd;
    return sum;
}

Result<> admit(const Amounts& asked, const Amounts& taken, const Machine& machine)
{
    if (asked.cpus > machine.cpus)
        return fail(
            Errc::exhausted,
            "asked for " + std::to_string(asked.cpus) + " CPUs, the node has " +
                std::to_string(machine.cpus));
    const auto sellable_cpus =
        static_cast<std::uint64_t>(static_cast<double>(machine.cpus) * machine.cpu_overcommit);
    if (asked.cpus > 0 && asked.cpus + taken.cpus > sellable_cpus)
        return fail(
            Errc::exhausted,
            "asked for " + std::to_string(asked.cpus) + " CPUs, " +
                std::to_string(sellable_cpus - std::min(taken.cpus, sellable_cpus)) +
                " are free of " + std::to_string(sellable_cpus));
    const auto sellable = machine.memory - std::min(machine.memory_reserve, machine.memory);
    const auto free = sellable - std::min(taken.memory, sellable);
    if (asked.memory > free)
        return fail(
            Errc::exhausted,
            "asked for " + format_size(asked.memory) + " of memory, " + format_size(free) +
                " free of " + format_size(sellable));
    return {};
}

}  // namespace znode::engine
