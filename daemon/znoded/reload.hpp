#pragma once

#include <functional>

#include <boost/asio/signal_set.hpp>

#include "async/blocking.hpp"
#include "base/log.hpp"
#include "config.hpp"

namespace znode::agent {

/// Takes over on SIGHUP what can change while the agent runs, and says what needs a restart.
class Reloader {
public:
    struct Parts {
        asio::io_context& loop;
        Blocking& disks;
        Config config;                         ///< What the file said when the agent was started.
        std::function<Result<Config>()> read;  ///< The file as it is now, checked.
        Log log;
    };
    /// From here on a SIGHUP is not the end of the process.
    explicit Reloader(Parts parts);

    /// Until it is cancelled.
    Task<> run();
    /// Once. The error is logged too, and nothing has changed then.
    Task<Result<>> reload();

private:
    Parts parts_;
    asio::signal_set hangups_;
};

}  // namespace znode::agent
