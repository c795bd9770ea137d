#include <algorithm>
#include <ctime>
#include <map>
#include <set>

#include "async/task_group.hpp"
#include "base/text.hpp"
#include "pool.hpp"

namespace znode::storage {
namespace {

using namespace std::chrono_literals;

constexpr auto first_sweep = 1s;
constexpr auto slowest_sweep = 60s;

/// Volumes as subvolumes of the configured pools.
///
/// The loop keeps no table of what exists: each call looks. What it does keep are the sizes that
/// calls in progress have been promised, so that two of them cannot be given the same room.
class BtrfsVolumes final : public Volumes {
public:
    BtrfsVolumes(Config config, asio::io_context& loop, Blocking& disks)
        : config_{std::move(config)}, disks_{disks}, group_{loop}, notes_{config_.state_dir}
    {
        std::set<std::string> names;
        for (auto& pool : config_.pools) {
            if (pool.name.empty()) pool.name = pool.path.stem().string();
            // Two files of one name in different folders: pools need names of their own.
            auto name = pool.name;
            for (int i = 2; !names.insert(name).second; ++i)
                name = pool.name + "-" + std::to_string(i);
            pool.name = name;
            const auto where = config_.run_dir / "pool" / name;
            pools_.push_back(
                {.pool = std::make_unique<Pool>(pool, where, config_.node_id, notes_),
                 .problem = {}});
        }
    }

    Task<> open() override
    {
        for (auto& entry : pools_) {
            if (entry.pool->is_open()) continue;
            auto* pool = entry.pool.get();
            auto opened = co_await disks_.run([&] { return pool->open(); });
            entry.problem = opened ? pool->remark() : std::move(opened).error().message;
            entry.may_hold = co_await disks_.run(
                [&] { return pool->is_open() || notes_.may_hold(pool->config().path); });
            if (pool->is_open()) {
                config_.log->info(
                    "pool ready name={} path={}", pool->config().name, pool->path().string());
                sweep_soon(entry);
            } else {
                config_.log->error(
                    "pool failed name={} reason=\"{}\"", pool->config().name, entry.problem);
            }
        }
        co_await complete_notes();
    }

    Task<Result<std::string>> choose(VolumeSpec spec) override
    {
        const auto all = co_await survey_all();
        if (!spec.name.empty()) {
            if (const auto where = pool_of(all, spec.name))
                co_return pools_[*where].pool->config().name;
            CO_TRY_DO(check_absent(all, spec));
        }
        CO_TRY(const auto index, choose_pool(infos(all), spec.media, spec.bytes, spec.pool));
        co_return pools_[index].pool->config().name;
    }

    Task<Result<Volume>> ensure(VolumeSpec spec) override
    {
        if (spec.name.empty() || spec.name[0] == '.' || spec.name.find('/') != std::string::npos)
            co_return fail(Errc::invalid, "'" + printable(spec.name) + "' is no name of a volume");
        if (spec.bytes == 0)
            co_return fail(Errc::invalid, "volume " + spec.name + ": size must not be 0");

        // A look at the pools is worth nothing once another call has finished meanwhile: its volume
        // is neither in the survey nor pending any more.
        Surveys all;
        for (auto seen = changes_ + 1; seen != changes_;) {
            seen = changes_;
            all = co_await survey_all();
        }
        CO_TRY_DO(check_told(all, spec));
        std::optional<std::size_t> where = pool_of(all, spec.name);
        if (!where) CO_TRY_DO(check_absent(all, spec));
        if (where) {
            CO_TRY_DO(check_growth(all, *where, spec));
        } else {
            CO_TRY(where, choose_pool(infos(all), spec.media, spec.bytes, spec.pool));
        }
        auto& entry = pools_[*where];
        const auto there = std::ranges::find(all[*where]->volumes, spec.name, &Found::name);
        const auto had = there == all[*where]->volumes.end() ? 0 : there->mark.bytes;
        const auto more = spec.bytes - std::min(spec.bytes, had);
        homes_[spec.name] = entry.pool->config().name;
        const Promise promise{entry, spec.name, spec.bytes, changes_};
        auto* pool = entry.pool.get();
        if (more > 0) {
            // What was set aside gives way to what is ordered; where it does not, room_of was wrong
            // by no more than before.
            (void)co_await disks_.run([&] { return pool->forget(0, more); });
        }
        auto made = co_await disks_.run([&] { return pool->ensure(spec); });
        if (!made) co_return tl::unexpected(std::move(made).error().during("volume " + spec.name));
        co_return volume_of(entry, spec);
    }

