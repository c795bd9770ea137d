#pragma once

#include "async/blocking.hpp"
#include "async/event.hpp"
#include "async/task.hpp"
#include "config.hpp"
#include "logs/shipper.hpp"
#include "network/networks.hpp"
#include "room.hpp"
#include "source.hpp"
#include "storage/kept_clock.hpp"
#include "storage/volumes.hpp"

namespace znode::agent {

/// What looks again and again at the machine under the workloads: what can be mended is tried
/// again, what can't is in the status until it is over. Its tasks end only by cancellation; what it
/// was given outlives them.
class Caretaker {
public:
    struct Parts {
        asio::io_context& loop;
        const Config& config;
        AgentSource& source;
        network::Networks& networks;
        storage::Volumes& volumes;
        logs::Shippers& shippers;
        engine::NodePlanner& planner;
        Room& room;
        std::function<void()> changed;  ///< What the node says of itself is another now.
        Log log;
    };
    explicit Caretaker(Parts parts);

    /// Ends once there is a network.
    [[nodiscard]] Task<> begin_network();
    /// Returns after the first attempt of `begin_network`, whatever came of it.
    [[nodiscard]] Task<> network_tried();

    /// A pool that could not be had is tried again: the disk may be back. What was set aside is
    /// forgotten in time.
    [[nodiscard]] Task<> look_after_pools();
    /// The status is answered at once, so what it says of the logs is asked beforehand.
    [[nodiscard]] Task<> look_after_logs();
    /// Signatures, certificates and expiry go by the clock: a machine that lost it must say so.
    [[nodiscard]] Task<> look_after_clock();

private:
    Task<bool> start_network();
    Task<> forget_data(const std::vector<storage::PoolInfo>* pools);

    Parts parts_;
    Event network_tried_;
    storage::KeptClock kept_clock_;
    std::string network_trouble_;  // What was logged last.
};

}  // namespace znode::agent
