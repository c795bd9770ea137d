#pragma once

#include <deque>
#include <set>
#include <string>

#include "session.hpp"

namespace znode::zgrid {

/// A workload on its way, as the customer sees it.
struct Order {
    std::string key;  ///< "container.hub"
    grid::WorkloadType type = grid::WorkloadType::zdb;
    std::string node;
    std::int64_t id = 0;
    std::string state = "new";  ///< new, ordered, ok, error, deleted
    std::string message;
    std::string data_json;
    double ms_to_ok = 0;  ///< From the POST to the ok seen.
    Clock::time_point posted;

    bool ended() const { return state != "new" && state != "ordered"; }
};

/// Posts workloads, shows what becomes of them, and remembers it for the JSON answer.
class Progress {
public:
    Progress(const Context& context, Session& session) : context_{context}, session_{session} {}

    /// Posts; a refusal of the explorer is an error that names the part.
    Task<Result<Order*>> post(std::string key, grid::Workload workload);
    /// What needs nothing: shown as it is.
    void keep(std::string key, const grid::Workload& workload);

    /// Until these (all, if empty) have a result. Errc::unavailable when one failed, with the
    /// node's message; Errc::timeout names those that are open.
    Task<Result<>> wait(std::set<std::string> keys, Duration patience);
    /// Until the explorer says that the workload is deleted.
    Task<Result<>> wait_deleted(std::string key, std::int64_t id, Duration patience);

    const Order* find(std::string_view key) const;
    /// {"workloads": [{"name", "gwid", "type", "node", "state", "ms_to_ok", "message", "result"}]}
    std::string json() const;
    /// A line of the live view; nothing with --json.
    void say(const std::string& line) const;

private:
    Task<Result<>> look(Order* order);
    void show(const Order& order) const;

    const Context& context_;
    Session& session_;
    std::deque<Order> orders_;
    Clock::time_point begin_ = Clock::now();
};

/// A workload with everything that the parts have in common. The token finds it again when the
/// answer to its POST was lost. The first era has no metadata, so it stands in the description
/// there, which is public as well.
grid::Workload common_workload(
    const Session& session,
    std::int64_t pool,
    std::string node,
    std::string description,
    const std::string& token);
/// Whether common_workload put this token into it.
bool carries(const grid::Workload& workload, std::string_view token);

}  // namespace znode::zgrid