    Task<Result<>> remove(std::string name, std::string pool) override
    {
        co_return co_await take_away(std::move(name), std::move(pool), false);
    }

    Task<Result<>> set_aside(std::string name, std::string pool) override
    {
        co_return co_await take_away(std::move(name), std::move(pool), true);
    }

    Task<Result<std::size_t>> forget(std::int64_t until) override
    {
        std::size_t gone = 0;
        for (auto& entry : pools_) {
            auto* pool = entry.pool.get();
            if (!pool->is_open()) continue;
            CO_TRY(const auto count, co_await disks_.run([&] { return pool->forget(until, 0); }));
            if (count > 0) sweep_soon(entry);
            gone += count;
        }
        co_return gone;
    }

    Task<Result<std::vector<Volume>>> list() override
    {
        const auto all = co_await survey_all();
        std::vector<Volume> volumes;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (!all[i]) continue;
            for (const auto& found : all[i]->volumes) volumes.push_back(volume_of(i, found));
        }
        co_return volumes;
    }
    Task<Result<Volume>> find(std::string name, std::string pool) override
    {
        if (!pool.empty()) homes_[name] = pool;
        const auto all = co_await survey_all();
        const auto where = pool_of(all, name);
        if (!where) {
            if (const auto absent = unseen(name, [&](std::size_t i) { return all[i].has_value(); }))
                co_return fail(Errc::unavailable, "find volume " + name + ": " + *absent);
            co_return fail(Errc::not_found, "there is no volume " + name);
        }
        const auto hit = std::ranges::find(all[*where]->volumes, name, &Found::name);
        co_return volume_of(*where, *hit);
    }

    Task<std::vector<PoolInfo>> pools() override
    {
        const auto all = co_await survey_all();
        co_return infos(all);
    }

    Task<Result<>> close() override
    {
        co_await stop();
        Result<> outcome;
        for (auto& entry : pools_) {
            auto* pool = entry.pool.get();
            auto closed = co_await disks_.run([&] { return pool->close(); });
            if (!closed && outcome) outcome = tl::unexpected(std::move(closed).error());
        }
        co_return outcome;
    }

    Task<> stop() override { co_await group_.drain(); }

private:
    /// Not before all of them were tried: who is not there has no note yet and gets one of doubt.
    Task<> complete_notes()
    {
        std::vector<std::filesystem::path> paths;
        for (const auto& entry : pools_) paths.push_back(entry.pool->config().path);
        const auto noted = co_await disks_.run([&] { return notes_.complete(paths); });
        if (!noted)
            config_.log->warn(
                "absent pools are not noted, and are waited for error=\"{}\"",
                noted.error().message);
    }

    Task<Result<>> take_away(std::string name, std::string home, bool keep)
    {
        if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos)
            co_return Result<>{};
        if (!home.empty()) homes_[name] = home;
        const auto now = std::int64_t{std::time(nullptr)};
        Result<> trouble;
        std::vector<bool> looked(pools_.size());
        for (std::size_t i = 0; i < pools_.size(); ++i) {
            auto* pool = pools_[i].pool.get();
            if (!pool->is_open()) continue;
            auto removed = co_await disks_.run(
                [&] { return keep ? pool->set_aside(name, now) : pool->remove(name); });
            if (!removed) {
                // Another pool's trouble is not this volume's, as long as it may lie elsewhere.
                if (trouble)
                    trouble =
                        tl::unexpected(std::move(removed).error().during("remove volume " + name));
                continue;
            }
            looked[i] = true;
            if (!*removed) continue;
            sweep_soon(pools_[i]);
            // Its twin may lie in the one that was told.
            if (home.empty()) homes_[name] = pool->config().name;
        }
        const auto absent = unseen(name, [&](std::size_t i) { return looked[i]; });
        if (absent && !trouble) co_return trouble;
        if (absent) co_return fail(Errc::unavailable, "remove volume " + name + ": " + *absent);
        if (all_open()) homes_.erase(name);
        co_return Result<>{};
    }

    struct Entry {
        std::unique_ptr<Pool> pool;
        std::string problem;
        std::map<std::string, std::uint64_t> pending = {};  // Promised by calls in progress.
        bool sweeping = false;
        bool sweep_again = false;
        bool may_hold = true;  // What cannot be looked at: this node may have used it.
    };

