#include "views.hpp"

#include "base/text.hpp"
#include "explorer/node_api.hpp"

namespace znode::agent {

std::string time_text(std::int64_t ns) { return ns == 0 ? std::string{} : format_time(ns); }

v1::Resources resources_of(const engine::Amounts& amounts)
{
    v1::Resources resources;
    resources.set_cpu(static_cast<double>(amounts.cpus));
    resources.set_memory(static_cast<double>(amounts.memory));
    resources.set_ssd(static_cast<double>(amounts.ssd));
    resources.set_hdd(static_cast<double>(amounts.hdd));
    return resources;
}

v1::Event event_of(const engine::JournalEvent& event)
{
    v1::Event view;
    view.set_sequence(static_cast<double>(event.sequence));
    view.set_time(time_text(event.time));
    view.set_workload(event.gwid);
    view.set_type(event.type);
    view.set_from(event.from);
    view.set_to(event.to);
    view.set_message(event.message);
    return view;
}

v1::Workload view_of(const engine::WorkloadView& view, bool with_history)
{
    v1::Workload workload;
    const auto& entry = view.entry;
    workload.set_gwid(entry.order.gwid);
    workload.set_type(entry.order.type);
    workload.set_owner(std::to_string(entry.order.owner));
    workload.set_state(std::string{to_string(entry.state)});
    workload.set_since(time_text(entry.since));
    workload.set_message(entry.message);
    for (const auto& need : view.waits_for) workload.add_needs(need);
    *workload.mutable_resources() = resources_of(view.amounts);
    for (const auto& address : view.addresses) workload.add_addresses(address);
    if (view.pid > 0) workload.add_pids(static_cast<std::uint32_t>(view.pid));
    workload.set_restarts(static_cast<std::uint32_t>(entry.restarts));
    if (const auto& ended = entry.last_exit; !ended.text.empty()) {
        auto* const exit = workload.mutable_last_exit();
        exit->set_code(static_cast<std::int32_t>(ended.code));
        exit->set_signal(static_cast<std::int32_t>(ended.signal));
        exit->set_reason(ended.reason);
        if (ended.time != 0) exit->set_time(time_text(ended.time));
    }
    if (entry.was_ok || entry.state == engine::State::failed) {
        auto* result = workload.mutable_result();
        result->set_state(entry.was_ok ? "ok" : "error");
        result->set_message(entry.message);
        result->set_data_json(entry.result);
        result->set_delivered(view.reported);
    }
    workload.set_created(time_text(entry.accepted));
    auto& details = *workload.mutable_details();
    details["verified"] = entry.order.verified ? "yes" : "no";
    details["era"] = explorer::to_string(entry.order.era);
    if (entry.order.expires != 0)
        details["expires"] = time_text(entry.order.expires * 1'000'000'000);
    if (with_history) {
        std::int64_t before = 0;
        for (const auto& event : view.history) {
            auto* transition = workload.add_history();
            transition->set_time(time_text(event.time));
            transition->set_from(event.from);
            transition->set_to(event.to);
            transition->set_message(event.message);
            if (before != 0)
                transition->set_seconds(static_cast<double>(event.time - before) / 1e9);
            before = event.time;
        }
    }
    return workload;
}

}  // namespace znode::agent
