#pragma once

#include <string>

#include "base/result.hpp"
#include "zdb/engine.hpp"
#include "zdb/server.hpp"

namespace znode::zdb {

struct Options {
    EngineConfig engine{.data = "zdb-data", .index = "zdb-index"};
    ServerConfig server;
    bool background = false;
    bool verbose = false;
    bool dump = false;
    std::string log_file;
    bool show_version = false;
    bool show_help = false;
};

/// Reads the command line: the flags of the original, and ours. The password on it, if any, is
/// overwritten. Errc::invalid names the flag.
Result<Options> parse_options(int argc, char** argv);

extern const std::string_view usage;

}  // namespace znode::zdb