    /// Room that a call in progress was given; however the call ends, it ends with it.
    class Promise {
    public:
        Promise(Entry& entry, std::string name, std::uint64_t bytes, std::uint64_t& changes)
            : entry_{entry}, name_{std::move(name)}, changes_{changes}
        {
            entry_.pending[name_] = bytes;
        }
        ~Promise()
        {
            entry_.pending.erase(name_);
            ++changes_;
        }
        Promise(const Promise&) = delete;
        Promise& operator=(const Promise&) = delete;

    private:
        Entry& entry_;
        std::string name_;
        std::uint64_t& changes_;
    };

    /// By pool; nothing for those that cannot be looked at.
    using Surveys = std::vector<std::optional<Survey>>;

    Task<Surveys> survey_all()
    {
        Surveys all(pools_.size());
        for (std::size_t i = 0; i < pools_.size(); ++i) {
            auto* pool = pools_[i].pool.get();
            if (!pool->is_open()) continue;
            auto surveyed = co_await disks_.run([&] { return pool->survey(); });
            pools_[i].problem = surveyed ? pool->remark() : surveyed.error().message;
            if (surveyed) all[i] = *std::move(surveyed);
        }
        co_return all;
    }

    std::vector<PoolInfo> infos(const Surveys& all) const
    {
        std::vector<PoolInfo> infos;
        for (std::size_t i = 0; i < pools_.size(); ++i) {
            const auto& config = pools_[i].pool->config();
            PoolInfo info{
                .name = config.name,
                .kind = config.kind == PoolConfig::Kind::image ? "image" : "directory",
                .media = config.media,
                .source = config.path,
                .path = pools_[i].pool->path(),
                .problem = pools_[i].problem,
                .may_hold = pools_[i].may_hold};
            if (all[i]) describe(info, *all[i], pools_[i].pending);
            infos.push_back(std::move(info));
        }
        return infos;
    }

    static void describe(
        PoolInfo& info, const Survey& survey, const std::map<std::string, std::uint64_t>& pending)
    {
        auto measured = survey.measured;
        for (const auto& [name, bytes] : pending) {
            const auto hit = std::ranges::find(survey.volumes, name, &Found::name);
            const auto counted = hit == survey.volumes.end() ? 0 : hit->mark.bytes;
            if (bytes > counted) measured.promised += bytes - counted;
        }
        const auto room = room_of(measured);
        info.state = room.host_full ? PoolState::full : PoolState::ready;
        info.total = room.total;
        info.used = measured.used;
        info.promised = measured.promised;
        info.free = room.free;
        info.foreign = survey.foreign;
        for (const auto& kept : survey.kept) info.kept.push_back(kept.name);
        if (!survey.kept.empty()) info.kept_since = survey.kept.front().since;
        if (room.host_full)
            info.problem = "the disk below " + info.source.string() +
                           " has less than 5 % free: make room there";
    }

    static std::optional<std::size_t> pool_of(const Surveys& all, const std::string& name)
    {
        for (std::size_t i = 0; i < all.size(); ++i)
            if (all[i] &&
                std::ranges::find(all[i]->volumes, name, &Found::name) != all[i]->volumes.end())
                return i;
        return std::nullopt;
    }

    bool all_open() const
    {
        return std::ranges::all_of(pools_, [](const auto& each) { return each.pool->is_open(); });
    }

    std::string absent_pool(std::size_t i) const
    {
        return "pool " + pools_[i].pool->config().name + " cannot be looked at: " +
               (pools_[i].problem.empty() ? "it is not open" : pools_[i].problem);
    }

    /// Why nobody can say that a name that was found nowhere does not exist: a pool that `looked`
    /// denies may hold it. Nothing when all were looked at, or the one that this run knows to be
    /// the name's own.
    template <class Looked>
    std::optional<std::string> unseen(const std::string& name, Looked looked) const
    {
        std::optional<std::string> absent;
        const auto home = homes_.find(name);
        if (home != homes_.end() && home->second.empty()) return std::nullopt;
        for (std::size_t i = 0; i < pools_.size(); ++i) {
            const bool own = home != homes_.end() && home->second == pools_[i].pool->config().name;
            if (looked(i) && own) return std::nullopt;
            if (!looked(i) && (own || pools_[i].may_hold) && (!absent || own))
                absent = absent_pool(i);
        }
        return absent;
    }

