#include "base/failpoint.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <map>
#include <mutex>

#include "base/text.hpp"

namespace znode {
namespace {

struct Registry {
    std::mutex guard;
    std::vector<std::string> names;
};

Registry& registry()
{
    static Registry instance;  // Filled by initialisers in any order.
    return instance;
}

}  // namespace

std::vector<std::string> failpoints()
{
    auto names = registry().names;
    std::ranges::sort(names);
    const auto twice = std::ranges::unique(names);
    names.erase(twice.begin(), twice.end());
    return names;
}

#ifdef ZNODE_FAILPOINTS
namespace detail {
namespace {

struct Armed {
    std::string what;
    int on_visit = 0;  // 0: every time.
    int visits = 0;
};

/// Parsed once; points of other names cost one map look-up in test builds.
std::map<std::string, Armed, std::less<>>& armed()
{
    static auto points = [] {
        std::map<std::string, Armed, std::less<>> parsed;
        const char* text = std::getenv("ZNODE_FAILPOINTS");
        if (text == nullptr) return parsed;
        for (const auto piece : split(text, ';')) {
            const auto equals = piece.find('=');
            if (equals == std::string_view::npos) continue;
            auto what = piece.substr(equals + 1);
            Armed point;
            if (const auto at = what.find('@'); at != std::string_view::npos) {
                point.on_visit = to_number<int>(what.substr(at + 1)).value_or(0);
                what = what.substr(0, at);
            }
            point.what = what;
            parsed.emplace(std::string{piece.substr(0, equals)}, std::move(point));
        }
        return parsed;
    }();
    return points;
}

}  // namespace

bool register_failpoint(const char* name)
{
    const std::scoped_lock lock{registry().guard};
    registry().names.emplace_back(name);
    return true;
}

int reach_failpoint(const char* name)
{
    static std::mutex guard;
    std::string what;
    {
        const std::scoped_lock lock{guard};
        const auto point = armed().find(std::string_view{name});
        if (point == armed().end()) return 0;
        ++point->second.visits;
        if (point->second.on_visit != 0 && point->second.on_visit != point->second.visits) return 0;
        what = point->second.what;
    }
    if (what == "kill") ::kill(::getpid(), SIGKILL);
    if (what == "abort") std::abort();
    if (what.starts_with("delay:")) {
        const auto ms = to_number<long>(std::string_view{what}.substr(6)).value_or(0);
        const timespec pause{.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1'000'000};
        ::nanosleep(&pause, nullptr);
        return 0;
    }
    static constexpr std::array<std::pair<std::string_view, int>, 6> errors{{
        {"eio", EIO},
        {"enospc", ENOSPC},
        {"enomem", ENOMEM},
        {"eagain", EAGAIN},
        {"etimedout", ETIMEDOUT},
        {"einval", EINVAL},
    }};
    for (const auto& [word, err] : errors)
        if (word == what) return err;
    return 0;
}

}  // namespace detail
#endif

}  // namespace znode
