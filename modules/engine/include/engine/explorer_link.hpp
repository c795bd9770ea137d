#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/event.hpp"
#include "async/task_group.hpp"
#include "base/log.hpp"
#include "engine/customer_check.hpp"
#include "engine/engine.hpp"
#include "explorer/node_api.hpp"

namespace znode::engine {

/// What the node says of itself, asked each time it is said.
struct Announcement {
    std::function<Task<Result<grid::Node>>()> node;
    std::function<Task<Result<std::vector<grid::Interface>>>()> interfaces;
    std::function<Task<Result<std::vector<std::int64_t>>>()> ports;
    std::function<Task<Result<grid::CapacityReport>>()> capacity;
    std::function<grid::UsedReport()> used;
};

/// How customers' signatures are checked.
struct CustomerCheck {
    Verify verify = Verify::when_possible;
    /// Errc::not_found for an unknown customer, unavailable when nobody can be asked.
    /// `fresh`: as the explorer has it now, not as it is remembered.
    std::function<Task<Result<identity::PublicKey>>(std::int64_t owner, bool fresh)> key;
};

/// How the explorer and the node get on; for the status. Times are Unix nanoseconds, 0 for never.
struct LinkState {
    bool reachable = false;
    bool registered = false;
    std::int64_t last_poll = 0;
    std::int64_t last_contact = 0;
    std::int64_t last_heartbeat = 0;
    std::string message;  ///< The last failure, "" after a success.
    std::string farm_name;
    std::optional<explorer::Era> era;
    std::uint64_t refused_signatures = 0;  ///< Reservations that their customer did not sign so.
};

/// Keeps the explorer informed and hears from it: registration, heart-beat, poll, results.
///
/// Runs beside the engine on the same loop and never holds it up: whatever the explorer does,
/// workloads are run and taken down. Heart-beats come every 5 minutes and at once after a change.
class ExplorerLink {
public:
    /// Everything given must outlive it.
    ExplorerLink(
        asio::io_context& loop,
        explorer::NodeApi& api,
        std::string node_id,
        Announcement say,
        CustomerCheck check,
        Log log);

    /// Registers, announces, polls, for ever. Orders go to `engine`.
    void start(Engine& engine);
    Task<> stop();

    /// For Engine::Parts.
    Task<Result<>> deliver(Letter letter);

    /// Something changed that the explorer should know soon.
    void changed() { changed_.notify(); }

    const LinkState& state() const noexcept { return state_; }

private:
    Task<> announce();
    Task<> poll(Engine* engine);
    void begin_reading(const Engine& engine);
    void compare(Engine* engine, const explorer::PollPage& page, bool complete);
    bool ids_jumped_back(const Engine& engine, const explorer::PollPage& page);
    Task<> take_page(Engine* engine, explorer::PollPage page);
    Task<Result<>> check_customer(Engine::Incoming* incoming, const explorer::PollEntry* entry);
    Task<bool> is_end_signed_by_its_customer(const explorer::PollEntry* entry);
    Task<Result<bool>> verified(const explorer::PollEntry* entry, bool fresh_key);
    Task<Result<>> introduce();
    void heard(const Result<>& outcome);

    explorer::NodeApi& api_;
    std::string node_id_;
    Announcement say_;
    CustomerCheck check_;
    Log log_;
    TaskGroup group_;
    znode::Event changed_;
    znode::Event registered_;
    bool lost_ = false;  ///< The explorer has forgotten this node: everything is read anew.
    /// The reservation that the last workload of the first era stands in; the next often does, too.
    std::optional<grid::legacy::Reservation> reservation_;
    Clock::time_point quiet_until_{};  ///< Of letters: the explorer's own wish.
    /// While everything is read: what should come and has not yet.
    std::optional<std::set<std::string>> awaited_;
    std::set<std::string> missing_;  ///< After the last whole reading.
    std::optional<Clock::time_point> jumped_;
    LinkState state_;
    std::string said_interfaces_;
    std::string said_ports_;
    std::string said_capacity_;
};

}  // namespace znode::engine
