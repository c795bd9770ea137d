#include "zdb/engine.hpp"

#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include <sodium.h>

#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/files.hpp"
#include "leftovers.hpp"
#include "space.hpp"

namespace znode::zdb {
namespace {

class SegmentEngine final : public Engine {
public:
    SegmentEngine(EngineConfig config, Log log)
        : config_{std::move(config)}, catalog_{config_.data / "catalog"}
    {
        shared_.config = &config_;
        shared_.log = std::move(log);
    }

    Result<> open()
    {
        if (sodium_init() < 0) return fail(Errc::internal, "libsodium does not start");
        TRY_DO(take_folders());
        TRY_DO(catalog_.open());
        TRY_DO(settle_leftovers(config_, catalog_, shared_.log));
        TRY_DO(catalog_.settle());
        shared_.reserve.open(config_.data / "reserve", config_.reserve);
        power_lost_ = machine_went_down();
        std::vector<std::pair<std::uint64_t, std::string>> names;
        for (const auto& [name, entry] : catalog_.entries())
            if (!entry.removed) names.emplace_back(entry.uid, name);
        std::ranges::sort(names);
        for (const auto& [uid, name] : names) {
            const CatalogEntry& entry = *catalog_.find(name);
            if (config_.single_mode && entry.settings.mode != config_.mode)
                return fail(
                    Errc::invalid,
                    "namespace " + printable(name) +
                        " has another mode than --mode asks for: start without --mode");
            load(name, entry);
        }
        if (find("default") == nullptr) {
            auto made = create("default");
            if (!made) return tl::unexpected(std::move(made).error());
        }
        return mark_running();
    }

    std::vector<Space*> spaces() override
    {
        std::vector<Space*> all;
        all.reserve(spaces_.size());
        for (const auto& [uid, space] : spaces_) all.push_back(space.get());
        return all;
    }

    Space* find(std::string_view name) override
    {
        const auto found = by_name_.find(name);
        return found == by_name_.end() ? nullptr : found->second;
    }

    Result<Space*> create(std::string_view name) override
    {
        FP("zdb.namespace.create");
        const std::string key{name};
        const CatalogEntry* before = catalog_.find(key);
        if (before != nullptr && !before->removed)
            return fail(Errc::exists, "namespace " + printable(name) + " exists");
        CatalogEntry entry = fresh_entry();
        entry.settings.mode = config_.mode;
        if (before != nullptr) entry.first_id = before->first_id;
        TRY_DO(catalog_.put(key, entry));
        TRY_DO(catalog_.sync());
        return add(std::make_unique<SpaceImpl>(shared_, worker_, key, entry), entry.uid);
    }

    Result<> remove(Space& space) override
    {
        FP("zdb.namespace.remove");
        (void)commit();  // Nobody will ever read what fails here.
        auto& old = impl(space);
        CatalogEntry entry = *catalog_.find(old.name());
        const std::uint64_t uid = entry.uid;
        entry.removed = true;
        entry.owes_gap = false;
        entry.first_id = first_id_after(old, entry);
        entry.settings = Settings{};
        TRY_DO(record(old.name(), entry));
        forget(old, uid);
        return {};
    }

    Result<> configure(Space& space, Settings settings) override
    {
        FP("zdb.namespace.configure");
        auto& changed = impl(space);
        if (settings.mode != changed.settings().mode && changed.used())
            return fail(Errc::invalid, "the mode of a used namespace cannot change");
        CatalogEntry entry = *catalog_.find(changed.name());
        entry.settings = settings;
        TRY_DO(record(changed.name(), entry));
        changed.configure(settings);
        return {};
    }

    Result<> raise_next_id(Space& space, std::uint64_t next_id) override
    {
        auto& raised = impl(space);
        if (next_id < raised.next_id())
            return fail(Errc::invalid, "ids beyond that were given out already");
        CatalogEntry entry = *catalog_.find(raised.name());
        entry.first_id = next_id;
        TRY_DO(record(raised.name(), entry));
        raised.raise_next_id(next_id);
        return {};
    }

    void override_settings(Space& space, Settings settings) override
    {
        impl(space).configure(settings);
    }

    Result<Space*> empty(Space& space) override
    {
        FP("zdb.namespace.empty");
        (void)commit();  // What fails here would be gone now anyway.
        auto& old = impl(space);
        const CatalogEntry before = *catalog_.find(old.name());
        CatalogEntry entry = fresh_entry();
        entry.settings = before.settings;
        entry.first_id = first_id_after(old, before);
        TRY_DO(record(old.name(), entry));
        const std::string name = old.name();
        const Settings settings = old.settings();
        forget(old, before.uid);
        auto* made = add(std::make_unique<SpaceImpl>(shared_, worker_, name, entry), entry.uid);
        made->configure(settings);
        return made;
    }

