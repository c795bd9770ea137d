#pragma once

#include "planner.hpp"

namespace znode::engine {

/// What the steps of a 0-db namespace's plan share.
struct ZdbState {
    NodePlanner::Impl& node;
    std::string gwid;
    std::int64_t owner = 0;
    std::int64_t version = 0;
    grid::Zdb document;

    Secret password;
    std::string pool;
    network::ZdbNamespace space;

    std::uint64_t bytes() const
    {
        return document.size > 0 ? static_cast<std::uint64_t>(document.size) * gib : 0;
    }
};

// zdb_plan.cpp
/// For undoing after a restart of the agent: nothing was applied by this one yet. False when the
/// workload has left nothing behind.
Task<Result<bool>> find_server(std::shared_ptr<ZdbState> state);
/// Ends the server of a pool when the last namespace is gone. The caller has the turn.
Task<Result<>> end_unused_server(std::shared_ptr<ZdbState> state);

// zdb_kept.cpp
/// A namespace whose end nobody signed: frozen, and removed when its time is over.
struct KeptNamespace {
    std::string gwid;
    std::string pool;
    std::uint64_t bytes = 0;
    std::int64_t since = 0;  ///< Unix seconds.
};
Task<Result<std::vector<KeptNamespace>>> read_kept(NodePlanner::Impl* node);
/// Freezes the namespace and keeps it for a while. False: there is nothing to keep.
Task<Result<bool>> set_aside(std::shared_ptr<ZdbState> state);

}  // namespace znode::engine
