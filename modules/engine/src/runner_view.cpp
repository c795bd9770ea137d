// What a runner shows of its workload.

#include "runner.hpp"

namespace znode::engine {

const std::vector<std::string>& Runner::provided() const
{
    static const std::vector<std::string> nothing;
    return plan_ ? plan_->provides : nothing;
}

WorkloadView Runner::view(bool with_history) const
{
    WorkloadView view;
    view.entry = entry_;
    view.waits_for = waits_for_;
    view.amounts = amounts();
    view.reported = reported_;
    if (with_history)
        for (const auto& [sequence, time, from, to, message] : history_)
            view.history.push_back(
                {sequence,
                 time,
                 entry_.order.gwid,
                 entry_.order.type,
                 std::string{from ? to_string(*from) : ""},
                 std::string{to_string(to)},
                 message});
    const bool up = entry_.state == State::running;
    if (plan_ && up) {
        view.addresses = plan_->addresses();
        view.pid = plan_->pid();
    }
    return view;
}

void Runner::remember(const JournalEvent& event)
{
    constexpr std::size_t kept = 50;
    constexpr std::size_t usual = 4;
    if (history_.empty()) history_.reserve(usual);
    if (history_.size() == kept) history_.erase(history_.begin());
    const auto to = state_of(event.to).value_or(entry_.state);
    history_.push_back({event.sequence, event.time, state_of(event.from), to, event.message});
}

}  // namespace znode::engine
