#pragma once
// Test vectors: JSON files with inputs and what must come out. The folder can be given from outside
// (ZNODE_VECTORS), so other cases with other names must run through the same tests; a file that is
// missing and a member that a test does not know are failures.

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace znode::test {

using Json = nlohmann::ordered_json;

/// The whole file. Throws, and so fails the test, when it is missing or no JSON.
inline Json vectors(const std::string& name)
{
    const char* folder = std::getenv("ZNODE_VECTORS");
    const std::string path =
        (folder != nullptr ? std::string{folder} : ZNODE_TEST_DATA "/vectors") + "/" + name;
    std::ifstream file{path};
    if (!file) throw std::runtime_error{"no test vectors at " + path};
    return Json::parse(file);
}

/// Fails for a member that is not among the known ones. Every known one may be absent but for those
/// that the test reads with `at`.
inline void expect_known_members(const Json& object, const std::set<std::string>& known)
{
    for (const auto& [name, value] : object.items())
        EXPECT_TRUE(known.contains(name)) << "member " << name << " is unknown to this test";
}

/// Says how many cases of a file ran, and that there were any.
inline void report_cases(const std::string& file, std::size_t cases)
{
    std::cout << file << ": " << cases << " cases\n";
    EXPECT_GT(cases, 0U) << file << " has no case";
}

}  // namespace znode::test
