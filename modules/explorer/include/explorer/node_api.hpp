#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.hpp"
#include "base/secret.hpp"
#include "explorer/era.hpp"
#include "grid/farm.hpp"
#include "grid/legacy.hpp"
#include "grid/node.hpp"
#include "grid/result.hpp"
#include "grid/workload.hpp"
#include "http/client.hpp"
#include "identity/identity.hpp"

namespace znode::explorer {

/// One entry of a poll page. An entry that cannot be read harms no other: it is delivered with its
/// reason, so that whoever waits for it can be told.
struct PollEntry {
    /// Id of the entry, read even where the rest is broken; empty when there is none to be read.
    std::optional<grid::Gwid> gwid;
    /// The entry's JSON, compact. One of the first era is told in the words of the later one where
    /// it can be read.
    std::string document;
    Result<grid::Workload> workload = grid::Workload{};
    /// Of the entry, also where the rest is broken.
    grid::NextAction next_action = grid::NextAction::create;
    std::int64_t customer_tid = 0;
    Era era = Era::pools;
    std::int64_t expires = 0;  ///< Unix seconds at which the node ends it by itself; 0: never.
    /// The epoch that the customer signed, where the explorer keeps it beside its own.
    std::optional<std::int64_t> customer_epoch;

    /// The explorer wants it gone (next_action delete or deleted).
    bool is_delete() const noexcept
    {
        return next_action == grid::NextAction::remove || next_action == grid::NextAction::deleted;
    }
};

struct PollQuestion {
    std::int64_t from = 0;
    std::string etag;  ///< Of the last page; "" does not wait for something new.
    std::chrono::seconds wait{30};
};

struct PollPage {
    std::vector<PollEntry> entries;
    std::int64_t last_id = 0;  ///< `x-last-id`; 0 when the server sent none.
    /// The least id that found no room in this page and must be asked for again; 0: none.
    std::int64_t left_out_from = 0;
    std::string etag;
    bool waited = false;     ///< The server holds requests until there is something new.
    bool unchanged = false;  ///< 304: nothing new within the wait.
    Era era = Era::pools;    ///< Of the explorer that answered.
};

/// Reads the body of a poll, entry by entry. Errc::invalid only when it is no list at all.
Result<std::vector<PollEntry>> read_page(std::string_view body);
/// The same for an explorer of the first era: entries as `node_id` has to carry them out.
Result<std::vector<PollEntry>> read_legacy_page(std::string_view body, std::string_view node_id);

/// What an error status carried beside its text.
struct ApiFailure {
    unsigned status = 0;  ///< 0: no answer.
    std::optional<Duration> retry_after;
};

/// What a node says to an explorer, and hears from it, in the explorer's era.
///
/// Errors by code: not_found 404, denied 401 and 403, exists 409, invalid other 4xx (the explorer
/// does not want it and never will), unavailable 429 and 5xx and no connection, timeout. The
/// message carries the explorer's own text. Used from the event loop; several calls may run at
/// once.
class NodeApi {
public:
    virtual ~NodeApi() = default;

    /// POST nodes. `node_id` and `public_key_hex` are filled in from the identity.
    virtual Task<Result<>> register_node(grid::Node node) = 0;
    /// This node as the explorer has it: its farm, its public configuration.
    virtual Task<Result<grid::Node>> self() = 0;
    virtual Task<Result<>> set_interfaces(std::vector<grid::Interface> interfaces) = 0;
    virtual Task<Result<>> set_ports(std::vector<std::int64_t> wireguard_ports) = 0;
    virtual Task<Result<>> set_capacity(grid::CapacityReport report) = 0;
    /// The heart-beat: clients take a node as gone after 600 s without.
    virtual Task<Result<>> set_uptime(std::chrono::seconds uptime) = 0;
    virtual Task<Result<>> set_used(grid::UsedReport report) = 0;

    /// One question for work; takes up to `wait` where the server can hold it. Better asked through
    /// a Poller, which knows the pace.
    virtual Task<Result<PollPage>> poll(PollQuestion question) = 0;

    /// PUT of a result; signed here, over state, message and data. Repeating it is harmless.
    virtual Task<Result<>> put_result(grid::Gwid gwid, grid::WorkloadResult result) = 0;
    /// The workload is really gone from here. not_found: the explorer does not know it.
    virtual Task<Result<>> report_deleted(grid::Gwid gwid) = 0;

    virtual Task<Result<grid::Workload>> workload(grid::Gwid gwid) = 0;
    /// A whole reservation of the first era with its signature; by its path of that era.
    virtual Task<Result<grid::legacy::Reservation>> reservation(std::int64_t id) = 0;
    /// A customer, for the key of his secrets.
    virtual Task<Result<grid::User>> user(std::int64_t tid) = 0;
    virtual Task<Result<grid::Farm>> farm(std::int64_t id) = 0;

    /// Whether there is an explorer of this era at the other end (GET prices, or GET nodes).
    virtual Task<Result<>> probe() = 0;
    /// Empty while it is not known.
    virtual std::optional<Era> era() const noexcept = 0;

    /// Status and Retry-After of the last answer that was an error, for the pace of retries.
    virtual const ApiFailure& last_failure() const noexcept = 0;
};

/// `client` is one to the explorer's root (a path /api/v1 or /explorer cut off, see
/// `explorer_root`); it and `self` must outlive the object.
std::unique_ptr<NodeApi> make_node_api(
    http::Client& client, const identity::Identity& self, Era era = Era::pools);
/// Finds the era by itself: asked first, every hour, and after a 404 of the poll. Calls are
/// Errc::unavailable while nobody answers to either.
std::unique_ptr<NodeApi> make_any_node_api(
    asio::io_context& loop, http::Client& client, const identity::Identity& self);

/// A configured URL without /api/v1 or /explorer at its end, and without a last '/'.
std::string explorer_root(std::string_view url);

}  // namespace znode::explorer
