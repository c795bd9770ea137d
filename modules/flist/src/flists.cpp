#include "flist/flists.hpp"

#include <sys/stat.h>

#include <csignal>
#include <set>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "async/child.hpp"
#include "async/name_locks.hpp"
#include "async/task_group.hpp"
#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"
#include "descriptions.hpp"
#include "downloads.hpp"
#include "flist/block.hpp"
#include "flist/mount.hpp"
#include "flist/store.hpp"
#include "kernel/descriptor_store.hpp"
#include "kernel/files.hpp"
#include "kernel/mount.hpp"
#include "server_process.hpp"

namespace znode::flist {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Between two starts of a server that does not live.
constexpr milliseconds first_pause{50};
constexpr milliseconds longest_pause{5000};
constexpr milliseconds least_life{200};

/// What is known of a living mount. Lives as long as the mount is ours.
struct Held {
    explicit Held(MountRecord known) : record{std::move(known)} {}

    MountRecord record;
    kernel::Fd fuse;  // The second holder of the mount: ours. znode-holder is the third.
    std::optional<kernel::Child> server;
    std::uint64_t replaced = 0;
    bool watched = false;
    bool removing = false;
};

std::uint64_t size_on_disk(const fs::path& folder)
{
    std::uint64_t bytes = 0;
    std::error_code failed;
    fs::recursive_directory_iterator entry{folder, failed};
    for (const fs::recursive_directory_iterator end; !failed && entry != end;
         entry.increment(failed)) {
        struct stat info{};
        // Blocks come and go meanwhile.
        if (::lstat(entry->path().c_str(), &info) == 0 && S_ISREG(info.st_mode))
            bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
    }
    return bytes;
}

class ProcessFlists : public Flists {
public:
    ProcessFlists(asio::io_context& loop, Blocking& lane, FlistsConfig config, Log log)
        : loop_{loop},
          lane_{lane},
          config_{std::move(config)},
          log_{std::move(log)},
          downloads_{
              loop, lane, config_.cache_dir / "flists", config_.file_limit, config_.ca_file, log_},
          names_{loop},
          watchers_{loop},
          third_holder_{config_.run_dir}
    {
    }

    Task<Result<>> recover() override
    {
        CO_TRY_DO(make_folders());
        std::error_code ec;
        for (const auto& entry : fs::directory_iterator{states(), ec})
            if (auto known = co_await recover_one(entry.path()); !known)
                log_->warn(
                    "mount not recovered state={} error={}",
                    entry.path().string(),
                    known.error().message);
        if (ec) co_return fail_errno(ec.value(), "list " + states().string());
        co_await lane_.run([&] { drop_unused(); });
        co_return Result<>{};
    }

    Task<Result<MountedFlist>> ensure(FlistSpec spec) override
    {
        CO_TRY_DO(make_folders());
        CO_TRY(const auto store, open_store(spec.store_url));

        auto local = co_await download(spec);
        if (!local) co_return tl::unexpected(std::move(local).error().during("flist"));

        MountRecord record;
        record.flist = local->path;
        record.md5 = local->md5;
        record.url = without_password(spec.url);
        record.store = store->text();
        record.uid_shift = spec.uid_shift;
        record.remote_store = spec.remote_store;
        record.key = key_of(spec, local->md5);
        record.path = mounts() / record.key;
        const std::string key = record.key;
        const auto entered = co_await names_.enter(key);
        co_return co_await ensure_mounted(std::move(record), spec.store_url);
    }

    Task<Result<>> remove(std::string key) override
    {
        if (key.empty() || key.find('/') != std::string::npos || key.starts_with('.'))
            co_return fail(Errc::invalid, printable(key, 60) + " is no key of a flist");
        const auto entered = co_await names_.enter(key);
        co_return co_await remove_entered(key);
    }

    Task<Result<std::vector<FlistStatus>>> list() override
    {
        std::vector<FlistStatus> all;
        std::vector<fs::path> notes;
        for (const auto& [key, held] : held_) {
            notes.push_back(description_of(held->record.flist));
            FlistStatus status;
            status.key = key;
            status.path = held->record.path;
            status.md5 = held->record.md5;
            status.url = held->record.url;
            status.store = held->record.store;
            status.uid_shift = held->record.uid_shift;
            status.server = held->record.pid;
            const auto mounted = kernel::is_mounted(held->record.path);
            const auto started = kernel::start_time_of(held->record.pid);
            status.alive = mounted && *mounted && started && *started == held->record.start_time;
            status.replaced = held->replaced;
            all.push_back(std::move(status));
        }
        co_await lane_.run([&] {
            for (std::size_t i = 0; i < all.size(); ++i) {
                const auto text = kernel::read_file(notes[i]);
                if (text) take_sizes(*text, all[i]);
            }
        });
        co_return all;
    }

