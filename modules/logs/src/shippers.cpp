#include <map>

#include "kernel/files.hpp"
#include "shipper.hpp"

namespace znode::logs {
namespace {

class RedisShippers final : public Shippers {
public:
    RedisShippers(
        asio::io_context& loop,
        Blocking& disks,
        FolderWatch& watch,
        Cursors& cursors,
        const kernel::DescriptorStore* kept,
        Log log,
        ShipperConfig config)
        : loop_{loop},
          disks_{disks},
          watch_{watch},
          cursors_{cursors},
          kept_{kept},
          log_{std::move(log)},
          config_{config}
    {
    }

    Task<Result<>> ensure(
        std::string gwid, std::vector<LogTarget> targets, std::filesystem::path folder) override
    {
        std::map<std::string, std::pair<Stream, redis::Target>> wanted;
        for (std::size_t i = 0; i < targets.size(); ++i) {
            for (const auto stream : {Stream::out, Stream::err}) {
                const auto& url =
                    stream == Stream::out ? targets[i].stdout_url : targets[i].stderr_url;
                if (url.empty()) continue;
                auto parsed = redis::parse_target(url);
                if (!parsed)
                    co_return tl::unexpected(std::move(parsed).error().during(to_string(stream)));
                auto key = gwid + "/" + std::string{to_string(stream)} + "/" + std::to_string(i);
                wanted.emplace(std::move(key), std::pair{stream, *std::move(parsed)});
            }
        }
        if (!wanted.empty()) {
            auto made = co_await disks_.run([&] { return kernel::make_folders(folder, 0700); });
            if (!made) co_return made;
        }

        // Taken out of the map while it ends, so that nobody else finds it half ended.
        std::vector<std::shared_ptr<Shipper>> over;
        for (auto& [key, shipper] : shippers_[gwid]) {
            const auto hit = wanted.find(key);
            if (hit == wanted.end() || hit->second.second != shipper->target())
                over.push_back(std::move(shipper));
        }
        std::erase_if(shippers_[gwid], [](const auto& entry) { return !entry.second; });
        for (auto& shipper : over) co_await shipper->stop(Shipper::End::hand_over);

        for (auto& [key, what] : wanted) {
            auto& place = shippers_[gwid][key];
            if (place) continue;
            place = std::make_shared<Shipper>(
                loop_,
                Shipper::Place{gwid, what.first, key, folder},
                std::move(what.second),
                disks_,
                watch_,
                cursors_,
                kept_,
                log_,
                config_);
            place->start();
        }
        if (shippers_[gwid].empty()) shippers_.erase(gwid);
        co_return Result<>{};
    }

    Task<Result<>> remove(std::string gwid, Duration patience) override
    {
        const auto hit = shippers_.find(gwid);
        if (hit != shippers_.end()) {
            const auto ending = std::move(hit->second);
            shippers_.erase(hit);
            const auto end = Clock::now() + patience;
            for (const auto& [key, shipper] : ending)
                co_await shipper->drain_lines(std::max(end - Clock::now(), Duration::zero()));
            for (const auto& [key, shipper] : ending) co_await shipper->stop(Shipper::End::forget);
        }
        // Connections of streams that this run has no shipper for: their last one was killed. A
        // holder from before this word keeps them, as it always did.
        if (kept_ != nullptr) {
            const auto prefix = kept_prefix + gwid + "/";
            (void)co_await disks_.run([&] { return kept_->drop_all(prefix); });
        }
        co_return co_await cursors_.forget(gwid + "/");
    }

    Task<std::vector<ShipperStatus>> status() override
    {
        // Others may come and go between two looks at the disk.
        std::vector<std::pair<std::string, std::string>> keys;
        for (const auto& [gwid, all] : shippers_)
            for (const auto& [key, shipper] : all) keys.emplace_back(gwid, key);
        std::vector<ShipperStatus> statuses;
        for (const auto& [gwid, key] : keys) {
            const auto hit = shippers_.find(gwid);
            if (hit == shippers_.end()) continue;
            const auto shipper = hit->second.find(key);
            if (shipper == hit->second.end()) continue;
            const auto held = shipper->second;
            statuses.push_back(co_await held->status());
        }
        co_return statuses;
    }

    Task<> stop() override
    {
        const auto ending = std::move(shippers_);
        shippers_.clear();
        for (const auto& [gwid, all] : ending)
            for (const auto& [key, shipper] : all) co_await shipper->stop(Shipper::End::pause);
    }

private:
    asio::io_context& loop_;
    Blocking& disks_;
    FolderWatch& watch_;
    Cursors& cursors_;
    const kernel::DescriptorStore* kept_;
    Log log_;
    ShipperConfig config_;
    /// By gwid, then by the key of the cursor. Shared with a status call that is looking at it.
    std::map<std::string, std::map<std::string, std::shared_ptr<Shipper>>> shippers_;
};

}  // namespace

std::unique_ptr<Shippers> make_shippers(
    asio::io_context& loop,
    Blocking& disks,
    FolderWatch& watch,
    Cursors& cursors,
    const kernel::DescriptorStore* kept,
    Log log,
    ShipperConfig config)
{
    return std::make_unique<RedisShippers>(
        loop, disks, watch, cursors, kept, std::move(log), config);
}

}  // namespace znode::logs
