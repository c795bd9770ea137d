#pragma once

#include <map>
#include <string>

#include "base/result.hpp"

namespace znode::flist {

/// The sqlite database of a flist; the same records always give the same bytes.
Result<std::string> write_database(
    const std::map<std::string, std::string>& entries,
    const std::map<std::string, std::string>& metadata);

/// The database as the file that people hand around: gzip around tar, without any time or owner.
Result<std::string> wrap_database(std::string_view database);

}  // namespace znode::flist