    Task<std::uint64_t> cache_used() override
    {
        const auto blocks = config_.cache_dir / "blocks";
        co_return co_await lane_.run([&] { return size_on_disk(blocks); });
    }

    Task<> stop() override
    {
        co_await watchers_.drain();
        held_.clear();
    }

private:
    fs::path mounts() const { return config_.run_dir / "flist"; }
    fs::path states() const { return config_.run_dir / "flist-state"; }

    Result<> make_folders() const
    {
        // Runtimes below a user namespace walk through the first, the second has secrets.
        TRY_DO(kernel::make_folders(mounts(), 0711));
        TRY_DO(kernel::make_folders(states(), 0700));
        return {};
    }

    /// On a lane. What a state names is in use: a server that is replaced reads its flist again.
    void drop_unused() const
    {
        std::set<std::string> used;
        std::error_code ec;
        for (const auto& entry : fs::directory_iterator{states(), ec})
            if (const auto record = read_record(entry.path())) used.insert(record->md5);
        if (ec) return;
        downloads_.drop(used, config_.flists_limit);
    }

    static std::string key_of(const FlistSpec& spec, const std::string& md5)
    {
        std::string described = md5 + '\n' + std::to_string(spec.uid_shift) + '\n';
        described += spec.store_url.reveal();
        auto key = to_hex(blake2b(described)).substr(0, 16);
        wipe(described);
        return key;
    }

    Task<Result<LocalFlist>> download(FlistSpec spec)
    {
        const auto entered = co_await names_.enter(spec.url);
        co_return co_await downloads_.get(spec.url, spec.md5);
    }

    Task<Result<MountedFlist>> ensure_mounted(MountRecord record, Secret store_url)
    {
        CO_TRY(auto mounted, co_await describe(&record));
        if (const auto known = held_.find(record.key); known != held_.end()) {
            const auto there = kernel::is_mounted(known->second->record.path);
            if (there && *there && known->second->watched) {
                CO_TRY_DO(follow(record, *known->second));
                co_return mounted;
            }
            // Somebody unmounted it behind our back, or who made it was cancelled before anybody
            // served it: begin anew.
            CO_TRY_DO(co_await remove_entered(record.key));
        }
        auto made = co_await make_mount(record, store_url);
        if (!made) {
            (void)co_await remove_entered(record.key);  // The error that counts is the first.
            co_return tl::unexpected(std::move(made).error().during("mount flist " + record.url));
        }
        co_return mounted;
    }

    /// Servers started from now on keep to this order's word; former versions wrote down none.
    Result<> follow(const MountRecord& wanted, Held& held) const
    {
        if (held.record.remote_store == wanted.remote_store) return {};
        auto changed = held.record;
        changed.remote_store = wanted.remote_store;
        TRY_DO(write_record(states() / changed.key, changed));
        held.record = changed;
        return {};
    }

    /// Reads the flist in a process of its own: it comes from a stranger.
    Task<Result<MountedFlist>> describe(const MountRecord* record)
    {
        const auto note = description_of(record->flist);
        // Several keys may have one flist, and so one note. Entered after the key, always.
        const auto entered = co_await names_.enter(note.string());
        MountedFlist mounted{.key = record->key, .path = record->path, .md5 = record->md5};
        const auto known = co_await lane_.run([&] { return kernel::read_file(note); });
        if (known) {
            take_metadata(*known, mounted);
            co_return mounted;
        }
        kernel::ChildSpec child;
        child.argv = {
            config_.program, "info", "--json", "--memory-limit", "4GiB", record->flist.string()};
        child.cgroup_procs = config_.cgroup_procs;
        CO_TRY(const auto output, co_await run_child(std::move(child), {}, seconds{120}));
        if (!output.exit.good()) {
            const auto said = trim(output.err);
            co_return fail(
                Errc::corrupt,
                "flist " + record->url + ": " +
                    (said.empty() ? output.exit.text() : printable(said, 400)));
        }
        CO_TRY_DO(co_await lane_.run(
            [&] { return kernel::write_file_atomically(note, output.out, 0600); }));
        take_metadata(output.out, mounted);
        co_return mounted;
    }

