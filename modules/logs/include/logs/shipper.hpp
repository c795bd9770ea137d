#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/blocking.hpp"
#include "async/task.hpp"
#include "base/log.hpp"
#include "base/secret.hpp"
#include "kernel/descriptor_store.hpp"
#include "logs/reader.hpp"

namespace znode::logs {

/// Where a container's lines go: `redis://[[user]:password@]host[:port]/channel` per stream (rediss
/// for TLS), the channel exactly as it stands there. Empty: that stream is not sent.
struct LogTarget {
    Secret stdout_url;
    Secret stderr_url;

    bool operator==(const LogTarget&) const = default;
};

/// Keeps cursors over restarts of the agent. Keys are opaque. Called from the loop.
class Cursors {
public:
    virtual ~Cursors() = default;
    virtual Task<Result<std::optional<Noted>>> load(std::string key) = 0;
    virtual Task<Result<>> store(std::string key, Cursor cursor) = 0;
    /// Noted for the next run of the agent, also if this one is killed; not over a power cut.
    /// Never blocks. `load` gives whichever of both is further; what was stored has no wire.
    virtual void note(const std::string& key, const Noted& noted) = 0;
    /// Drops every key that begins with this.
    virtual Task<Result<>> forget(std::string prefix) = 0;
};

/// One stream of one container on its way to one target.
struct ShipperStatus {
    std::string gwid;
    Stream stream = Stream::out;
    std::string target;  ///< Host and channel, no password.
    bool connected = false;
    std::uint64_t sent_lines = 0;  ///< Answered by the server, in this run of the agent.
    std::uint64_t sent_bytes = 0;
    std::uint64_t pending_bytes = 0;  ///< On disk and not sent; both streams, records included.
    std::uint64_t lost_bytes = 0;     ///< Rotated away before they could be sent.
    std::string problem;  ///< Why nothing goes out, and what to do; "" when all is well.
};

struct ShipperConfig {
    Duration patience = std::chrono::seconds{10};  ///< For each exchange with a server.
    Duration first_retry = std::chrono::milliseconds{250};
    Duration slowest_retry = std::chrono::seconds{30};
    /// After a lost connection, on a channel that had a receiver: how long he is waited for.
    Duration receiver_patience = std::chrono::seconds{10};
};

/// Sends the lines of containers to redis servers by PUBLISH: each line in order, with its line
/// end, byte for byte, pieces of 1 MiB where it is longer. A line counts as sent when the server
/// has answered its PUBLISH; after a broken connection those that were on their way may be sent
/// twice, none is left out. After a crash the next run goes on in the middle of the very
/// connection, so that none comes twice either. What cannot be sent waits on disk: a container
/// never waits for a server.
///
/// All calls are made from the event loop.
class Shippers {
public:
    virtual ~Shippers() = default;

    /// Sends what the folder holds and will hold from the stored cursor on. Repeating with the same
    /// targets changes nothing; other targets take over at the cursor. Errc::invalid: a URL makes
    /// no sense (the message does not show it). The folder is made if need be.
    virtual Task<Result<>> ensure(
        std::string gwid, std::vector<LogTarget> targets, std::filesystem::path folder) = 0;

    /// Gives the last lines `patience` to get out, then ends sending and forgets the cursors.
    /// Succeeds for a gwid never seen.
    virtual Task<Result<>> remove(std::string gwid, Duration patience) = 0;

    virtual Task<std::vector<ShipperStatus>> status() = 0;

    /// Ends all sending and stores the cursors: before the agent stops.
    virtual Task<> stop() = 0;
};

/// Everything must outlive it. `kept` holds the connections for the next run of the agent; null, or
/// one that holds nothing: a crash then costs repeated lines.
std::unique_ptr<Shippers> make_shippers(
    asio::io_context& loop,
    Blocking& disks,
    FolderWatch& watch,
    Cursors& cursors,
    const kernel::DescriptorStore* kept,
    Log log,
    ShipperConfig config = {});

}  // namespace znode::logs
