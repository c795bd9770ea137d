#pragma once

#include <fstream>
#include <iterator>
#include <string>

#include <nlohmann/json.hpp>

#include "base/hex.hpp"

namespace znode::flist::test {

inline const std::string data = ZNODE_TEST_DATA "/flist/";

/// What the packed sample holds, entry by entry.
inline nlohmann::json manifest()
{
    std::ifstream file{data + "small.manifest.json"};
    std::string text{std::istreambuf_iterator<char>{file}, {}};
    // A name that is not UTF-8 is there as lone surrogates, which are no JSON; its true bytes are
    // in `path_b64`.
    for (auto at = text.find("\\udc"); at != std::string::npos; at = text.find("\\udc"))
        text.erase(at, 6);
    return nlohmann::json::parse(text);
}

/// The raw path: names need not be UTF-8.
inline std::string path_of(const nlohmann::json& entry)
{
    if (entry.contains("path_b64"))
        return from_base64(entry["path_b64"].get<std::string>()).value();
    return entry["path"].get<std::string>();
}

}  // namespace znode::flist::test
