#pragma once

#include <memory>
#include <string_view>

#include <spdlog/spdlog.h>

namespace znode {

/// Where a component writes its lines. Passed in, never global.
///
/// Lines are lower-case facts with fields last: `volume created id=12-1 bytes=10737418240`.
/// error: the operator must act. warn: we recovered. info: a state changed. debug: requests.
using Log = std::shared_ptr<spdlog::logger>;

/// Writes to stderr; with the journal's `<n>` prefix when stderr is the journal, else with the
/// level as a word. No timestamps of our own. Level by name: "debug", "info", "warn", "error".
Log make_log(std::string_view name, std::string_view level = "info");

/// Writes nowhere; for tests.
Log silent_log();

}  // namespace znode