    Task<Result<>> make_mount(MountRecord record, Secret store_url)
    {
        const auto state = states() / record.key;
        CO_TRY_DO(kernel::make_folders(state, 0700));
        CO_TRY_DO(kernel::make_folders(record.path, 0755));
        CO_TRY_DO(kernel::unmount_all(record.path, true));  // Dead ones of earlier runs.
        CO_TRY_DO(kernel::remove_file(state / "takeover"));
        CO_TRY_DO(kernel::write_file_atomically(state / "store", store_url.reveal(), 0600));
        // Known before it exists: a run that dies from here on finds it and clears it away.
        CO_TRY_DO(write_record(state, record));
        CO_FP("flist.mount.attach");

        auto held = std::make_shared<Held>(record);
        CO_TRY(held->fuse, attach_fuse(record.path, "znode-" + record.key));
        held_[record.key] = held;
        co_await keep(record.key, &held->fuse);
        CO_FP("flist.mount.serve");
        CO_TRY_DO(co_await serve_with_new_process(held));
        begin_watch(held);
        log_->info("flist mounted key={} md5={} pid={}", record.key, record.md5, held->record.pid);
        co_return Result<>{};
    }

    Task<Result<>> serve_with_new_process(std::shared_ptr<Held> held)
    {
        ServerSpec spec;
        spec.program = config_.program;
        spec.record = held->record;
        spec.state = states() / held->record.key;
        spec.cache = config_.cache_dir / "blocks";
        spec.cache_limit = config_.cache_limit;
        spec.cgroup_procs = config_.cgroup_procs;
        CO_TRY(auto started, start_server(spec, held->fuse));
        held->record.pid = started.child.pid();
        CO_TRY(held->record.start_time, kernel::start_time_of(held->record.pid));
        CO_TRY_DO(write_record(spec.state, held->record));
        CO_FP("flist.mount.started");
        held->server.emplace(std::move(started.child));
        auto ready = co_await with_deadline(
            seconds{30}, "znode-flist", wait_ready(std::move(started.ready)));
        if (!ready) (void)held->server->signal(SIGKILL);  // It may be gone already.
        co_return ready;
    }

    Task<Result<>> wait_ready(kernel::Fd pipe)
    {
        asio::posix::stream_descriptor from{loop_, pipe.release()};
        char word[16];
        auto [ec, got] = co_await from.async_read_some(asio::buffer(word), as_result);
        if (!ec && got > 0) co_return Result<>{};
        co_return fail(Errc::unavailable, "the server ended before it was ready");
    }

    void begin_watch(const std::shared_ptr<Held>& held)
    {
        held->watched = true;
        watchers_.spawn(watch(held));
    }

    /// Takes charge of a server whose start nobody wrote down: the agent that started it died.
    /// False when there is none.
    bool adopt_owner(Held& held)
    {
        const auto state = states() / held.record.key;
        auto owner = owner_of(state);
        if (!owner) return false;
        const auto started = kernel::start_time_of(owner->pid());
        if (!started) return false;
        held.record.pid = owner->pid();
        held.record.start_time = *started;
        held.server.emplace(*std::move(owner));
        if (const auto written = write_record(state, held.record); !written)
            log_->warn("flist server not written down error={}", written.error().message);
        return true;
    }

    /// Replaces a server that dies, for as long as its mount is there.
    Task<> watch(std::shared_ptr<Held> held)
    {
        milliseconds pause{0};
        for (;;) {
            const auto begun = Clock::now();
            if (held->server) (void)co_await wait_for_exit(&*held->server);  // Why is in its log.
            co_await asio::this_coro::throw_if_cancelled(true);
            if (held->removing) co_return;
            const auto there = kernel::is_mounted(held->record.path);
            if (there && !*there) {
                log_->info("flist was unmounted key={}", held->record.key);
                held->fuse = {};
                co_return;
            }
            // Programs wait for their files meanwhile: only one that dies at once is started ever
            // more rarely.
            pause = Clock::now() - begun >= least_life
                        ? milliseconds{0}
                        : std::clamp(pause * 2, first_pause, longest_pause);
            co_await sleep_for(pause);
            if (held->removing) co_return;
            // One that a dead agent started may have come to life only now.
            if (adopt_owner(*held)) {
                log_->info(
                    "flist server adopted key={} pid={}", held->record.key, held->record.pid);
                continue;
            }
            const auto replaced = co_await serve_with_new_process(held);
            ++held->replaced;
            if (replaced)
                log_->warn(
                    "flist server died and was replaced key={} pid={}",
                    held->record.key,
                    held->record.pid);
            else
                log_->error(
                    "flist server died and could not be replaced key={} error={}",
                    held->record.key,
                    replaced.error().message);
        }
    }

