#pragma once
// The life of a workload as a table: no clock, no I/O, no memory. Everything that happens in the
// world reaches it as an Event, and everything it wants done leaves it as an Effect.

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace znode::engine {

/// The words of the status socket; stored in the journal as text, so never renamed.
enum class State {
    waiting,      ///< Accepted; something it needs is not there yet.
    deploying,    ///< Its plan is being carried out, or repeated after a transient failure.
    running,      ///< As promised.
    backing_off,  ///< Its program ended in failure; the next start is timed.
    finished,     ///< Its program ended well and is not started again.
    failed,       ///< Never was ok, is undone, and the explorer is being told.
    retiring,     ///< Being undone because somebody asked for it.
    gone,         ///< Undone and reported.
};

enum class Event {
    ready,     ///< Everything it needs is there.
    deployed,  ///< The plan is carried out.
    failed,    ///< The plan cannot be carried out, or the patience is over.
    crashed,   ///< The program ended in failure, or what once ran cannot be made to run again now.
    ended,     ///< The program ended well.
    retry,     ///< The pause after a crash is over, or an operator asks for a start.
    removed,   ///< The customer, the farmer or the explorer wants it gone.
    undone,    ///< The plan is reverted.
    reported,  ///< The explorer has taken the last word.
};

enum class Effect {
    none,
    deploy,
    report_ready,
    report_change,
    undo,
    undo_failure,
    report_failure,
    report_gone,
    forget
};

struct Transition {
    State from;
    Event on;
    State to;
    Effect effect;
};

inline constexpr std::array transitions{
    Transition{State::waiting, Event::ready, State::deploying, Effect::deploy},
    Transition{State::waiting, Event::failed, State::failed, Effect::undo_failure},
    Transition{State::waiting, Event::removed, State::retiring, Effect::undo},

    Transition{State::deploying, Event::deployed, State::running, Effect::report_ready},
    Transition{State::deploying, Event::failed, State::failed, Effect::undo_failure},
    Transition{State::deploying, Event::removed, State::retiring, Effect::undo},
    Transition{State::deploying, Event::crashed, State::backing_off, Effect::report_change},

    Transition{State::running, Event::crashed, State::backing_off, Effect::report_change},
    Transition{State::running, Event::ended, State::finished, Effect::report_change},
    Transition{State::running, Event::retry, State::deploying, Effect::deploy},
    Transition{State::running, Event::removed, State::retiring, Effect::undo},

    Transition{State::backing_off, Event::retry, State::deploying, Effect::deploy},
    Transition{State::backing_off, Event::removed, State::retiring, Effect::undo},

    Transition{State::finished, Event::retry, State::deploying, Effect::deploy},
    Transition{State::finished, Event::removed, State::retiring, Effect::undo},

    Transition{State::failed, Event::undone, State::failed, Effect::report_failure},
    Transition{State::failed, Event::removed, State::retiring, Effect::undo},
    Transition{State::failed, Event::reported, State::gone, Effect::forget},

    Transition{State::retiring, Event::undone, State::retiring, Effect::report_gone},
    Transition{State::retiring, Event::removed, State::retiring, Effect::undo},
    Transition{State::retiring, Event::reported, State::gone, Effect::forget},
};

/// Empty when the event means nothing in this state.
constexpr std::optional<Transition> next(State from, Event on)
{
    const auto hit = std::ranges::find_if(
        transitions, [&](const auto& t) { return t.from == from && t.on == on; });
    return hit == transitions.end() ? std::nullopt : std::optional{*hit};
}

namespace detail {
/// Whether `gone` can be reached from a state by events that need nobody's good will.
constexpr bool leads_to_gone(State from)
{
    std::array<bool, 8> reached{};
    reached[static_cast<std::size_t>(from)] = true;
    for (std::size_t round = 0; round < reached.size(); ++round)
        for (const auto& t : transitions)
            if (reached[static_cast<std::size_t>(t.from)])
                reached[static_cast<std::size_t>(t.to)] = true;
    return reached[static_cast<std::size_t>(State::gone)];
}
constexpr bool can_be_removed_everywhere()
{
    for (int state = 0; state < static_cast<int>(State::gone); ++state)
        if (!next(static_cast<State>(state), Event::removed)) return false;
    return true;
}
}  // namespace detail

static_assert(
    detail::leads_to_gone(State::waiting) && detail::leads_to_gone(State::failed) &&
        detail::leads_to_gone(State::retiring),
    "a state without a way out would hold its resources for ever");
static_assert(detail::can_be_removed_everywhere(), "what is removed must go, whatever it is doing");

constexpr std::array<std::string_view, 8> state_names{
    "waiting", "deploying", "running", "backing_off", "finished", "failed", "retiring", "gone"};

constexpr std::string_view to_string(State state)
{
    return state_names[static_cast<std::size_t>(state)];
}
constexpr std::optional<State> state_of(std::string_view name)
{
    const auto hit = std::ranges::find(state_names, name);
    if (hit == state_names.end()) return std::nullopt;
    return static_cast<State>(hit - state_names.begin());
}

}  // namespace znode::engine
