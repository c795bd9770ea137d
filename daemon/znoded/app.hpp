#pragma once

#include "config.hpp"
#include "identity/identity.hpp"
#include "kernel/holder.hpp"

namespace znode::agent {

/// Runs the agent until SIGTERM or SIGINT; workloads go on. The process is in the holder's mount
/// namespace already and has one thread. With `purge`: takes down what runs of this node instead,
/// keeps its data, and returns. The exit code of the process.
int run_agent(Config config, identity::Identity identity, const kernel::Holder& holder, bool purge);

}  // namespace znode::agent
