// Sends what a container has said to a redis server, with the agent's shippers.
//
//   bench_shipping LOGS FOLDER PORT LINES   LOGS has the segments, FOLDER takes the cursors
//
// One line of JSON: seconds until the server has answered for every line, and the lines told.

#include <cstdio>
#include <cstdlib>
#include <map>

#include "async/task_group.hpp"
#include "logs/cursor_page.hpp"
#include "logs/folder_watch.hpp"
#include "logs/shipper.hpp"

namespace {

using namespace znode;
using namespace std::chrono_literals;

/// Notes cursors in mapped pages as the agent does; its journal is not part of this.
class PagedCursors final : public logs::Cursors {
public:
    explicit PagedCursors(std::filesystem::path folder) : folder_{std::move(folder)} {}
    Task<Result<std::optional<logs::Noted>>> load(std::string) override
    {
        co_return std::optional<logs::Noted>{};
    }
    Task<Result<>> store(std::string, logs::Cursor) override { co_return Result<>{}; }
    void note(const std::string& key, const logs::Noted& noted) override
    {
        auto page = pages_.find(key);
        if (page == pages_.end()) {
            auto opened = logs::CursorPage::open(folder_ / std::to_string(pages_.size()));
            if (!opened) std::exit(1);
            page = pages_.emplace(key, *std::move(opened)).first;
        }
        page->second.write(noted);
    }
    Task<Result<>> forget(std::string) override { co_return Result<>{}; }

private:
    std::filesystem::path folder_;
    std::map<std::string, logs::CursorPage> pages_;
};

Task<int> ship(
    logs::Shippers* shippers, std::filesystem::path folder, std::string url, std::uint64_t lines)
{
    const auto begun = Clock::now();
    std::vector<logs::LogTarget> targets{{Secret{url}, Secret{}}};
    const auto ensured = co_await shippers->ensure("1-1", std::move(targets), folder);
    if (!ensured) {
        std::fprintf(stderr, "bench_shipping: %s\n", ensured.error().message.c_str());
        co_return 1;
    }
    std::uint64_t sent = 0;
    while (sent < lines && Clock::now() - begun < 5min) {
        co_await sleep_for(1ms);
        sent = 0;
        for (const auto& status : co_await shippers->status()) sent += status.sent_lines;
    }
    const auto took = std::chrono::duration<double>(Clock::now() - begun).count();
    std::printf("{\"seconds\":%.4f,\"lines\":%llu}\n", took, static_cast<unsigned long long>(sent));
    co_return sent == lines ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 5) return 2;
    asio::io_context loop{1};
    Blocking disks{2};
    logs::FolderWatch watch{loop};
    PagedCursors cursors{argv[2]};
    const auto shippers =
        logs::make_shippers(loop, disks, watch, cursors, nullptr, make_log("bench"));
    const auto url = std::string{"redis://127.0.0.1:"} + argv[3] + "/bench-stdout";
    const int outcome =
        run(loop, ship(shippers.get(), argv[1], url, std::strtoull(argv[4], nullptr, 10)));
    run(loop, shippers->stop());
    run(loop, watch.stop());
    return outcome;
}
