#pragma once

#include <functional>
#include <vector>

#include "session.hpp"

namespace znode::zdb {

/// What TCP clients may cost together: places, memory, patience. The unix socket always gets what
/// it asks for. All that it is given outlives it.
class ClientLimits {
public:
    ClientLimits(
        const ServerConfig& config,
        Log& log,
        const std::vector<Session*>& sessions,
        std::function<void(Session&)> end)
        : config_{config}, log_{log}, sessions_{sessions}, end_{std::move(end)}
    {
    }

    void came(const Session& session) { clients_ += session.unix_socket ? 0 : 1; }
    /// Once it is dead.
    void went(Session& session);
    bool full() const noexcept { return clients_ >= config_.client_limit; }
    /// Ends the client that has been silent for longest, so that silence cannot shut the port.
    bool make_place();

    /// Looks anew at what its buffers hold.
    void count(Session& session);
    bool has_memory(const Session& session) const;
    bool holds_memory() const noexcept { return held_ > 0; }
    /// After each turn; within one nobody is served any more once it is used up.
    void keep_budget();

    /// Who leaves its replies lie, or a request unfinished, keeps memory that others need.
    void close_stalled();

private:
    using Clock = std::chrono::steady_clock;
    bool is_stalled(const Session& session, Clock::time_point now) const;

    const ServerConfig& config_;
    Log& log_;
    const std::vector<Session*>& sessions_;
    std::function<void(Session&)> end_;
    std::size_t clients_ = 0;
    std::size_t held_ = 0;  ///< Memory of their buffers.
    Clock::time_point next_look_;
};

}  // namespace znode::zdb
