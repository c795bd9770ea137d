#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

namespace znode::test {

/// Compares with `tests/data/<name>`. With ZNODE_ACCEPT=1 in the environment the file is written
/// instead, to be looked at and committed.
inline testing::AssertionResult matches_golden(const std::string& name, const std::string& actual)
{
    const auto path = std::filesystem::path{ZNODE_TEST_DATA} / name;
    const char* accept = std::getenv("ZNODE_ACCEPT");
    if (accept != nullptr && *accept == '1') {
        std::filesystem::create_directories(path.parent_path());
        std::ofstream{path, std::ios::binary} << actual;
        return testing::AssertionSuccess();
    }
    std::ifstream file{path, std::ios::binary};
    if (!file)
        return testing::AssertionFailure()
               << path << " is missing; ZNODE_ACCEPT=1 writes it. Got:\n"
               << actual;
    std::ostringstream expected;
    expected << file.rdbuf();
    if (expected.str() == actual) return testing::AssertionSuccess();
    return testing::AssertionFailure() << path << " says:\n"
                                       << expected.str() << "but got:\n"
                                       << actual << "(ZNODE_ACCEPT=1 takes it over)";
}

}  // namespace znode::test
