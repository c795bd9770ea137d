#include "log_folders.hpp"

#include <gtest/gtest.h>

#include "temp_folder.hpp"

namespace znode::agent {
namespace {

TEST(LogFoldersTest, OnlyFoldersOfNobodyGo)
{
    const test::TempFolder folder;
    const auto logs = folder.path() / "logs";
    asio::io_context loop{1};
    Blocking disks{1};
    const auto forget = [&] {
        return run(loop, forget_log_folders(&disks, logs, [](const std::string& gwid) {
                       return gwid == "7-1";
                   }));
    };

    EXPECT_EQ(forget(), 0U) << "no folder yet";
    std::filesystem::create_directories(logs / "7-1");
    std::filesystem::create_directories(logs / "8-1/old");
    EXPECT_EQ(forget(), 1U);
    EXPECT_TRUE(std::filesystem::exists(logs / "7-1"));
    EXPECT_FALSE(std::filesystem::exists(logs / "8-1"));
}

}  // namespace
}  // namespace znode::agent