    Result<Space*> reload(Space& space) override
    {
        (void)commit();  // Undone writes are not on disk, and so not reloaded.
        auto& old = impl(space);
        const CatalogEntry entry = *catalog_.find(old.name());
        auto fresh = std::make_unique<SpaceImpl>(shared_, worker_, old.name(), entry);
        TRY(const bool skipped, fresh->load(entry.owes_gap || (power_lost_ && old.failed())));
        // Ids that were skipped stay skipped.
        if (!old.failed()) fresh->raise_next_id(std::max(fresh->next_id(), old.next_id()));
        fresh->configure(old.settings());
        drop(old, entry.uid);
        auto* added = add(std::move(fresh), entry.uid);
        if (skipped || entry.owes_gap) {
            unrecorded_.insert(added->name());
            if (const auto done = record_skipped(); !done) owe_mark(done.error());
        }
        return added;
    }

    Result<> rotate(Space& space) override
    {
        (void)commit();
        impl(space).rotate();
        return {};
    }

    std::size_t uncommitted() const noexcept override { return shared_.uncommitted; }

    std::vector<Space*> commit() override
    {
        std::vector<Space*> failed;
        for (SpaceImpl* space : shared_.touched) {
            if (!space->commit()) failed.push_back(space);
            if (std::ranges::find(candidates_, space) == candidates_.end())
                candidates_.push_back(space);
        }
        shared_.touched.clear();
        shared_.uncommitted = 0;
        return failed;
    }

    Compaction compact(std::chrono::microseconds budget) override
    {
        // Nobody may write any more, and so ask; room may have come from elsewhere.
        if (shared_.reserve.missing()) (void)shared_.reserve.still_missing();
        // A full disk: whoever has dead records helps, and asks again when there is more room to
        // work in.
        if (swept_ != shared_.reserve.chances()) {
            swept_ = shared_.reserve.chances();
            candidates_.clear();
            for (const auto& [uid, space] : spaces_) candidates_.push_back(space.get());
        }
        auto outcome = Compaction::idle;
        for (std::size_t i = 0; i < candidates_.size();) {
            const auto one = candidates_[i]->compact(budget);
            if (one == Compaction::idle) {
                candidates_[i] = candidates_.back();
                candidates_.pop_back();
                continue;
            }
            outcome = std::max(outcome, one);
            if (one == Compaction::busy) {
                // Each gets its turn.
                std::rotate(candidates_.begin(), candidates_.begin() + 1, candidates_.end());
                break;
            }
            ++i;
        }
        shared_.touched.clear();
        shared_.uncommitted = 0;
        return outcome;
    }

    const EngineConfig& config() const noexcept override { return config_; }

    void stop() override
    {
        (void)commit();
        for (const auto& [uid, space] : spaces_) space->stop();
        // Kept where skipped ids are in no catalog, and when removing fails: then ids skip once
        // more than needed.
        if (record_skipped()) (void)kernel::remove_file(mark());
    }

private:
    static SpaceImpl& impl(Space& space) { return static_cast<SpaceImpl&>(space); }

    Result<> take_folders()
    {
        TRY_DO(kernel::make_folders(config_.data, 0700));
        TRY_DO(kernel::make_folders(config_.index, 0700));
        std::error_code ec;
        if (std::filesystem::equivalent(config_.data, config_.index, ec))
            return fail(
                Errc::invalid,
                "--data and --index must be different folders, both are " + config_.data.string());
        const auto path = (config_.data / "lock").string();
        TRY(lock_, kernel::open_file(path, O_RDWR | O_CREAT, 0600));
        const int err = error_of(::flock(lock_.get(), LOCK_EX | LOCK_NB));
        if (err == EWOULDBLOCK)
            return fail(Errc::exists, config_.data.string() + ": another server has this folder");
        if (err) return fail_errno(err, "lock " + path);

        rlimit files{};
        if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
            files.rlim_cur = files.rlim_max;
            (void)::setrlimit(RLIMIT_NOFILE, &files);  // Fewer open files are only slower.
            shared_.open_limit = std::max<std::size_t>(64, std::size_t{files.rlim_cur} / 2);
        }
        return {};
    }

    std::filesystem::path mark() const { return config_.data / "running"; }

    bool machine_went_down() const
    {
        const auto before = kernel::read_file(mark());
        const auto now = kernel::boot_id();
        return before && now && *before != *now;
    }

    /// The reserve is for this.
    Result<> put(const std::string& name, const CatalogEntry& entry)
    {
        auto done = catalog_.put(name, entry);
        if (!done && done.error().code == Errc::exhausted && shared_.reserve.give_up())
            done = catalog_.put(name, entry);
        return done;
    }

    /// Durable when it returns.
    Result<> record(const std::string& name, const CatalogEntry& entry)
    {
        TRY_DO(put(name, entry));
        return catalog_.sync();
    }

