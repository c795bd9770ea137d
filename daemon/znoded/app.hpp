#pragma once

#include "config.hpp"
#include "identity/identity.hpp"
#include "kernel/holder.hpp"

namespace znode::agent {

/// The config as the file says it, and how it is read again.
struct ConfigFile {
    Config config;
    std::function<Result<Config>()> read;
};

/// Runs the agent until SIGTERM or SIGINT; workloads go on. The process is in the holder's mount
/// namespace already and has one thread. `config`: that of the file, with what was found out about
/// this machine. With `purge`: takes down what runs of this node instead, keeps its data, and
/// returns. The exit code of the process.
int run_agent(
    Config config,
    ConfigFile file,
    identity::Identity identity,
    const kernel::Holder& holder,
    bool purge);

}  // namespace znode::agent
