#include "engine/plan.hpp"

#include <ranges>

namespace znode::engine {

Task<Result<>> Plan::deploy(std::function<void(const std::string&)> progress)
{
    for (const auto& step : steps_) {
        progress(step->name());
        auto applied = co_await step->apply();
        if (!applied) co_return tl::unexpected(std::move(applied).error());
    }
    co_return Result<>{};
}

Task<Result<>> Plan::retire()
{
    for (const auto& step : steps_ | std::views::reverse) {
        auto reverted = co_await step->revert();
        if (!reverted)
            co_return tl::unexpected(std::move(reverted).error().during("undo " + step->name()));
    }
    co_return Result<>{};
}

bool is_transient(Errc code) noexcept
{
    switch (code) {
        case Errc::unavailable:
        case Errc::timeout:
            return true;
        default:
            return false;
    }
}

}  // namespace znode::engine
