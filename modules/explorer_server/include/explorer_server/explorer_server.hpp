#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "http/server.hpp"

namespace znode::explorer_server {

struct Options {
    std::filesystem::path data;           ///< Folder of the database; made 0700 when it is missing.
    std::filesystem::path hub;            ///< Folder of published flists; empty: no hub.
    std::vector<std::string> hosts = {};  ///< Names a Host header may have, besides addresses.
    std::int64_t first_id = 1;            ///< Of workloads, in an empty database.
    /// Takes unsigned what the originals took unsigned: results, deletes, farms; and signatures of
    /// any age.
    bool lenient = false;
    /// Answers a new reservation of the first era with its bare number, as clients of March 2020
    /// want it, instead of an object.
    bool bare_reservation_id = false;
    double requests_per_second = 1000;  ///< Of one address, on average; 429 beyond.
    double burst = 2000;
    Duration longest_wait = std::chrono::seconds{30};  ///< A long poll is held no longer.
    std::function<std::int64_t()> now = {};            ///< Unix seconds; empty: the clock.
};

/// The private explorer (API of both eras) and hub: what farmers, customers and nodes meet at.
///
/// Everything is in one sqlite database, on a lane of its own; requests that come together share a
/// transaction, and an answer means that it is on disk. Used from one loop.
class ExplorerServer {
public:
    virtual ~ExplorerServer() = default;

    /// Answers one request; for `http::make_server`. Never fails: what goes wrong is a status.
    virtual Task<http::Reply> answer(const http::Request& request, const http::Peer& peer) = 0;

    /// For `http::make_server`: refuses by its head alone what nobody signed, or not as it should
    /// be, so that no stranger has a large body received.
    virtual Task<std::optional<http::Reply>> refuse_head(
        const http::Request& head, const http::Peer& peer) = 0;

    /// Ends the pools' timer and all waiting; later polls do not wait. Then the HTTP server can be
    /// stopped, and after it this object destroyed.
    virtual Task<> stop() = 0;
};

/// Opens or creates the database. Errc::corrupt when it is damaged, invalid for bad options.
Result<std::unique_ptr<ExplorerServer>> make_explorer_server(
    asio::io_context& loop, Options options, Log log);

/// Limits that fit this service, for `http::make_server`.
http::ServerLimits server_limits(const Options& options);

}  // namespace znode::explorer_server
