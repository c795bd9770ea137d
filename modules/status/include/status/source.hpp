#pragma once
// What the local server needs to know and may ask for; the agent implements it.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>
#include <znode/v1/operations.pb.h>
#include <znode/v1/resources.pb.h>
#include <znode/v1/status.pb.h>
#include <znode/v1/workload.pb.h>

#include "async/task.hpp"

namespace znode::status {

/// Which log lines a reader wants.
struct LogQuery {
    std::string workload;
    std::string stream;                         ///< "stdout", "stderr", or "" for both.
    std::optional<std::uint64_t> tail;          ///< Only the last so many of those that exist now.
    std::optional<std::int64_t> since_unix_ns;  ///< Only lines of this time or later.
    bool follow = false;                        ///< Go on with lines that come later.
};

/// Reads the lines of one workload, in the order in which they were written.
class LogReader {
public:
    virtual ~LogReader() = default;

    /// The next lines, some hundred at most; nothing at the end. A following reader waits for
    /// lines and ends when the workload is gone; it may be cancelled or destroyed while it waits.
    virtual Task<Result<std::optional<std::vector<v1::LogLine>>>> next() = 0;
};

/// Everything that the status socket shows or does. Called from the event loop.
///
/// Answers are made of what is known; nothing of it waits for the network. What asks the kernel or
/// a disk is a task and has its own deadline.
class Source {
public:
    virtual ~Source() = default;

    virtual v1::Status status() = 0;
    virtual v1::Health health() = 0;
    virtual v1::WorkloadList workloads() = 0;
    /// With its history; nothing for an id that is not known.
    virtual std::optional<v1::Workload> workload(std::string gwid) = 0;

    /// Events with a sequence above `since`, oldest first, at most `limit`.
    virtual Task<Result<v1::EventList>> events(std::uint64_t since, std::size_t limit) = 0;
    /// Ends when there is an event above `since`, or after `patience`, or when cancelled.
    virtual Task<> wait_for_event(std::uint64_t since, Duration patience) = 0;

    virtual Task<Result<v1::Storage>> storage() = 0;
    virtual Task<Result<v1::Network>> network() = 0;
    virtual Task<Result<v1::Capacity>> capacity() = 0;
    virtual Task<Result<v1::FlistList>> flists() = 0;
    virtual Task<Result<v1::Doctor>> doctor() = 0;

    /// Errc::not_found for a workload that is not known, Errc::invalid for one without logs.
    virtual Task<Result<std::unique_ptr<LogReader>>> logs(LogQuery query) = 0;

    /// Errc::not_found, Errc::invalid for a type that cannot be restarted. Returns when the restart
    /// has begun.
    virtual Task<Result<>> restart(std::string gwid) = 0;
    /// While it is on, new workloads are refused with the reason. Survives restarts of the agent.
    virtual Task<Result<v1::Maintenance>> maintenance(bool on, std::string reason) = 0;
    /// Removes what nobody owns; only names it when `dry_run`.
    virtual Task<Result<v1::GcReport>> gc(bool dry_run) = 0;

    /// Further lines of Prometheus text (`znode_*`), each ended by a newline.
    virtual std::string metrics() = 0;
};

}  // namespace znode::status