    Task<Result<>> recover_one(fs::path state)
    {
        const std::string key = state.filename();
        if (held_.contains(key)) co_return Result<>{};
        auto record = read_record(state);
        if (!record) {
            // Died before the first record was whole; nothing was mounted then.
            CO_TRY_DO(clear_away(key));
            co_return tl::unexpected(std::move(record).error());
        }
        CO_TRY(const bool there, kernel::is_mounted(record->path));
        if (!there) co_return clear_away(key);
        auto held = std::make_shared<Held>(*std::move(record));
        auto server = kernel::Child::adopt(held->record.pid, held->record.start_time);
        if (server)
            held->server.emplace(*std::move(server));
        else
            (void)adopt_owner(*held);  // Where there is none, the watcher starts one.
        auto fuse = held->server ? fuse_of(*held->server) : Result<kernel::Fd>{server_is_gone()};
        if (fuse) {
            co_await keep(key, &*fuse);  // The third holder may be a new one.
        } else {
            held->server.reset();
            fuse = co_await lane_.run([&] { return third_holder_.get(held_name(key)); });
        }
        if (!fuse) {
            log_->warn("dead flist mount detached key={} reason={}", key, fuse.error().message);
            co_return clear_away(key);
        }
        held->fuse = *std::move(fuse);
        held_[key] = held;
        // Without a server the watcher starts one: who reads meanwhile only waits.
        begin_watch(held);
        log_->info("flist mount adopted key={} pid={}", key, held->server ? held->record.pid : 0);
        co_return Result<>{};
    }

    static std::string held_name(const std::string& key) { return "fuse-" + key; }
    static tl::unexpected<Error> server_is_gone()
    {
        return fail(Errc::not_found, "its server is gone");
    }

    /// Gives a duplicate of the mount's descriptor to the third holder.
    Task<> keep(std::string key, const kernel::Fd* fuse)
    {
        const auto kept =
            co_await lane_.run([&] { return third_holder_.put(held_name(key), *fuse); });
        if (!kept)
            log_->warn("mount has two holders only key={} reason={}", key, kept.error().message);
    }

    /// Unmounts what is there, and forgets.
    Result<> clear_away(const std::string& key)
    {
        // Where there is no third holder it holds nothing.
        (void)third_holder_.drop(held_name(key));
        TRY_DO(kernel::unmount_all(mounts() / key, true));
        FP("flist.remove.unmounted");
        std::error_code ec;
        fs::remove(mounts() / key, ec);
        if (ec) return fail_errno(ec.value(), "remove " + (mounts() / key).string());
        fs::remove_all(states() / key, ec);
        if (ec) return fail_errno(ec.value(), "remove " + (states() / key).string());
        return {};
    }

    Task<Result<>> remove_entered(std::string key)
    {
        std::shared_ptr<Held> held;
        if (const auto known = held_.find(key); known != held_.end()) held = known->second;
        if (held) {
            held->removing = true;
            const auto path = held->record.path;
            auto unmounted = co_await lane_.run([&] { return kernel::unmount_all(path, true); });
            if (!unmounted) {
                held->removing = false;
                co_return unmounted;
            }
            held->fuse = {};
            (void)co_await lane_.run([&] { return third_holder_.drop(held_name(key)); });
            if (held->server) {
                // Without mount and descriptor its loop ends by itself.
                const auto ended =
                    co_await with_deadline(seconds{3}, "end server", wait_for_exit(&*held->server));
                if (!ended && ended.error().code == Errc::timeout) {
                    (void)held->server->signal(SIGKILL);  // It may end at this very moment.
                    (void)co_await with_deadline(
                        seconds{3}, "kill server", wait_for_exit(&*held->server));
                }
            }
            held_.erase(key);
        }
        co_return clear_away(key);
    }

    asio::io_context& loop_;
    Blocking& lane_;
    FlistsConfig config_;
    Log log_;
    Downloads downloads_;
    std::map<std::string, std::shared_ptr<Held>> held_;
    NameLocks names_;
    TaskGroup watchers_;
    kernel::DescriptorStore third_holder_;
};

}  // namespace

std::unique_ptr<Flists> make_flists(
    asio::io_context& loop, Blocking& lane, FlistsConfig config, Log log)
{
    return std::make_unique<ProcessFlists>(loop, lane, std::move(config), std::move(log));
}

}  // namespace znode::flist