    /// Ids that this run skips the next one must skip as well, though nothing was written behind
    /// them, the tail is whole again and the mark names this boot.
    Result<> record_skipped()
    {
        for (const auto& name : unrecorded_) {
            const auto found = by_name_.find(name);
            if (found == by_name_.end()) continue;  // Its removal has recorded them.
            CatalogEntry entry = *catalog_.find(name);
            entry.owes_gap = found->second->failed();
            if (!entry.owes_gap) entry.first_id = first_id_after(*found->second, entry);
            TRY_DO(put(name, entry));
        }
        if (!unrecorded_.empty()) TRY_DO(catalog_.sync());
        unrecorded_.clear();
        return {};
    }

    Result<> mark_running()
    {
        auto written = write_mark();
        if (!written && shared_.reserve.give_up()) written = write_mark();
        // A full disk must not keep the data from its readers.
        if (written || (unrecorded_.empty() && written.error().code != Errc::exhausted))
            return written;
        owe_mark(written.error());
        return {};
    }

    /// No new id is given before it is written.
    void owe_mark(const Error& why)
    {
        shared_.log->warn("no mark of a running server error=\"{}\"", why.message);
        // An empty one is of no boot: the next start skips what is not recorded. Where even that is
        // refused, the one before has to do.
        if (!unrecorded_.empty())
            (void)kernel::open_file(mark().string(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        shared_.write_mark = [this] { return write_mark().has_value(); };
        shared_.mark_owed = true;
    }

    /// It says that all ids skipped before it are recorded.
    Result<> write_mark()
    {
        TRY_DO(record_skipped());
        FP("zdb.mark.write");
        TRY(const auto boot, kernel::boot_id());
        return kernel::write_file_atomically(mark(), boot, 0600);
    }

    CatalogEntry fresh_entry()
    {
        CatalogEntry entry;
        entry.uid = catalog_.highest_uid() + 1;
        randombytes_buf(entry.hash_key.data(), entry.hash_key.size());
        return entry;
    }

    static std::uint64_t first_id_after(const SpaceImpl& space, const CatalogEntry& entry)
    {
        return space.settings().mode == Mode::sequential ? std::max(entry.first_id, space.next_id())
                                                         : entry.first_id;
    }

    void load(const std::string& name, const CatalogEntry& entry)
    {
        auto space = std::make_unique<SpaceImpl>(shared_, worker_, name, entry);
        const auto skipped = space->load(power_lost_ || entry.owes_gap);
        // One that cannot be loaded skips when it can: then nobody knows of this power loss.
        if (skipped ? *skipped || entry.owes_gap : power_lost_) unrecorded_.insert(name);
        if (!skipped) {
            // One that is damaged is no reason for the others to be down.
            shared_.log->error(
                "namespace is out of service name={} uid={:x} error=\"{}\"",
                printable(name),
                entry.uid,
                skipped.error().message);
            space = std::make_unique<SpaceImpl>(shared_, worker_, name, entry);
            space->close_down();
        }
        candidates_.push_back(add(std::move(space), entry.uid));
    }

    SpaceImpl* add(std::unique_ptr<SpaceImpl> space, std::uint64_t uid)
    {
        auto* added = space.get();
        spaces_.insert_or_assign(uid, std::move(space));
        by_name_.insert_or_assign(added->name(), added);
        return added;
    }

    void drop(SpaceImpl& space, std::uint64_t uid)
    {
        std::erase(candidates_, &space);
        by_name_.erase(space.name());
        spaces_.erase(uid);
    }

    void forget(SpaceImpl& space, std::uint64_t uid)
    {
        const auto data = space.data_folder();
        const auto index = space.index_folder();
        drop(space, uid);
        // What is left of a failure is removed at the next start.
        worker_.post([data, index] {
            std::error_code ignored;
            std::filesystem::remove_all(data, ignored);
            std::filesystem::remove_all(index, ignored);
        });
    }

    EngineConfig config_;
    kernel::Fd lock_;
    Shared shared_;
    Catalog catalog_;
    Worker worker_;
    std::map<std::uint64_t, std::unique_ptr<SpaceImpl>> spaces_;
    std::map<std::string, SpaceImpl*, std::less<>> by_name_;
    std::vector<SpaceImpl*> candidates_;
    std::uint64_t swept_ = 0;  ///< The chance of the reserve that all were asked at.
    bool power_lost_ = false;  ///< Before this run.
    /// Namespaces that skipped ids in this run, or owe that, which the catalog does not say yet.
    std::set<std::string> unrecorded_;
};

}  // namespace

Result<std::unique_ptr<Engine>> open_engine(EngineConfig config, Log log)
{
    auto engine = std::make_unique<SegmentEngine>(std::move(config), std::move(log));
    TRY_DO(engine->open());
    return engine;
}

}  // namespace znode::zdb