    /// The pool that the caller knows the volume to lie in is there, if the node has it at all.
    Result<> check_told(const Surveys& all, const VolumeSpec& spec)
    {
        if (spec.pool.empty()) return {};
        homes_[spec.name] = spec.pool;
        for (std::size_t i = 0; i < all.size(); ++i)
            if (!all[i] && pools_[i].pool->config().name == spec.pool)
                return fail(Errc::unavailable, "volume " + spec.name + ": " + absent_pool(i));
        return {};
    }

    /// For a name that was found nowhere: it may lie in a pool that is absent for a moment, and
    /// made in another one it would come back empty.
    Result<> check_absent(const Surveys& all, const VolumeSpec& spec)
    {
        if (!spec.pool.empty()) return {};
        for (std::size_t i = 0; i < all.size(); ++i)
            if (!all[i] && pools_[i].may_hold && pools_[i].pool->config().media == spec.media)
                return fail(
                    Errc::unavailable,
                    "volume " + spec.name + ": " + absent_pool(i) +
                        "; it may lie there: bring the pool back, or take it out of the config");
        homes_.try_emplace(spec.name);
        return {};
    }

    /// A volume stays in its pool: a greater size must find its room there.
    Result<> check_growth(const Surveys& all, std::size_t where, const VolumeSpec& spec) const
    {
        const auto hit = std::ranges::find(all[where]->volumes, spec.name, &Found::name);
        if (spec.bytes <= hit->mark.bytes) return {};
        const auto info = infos(all)[where];
        const auto more = spec.bytes - hit->mark.bytes;
        if (info.state == PoolState::ready && info.free >= more) return {};
        return fail(
            Errc::exhausted,
            "grow volume " + spec.name + ": " + no_room(more, info.free, info.total, info.media));
    }

    static Volume volume_of(const Entry& entry, const VolumeSpec& spec)
    {
        return {
            .name = spec.name,
            .gwid = spec.gwid,
            .purpose = spec.purpose,
            .bytes = spec.bytes,
            .owner = spec.owner,
            .generation = spec.generation,
            .pool = entry.pool->config().name,
            .path = entry.pool->path() / spec.name};
    }
    Volume volume_of(std::size_t pool, const Found& found) const
    {
        return {
            .name = found.name,
            .gwid = found.mark.gwid,
            .purpose = found.mark.purpose,
            .bytes = found.mark.bytes,
            .owner = found.mark.owner,
            .generation = found.mark.generation,
            .pool = pools_[pool].pool->config().name,
            .path = pools_[pool].pool->path() / found.name,
            .used = found.used};
    }

    void sweep_soon(Entry& entry)
    {
        entry.sweep_again = true;
        if (std::exchange(entry.sweeping, true)) return;
        group_.spawn(sweep(&entry));
    }

    /// The kernel frees an unlinked subvolume in the background, and its quota group can only be
    /// removed afterwards. Gaps grow while it is busy; nothing runs when nothing is left.
    Task<> sweep(Entry* entry)
    {
        auto* pool = entry->pool.get();
        Duration gap = first_sweep;
        for (;;) {
            // Several deletions at once cost one commit.
            co_await sleep_for(gap);
            co_await asio::this_coro::throw_if_cancelled(true);
            const bool news = std::exchange(entry->sweep_again, false);
            const auto left = co_await disks_.run([&] { return pool->sweep(); });
            if (!left)
                config_.log->warn(
                    "quota groups not removed pool={} reason=\"{}\"",
                    pool->config().name,
                    left.error().message);
            if (left && *left == 0 && !entry->sweep_again) break;
            gap = news ? first_sweep : std::min<Duration>(gap * 2, slowest_sweep);
        }
        entry->sweeping = false;
    }

    Config config_;
    Blocking& disks_;
    TaskGroup group_;
    UseNotes notes_;
    std::vector<Entry> pools_;
    std::uint64_t changes_ = 0;  // Calls of ensure that have ended.
    // In which pool this run has wanted or found a name, "" for one that is in none: where a pool
    // is absent, what is gone from its own need not wait for it.
    std::map<std::string, std::string> homes_;
};

}  // namespace

std::unique_ptr<Volumes> make_volumes(Config config, asio::io_context& loop, Blocking& disks)
{
    return std::make_unique<BtrfsVolumes>(std::move(config), loop, disks);
}

}  // namespace znode::storage
