#include "log_folders.hpp"

#include <string>
#include <vector>

namespace znode::agent {

Task<std::size_t> forget_log_folders(
    Blocking* disks,
    std::filesystem::path logs,
    std::function<bool(const std::string& gwid)> is_known)
{
    const auto names = co_await disks->run([&] {
        std::vector<std::string> found;
        std::error_code failed;
        std::filesystem::directory_iterator entry{logs, failed};
        for (const std::filesystem::directory_iterator end; !failed && entry != end;
             entry.increment(failed))
            found.push_back(entry->path().filename().string());
        return found;
    });
    std::size_t gone = 0;
    for (const auto& name : names) {
        if (is_known(name)) continue;
        const auto folder = logs / name;
        const bool removed = co_await disks->run([&] {
            std::error_code failed;
            std::filesystem::remove_all(folder, failed);
            return !failed;
        });
        gone += removed ? 1 : 0;
    }
    co_return gone;
}

}  // namespace znode::agent
