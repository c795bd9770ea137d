#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <thread>

#include "async/child.hpp"
#include "async/event.hpp"
#include "async/task_group.hpp"
#include "base/failpoint.hpp"
#include "base/hex.hpp"
#include "base/text.hpp"
#include "bundle.hpp"
#include "container/containers.hpp"
#include "container/entry_point.hpp"
#include "container/oci_spec.hpp"
#include "container/seccomp.hpp"
#include "kernel/files.hpp"
#include "kernel/mount.hpp"
#include "kernel/userns.hpp"
#include "monitor.hpp"
#include "teardown.hpp"

namespace znode::container {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto mount_patience = seconds{60};    // A cold flist may have to be fetched first.
constexpr auto start_pause = milliseconds{50};  // Between two looks at a runtime.
constexpr std::size_t shown_lines = 5;

/// What the agent knows of a container that runs, besides what lies in its bundle.
struct Watched {
    explicit Watched(asio::io_context& loop) : ended{loop} {}
    Event ended;
    std::optional<ContainerExit> exit;
    bool removing = false;  ///< Its end is no news to anybody.
};

std::string errno_text(int err) { return std::generic_category().message(err); }

class CrunContainers final : public Containers {
public:
    CrunContainers(
        ContainersConfig config,
        kernel::Cgroups cgroups,
        asio::io_context& loop,
        Blocking& blocking,
        Log log,
        std::string filter,
        std::vector<std::string> doors)
        : config_{std::move(config)},
          cgroups_{std::move(cgroups)},
          loop_{loop},
          blocking_{blocking},
          log_{std::move(log)},
          filter_{std::move(filter)},
          doors_{std::move(doors)},
          exits_{loop},
          watchers_{loop}
    {
    }

    Task<Result<Namespaces>> prepare_namespaces(std::string gwid, IdRange ids) override;
    Task<Result<Running>> ensure(ContainerSpec spec) override;
    Task<Result<ContainerExit>> stop(std::string gwid, Duration grace) override;
    Task<Result<>> remove(std::string gwid, bool keep_namespaces) override;
    Task<Result<std::vector<Found>>> list() override;
    Task<ContainerExit> next_exit() override { return exits_.pop(); }
    Task<> drain() override { return watchers_.drain(); }

private:
    Task<Result<Running>> start(const ContainerSpec* spec, const Namespaces* namespaces);
    Task<Result<Startup>> prepare_root(const ContainerSpec* spec);
    Result<> write_bundle(
        const ContainerSpec& spec, const Program& program, const Namespaces& namespaces);
    std::shared_ptr<Watched> watch(const std::string& gwid, std::optional<kernel::Child> monitor);
    Task<> watch_one(
        std::string gwid, std::shared_ptr<Watched> watched, std::optional<kernel::Child> monitor);
    Task<Result<kernel::Child>> replace_monitor(std::string gwid);
    Task<ContainerExit> exit_of(std::string gwid, PageFacts page);
    std::string runtime_complaint(const std::string& gwid) const;

    ContainersConfig config_;
    kernel::Cgroups cgroups_;
    asio::io_context& loop_;
    Blocking& blocking_;
    Log log_;
    std::string filter_;              // Base64.
    std::vector<std::string> doors_;  // cgroup.procs files of the monitors' cgroup.
    std::map<std::string, std::shared_ptr<Watched>> watched_;
    Mailbox<ContainerExit> exits_;
    TaskGroup watchers_;
    Teardown teardown_{config_, cgroups_, blocking_, log_};
};

Running running_of(const PageFacts& page) { return {page.pid, page.pid_start, page.started_ns}; }

Task<Result<Namespaces>> CrunContainers::prepare_namespaces(std::string gwid, IdRange ids)
{
    const Places places{config_, gwid};
    const auto pins = places.namespaces();
    if (kernel::is_pinned(pins.user) && kernel::is_pinned(pins.network)) co_return pins;

    CO_FP("container.namespaces");
    auto made = co_await blocking_.run([&]() -> Result<> {
        TRY_DO(kernel::make_folders(places.pins.parent_path(), 0700));
        TRY_DO(kernel::make_folders(places.pins, 0700));
        return kernel::make_user_and_network(ids.first, ids.length, pins.user, pins.network);
    });
    if (!made) co_return tl::unexpected(std::move(made).error().during("container " + gwid));
    co_return pins;
}

Task<Result<Running>> CrunContainers::ensure(ContainerSpec spec)
{
    const auto intent = "container " + spec.gwid;
    CO_TRY_DO(check_spec(spec, std::max(1U, std::thread::hardware_concurrency())));
    if (spec.interactive && config_.corex_program.empty())
        co_return fail(Errc::unsupported, intent + ": this node has no CoreX");

    const Places places{config_, spec.gwid};
    if (const auto page = read_page(places.bundle);
        page && page->phase == MonitorPhase::running && page->container_lives()) {
        (void)watch(spec.gwid, std::nullopt);
        co_return running_of(*page);
    }
    // One that ended this very moment has not been told of yet, and is not to vanish untold.
    if (const auto known = watched_.find(spec.gwid);
        known != watched_.end() && !known->second->exit && !known->second->removing) {
        const auto watched = known->second;
        (void)co_await watched->ended.wait_for(kill_patience);
        if (watched->exit)
            co_return fail(Errc::unavailable, intent + ": it ended: " + watched->exit->text());
    }
    // Whatever an earlier run or a failed start left, processes without a page included: the
    // runtime itself would start a second copy beside them.
    CO_TRY_DO(co_await remove(spec.gwid, true));
    auto namespaces = co_await prepare_namespaces(spec.gwid, spec.ids);
    if (!namespaces) co_return tl::unexpected(std::move(namespaces).error());

    auto running = co_await start(&spec, &*namespaces);
    if (running) co_return running;

    if (auto removed = co_await remove(spec.gwid, true); !removed)
        log_->warn("failed start left things id={} error={}", spec.gwid, removed.error().message);
    co_return tl::unexpected(std::move(running).error().during(intent));
}

Task<Result<Startup>> CrunContainers::prepare_root(const ContainerSpec* spec)
{
    const Places places{config_, spec->gwid};
    CO_TRY(const auto options, overlay_options(spec->root));
    kernel::ChildSpec child;
    child.argv = {config_.monitor_program, "--prepare-root", places.root, options};
    auto output = co_await run_child(std::move(child), {}, mount_patience);
    if (!output) co_return tl::unexpected(std::move(output).error().during("mount the root"));
    if (!output->exit.good())
        co_return fail(Errc::unavailable, "mount the root: " + printable(trim(output->err), 400));
    auto startup = parse_startup(output->out);
    if (startup) co_return startup;
    // As with the original, a broken file counts as none; the entry point may well be given.
    log_->info(
        "startup file ignored id={} error={}", spec->gwid, printable(startup.error().message, 200));
    co_return Startup{};
}

Result<> CrunContainers::write_bundle(
    const ContainerSpec& spec, const Program& program, const Namespaces& namespaces)
{
    const Places places{config_, spec.gwid};
    const OciInputs inputs{
        .spec = &spec,
        .program = &program,
        .namespaces = namespaces,
        .bundle = places.bundle,
        .root = places.root,
        .init_program = config_.init_program,
        .corex_program = config_.corex_program,
        .cgroups_path = cgroups_.root() + "/" + spec.gwid,
        .seccomp_filter = filter_,
    };
    const auto config = build_oci_spec(inputs);
    const auto settings = "1 " + std::to_string(spec.ids.first) + " " +
                          std::to_string(spec.logs.segment_bytes) + " " +
                          std::to_string(spec.logs.segments) + "\n";
    TRY_DO(kernel::write_file_atomically(places.bundle / "settings", settings, 0600));
    TRY_DO(kernel::write_file_atomically(places.bundle / "owner", spec.owner, 0600));
    TRY_DO(kernel::write_file_atomically(places.bundle / "resolv.conf", resolv_conf(spec), 0644));
    TRY_DO(kernel::write_file_atomically(places.bundle / "hosts", hosts_file(spec), 0644));
    return kernel::write_file_atomically(places.bundle / "config.json", config.reveal(), 0600);
}

Task<Result<Running>> CrunContainers::start(const ContainerSpec* spec, const Namespaces* namespaces)
{
    const Places places{config_, spec->gwid};
    CO_FP("container.folders");
    CO_TRY_DO(co_await blocking_.run([&] { return make_places(places, *spec); }));
    CO_FP("container.root");
    CO_TRY(const auto startup, co_await prepare_root(spec));
    Program program{.argv = {"corex"}, .folder = "/", .environment = spec->environment};
    auto chosen = choose_program(
        spec->interactive ? "corex" : spec->entry_point,
        spec->working_folder,
        spec->environment,
        startup);
    if (!chosen) co_return tl::unexpected(std::move(chosen).error());
    CO_FP("container.bundle");
    CO_TRY_DO(co_await blocking_.run([&] { return write_bundle(*spec, *chosen, *namespaces); }));

    CO_FP("container.monitor");
    auto monitor =
        co_await start_monitor(&config_, spec->gwid, spec->ids.first, spec->logs, doors_, false);
    if (!monitor) co_return tl::unexpected(std::move(monitor).error());
    CO_FP("container.started");
    const auto& answer = monitor->answer;
    if (!answer.started) {
        (void)monitor->process.wait(milliseconds{500});  // Reaped; it ends by itself.
        if (answer.step == "exec") co_return fail_program(*chosen, answer.number);
        if (answer.step == "crun")
            co_return fail(
                Errc::unavailable,
                "the runtime refused it (exit code " + std::to_string(answer.number) +
                    "): " + runtime_complaint(spec->gwid));
        if (answer.step == "confine")
            co_return fail(
                Errc::unsupported,
                "the runtime did not apply the seccomp filter: use crun 1.8.1 or newer");
        co_return fail(
            Errc::unavailable, "monitor: " + answer.step + ": " + errno_text(answer.number));
    }
    CO_TRY(const auto page, read_page(places.bundle));
    (void)watch(spec->gwid, std::move(monitor->process));
    log_->info("container started id={} pid={}", spec->gwid, page.pid);
    co_return running_of(page);
}

/// The last line of the runtime's own log.
std::string CrunContainers::runtime_complaint(const std::string& gwid) const
{
    const auto text = kernel::read_file(Places{config_, gwid}.bundle / "crun.log");
    if (!text || trim(*text).empty()) return "it did not say why";
    const auto lines = split(trim(*text), '\n');
    return printable(lines.back(), 400);
}

std::shared_ptr<Watched> CrunContainers::watch(
    const std::string& gwid, std::optional<kernel::Child> monitor)
{
    auto& entry = watched_[gwid];
    if (entry && !entry->exit) return entry;
    entry = std::make_shared<Watched>(loop_);
    watchers_.spawn(watch_one(gwid, entry, std::move(monitor)));
    return entry;
}

/// Follows one container to its end, through as many monitors as it takes.
Task<> CrunContainers::watch_one(
    std::string gwid, std::shared_ptr<Watched> watched, std::optional<kernel::Child> monitor)
{
    const Places places{config_, gwid};
    PageFacts last;
    auto pause = Duration{milliseconds{100}};
    int failures = 0;
    for (;;) {
        const auto page = read_page(places.bundle);
        if (!page) break;  // Removed beneath us.
        last = *page;
        if (page->phase == MonitorPhase::ended || page->phase == MonitorPhase::failed) break;
        if (!monitor && page->monitor_lives())
            if (auto adopted = kernel::Child::adopt(page->monitor_pid, page->monitor_start))
                monitor = std::move(*adopted);
        if (!monitor) {
            log_->warn("monitor is gone, starting another id={}", gwid);
            auto replaced = co_await replace_monitor(gwid);
            if (replaced) {
                monitor = std::move(*replaced);
                pause = milliseconds{100};
                failures = 0;
            } else {
                log_->error("no monitor id={} error={}", gwid, replaced.error().message);
                // A dead container's last words are worth some tries, a living one all of them.
                if (++failures >= 5 && !page->container_lives()) break;
                co_await sleep_for(pause);
                pause = std::min<Duration>(pause * 2, seconds{60});
                continue;
            }
        }
        (void)co_await wait_for_exit(&*monitor);  // How it ended is in the page, or nowhere.
        monitor.reset();
    }
    if (last.exit == ExitKind::unknown) read_status(places.bundle, last);
    auto exit = co_await exit_of(gwid, last);
    watched->exit = exit;
    watched->ended.notify();
    if (watched->removing) co_return;
    log_->info("container ended id={} how=\"{}\"", gwid, exit.text());
    exits_.push(std::move(exit));
}

Task<Result<kernel::Child>> CrunContainers::replace_monitor(std::string gwid)
{
    const Places places{config_, gwid};
    CO_TRY(const auto text, kernel::read_file(places.bundle / "settings", 4096));
    const auto fields = split(trim(text), ' ');
    if (fields.size() != 4 || fields[0] != "1")
        co_return fail(Errc::corrupt, "settings of container " + gwid + " make no sense");
    const auto owner = to_number<std::uint32_t>(fields[1]).value_or(0);
    const LogLimits logs{
        to_number<std::uint64_t>(fields[2]).value_or(std::uint64_t{10} << 20U),
        to_number<std::uint32_t>(fields[3]).value_or(5)};
    CO_FP("container.attach");
    CO_TRY(auto monitor, co_await start_monitor(&config_, gwid, owner, logs, doors_, true));
    if (!monitor.answer.started)
        co_return fail(
            Errc::unavailable,
            "monitor: " + monitor.answer.step + ": " + errno_text(monitor.answer.number));
    co_return std::move(monitor.process);
}

Task<ContainerExit> CrunContainers::exit_of(std::string gwid, PageFacts page)
{
    ContainerExit exit{.gwid = gwid, .number = page.exit_number, .ended_ns = page.ended_ns};
    switch (page.exit) {
        case ExitKind::exited:
            exit.kind = ContainerExit::Kind::exited;
            break;
        case ExitKind::signaled:
            exit.kind = ContainerExit::Kind::signaled;
            break;
        case ExitKind::exec_errno:
            exit.kind = ContainerExit::Kind::not_executed;
            break;
        case ExitKind::unknown:
            break;
    }
    // Asked now: these counters vanish with the cgroup.
    const auto events = cgroups_.events(gwid);
    exit.out_of_memory = events.oom_kills > 0;
    exit.out_of_pids = events.forks_refused > 0;
    const Places places{config_, gwid};
    exit.last_lines = co_await blocking_.run([&] { return last_lines(places.logs, shown_lines); });
    co_return exit;
}

/// Whether PID 1 is still to come.
bool is_starting(const fs::path& bundle)
{
    const auto page = read_page(bundle);
    return page && page->phase == MonitorPhase::starting && page->pid == 0;
}

Task<Result<ContainerExit>> CrunContainers::stop(std::string gwid, Duration grace)
{
    const Places places{config_, gwid};
    const auto page = read_page(places.bundle);
    if (!page) co_return ContainerExit{.gwid = gwid};
    if (!page->container_lives() && page->phase == MonitorPhase::ended)
        co_return co_await exit_of(gwid, *page);

    const auto watched = watch(gwid, std::nullopt);
    CO_FP("container.stop");
    // While the runtime is at work there is nobody to signal yet.
    const auto end = Clock::now() + kill_patience;
    while (!watched->exit && is_starting(places.bundle) && Clock::now() < end)
        (void)co_await watched->ended.wait_for(start_pause);
    if (!watched->exit && is_starting(places.bundle))
        co_return fail(
            Errc::timeout, "stop container " + gwid + ": its runtime is at work for 10 s already");
    for (const auto& [signal, patience] :
         {std::pair{SIGTERM, grace}, std::pair{SIGKILL, Duration{kill_patience}}}) {
        if (watched->exit) break;
        if (signal == SIGTERM && grace <= Duration::zero()) continue;
        // Read again: who was not there before may be now. Gone meanwhile: what was wanted.
        if (const auto now = read_page(places.bundle); now && now->pid != 0)
            if (const auto process = kernel::Child::adopt(now->pid, now->pid_start))
                (void)process->signal(signal);
        (void)co_await watched->ended.wait_for(patience);
    }
    if (!watched->exit)
        co_return fail(
            Errc::timeout, "stop container " + gwid + ": still there 10 s after SIGKILL");
    co_return *watched->exit;
}

Task<Result<>> CrunContainers::remove(std::string gwid, bool keep_namespaces)
{
    const Places places{config_, gwid};
    if (const auto known = watched_.find(gwid); known != watched_.end())
        known->second->removing = true;

    // PID 1 first: the kernel would let us take everything from under it.
    CO_FP("container.remove.kill");
    if (const auto page = read_page(places.bundle)) {
        CO_TRY_DO(co_await end_process(page->pid, page->pid_start));
        if (const auto known = watched_.find(gwid); known != watched_.end()) {
            // Its monitor puts the last output away and ends by itself.
            if (!known->second->exit) (void)co_await known->second->ended.wait_for(kill_patience);
        } else if (page->monitor_lives()) {
            if (const auto monitor = kernel::Child::adopt(page->monitor_pid, page->monitor_start))
                (void)co_await run_until(sleep_for(kill_patience), wait_for_exit(&*monitor));
        }
        CO_TRY_DO(co_await end_process(page->monitor_pid, page->monitor_start));
    }
    watched_.erase(gwid);

    co_return co_await teardown_.take_apart(gwid, keep_namespaces);
}

Task<Result<std::vector<Found>>> CrunContainers::list()
{
    std::set<std::string> names;
    for (const char* folder : {"c", "root", "ns"}) {
        std::error_code ec;
        for (fs::directory_iterator it{config_.run_dir / folder, ec}, end; !ec && it != end;
             it.increment(ec)) {
            // Files in "ns" are pins of networks, which are not ours.
            std::error_code unknown;
            if (it->is_directory(unknown)) names.insert(it->path().filename());
        }
    }
    CO_TRY(const auto groups, cgroups_.names());
    for (const auto& group : groups)
        if (group.find('-') != std::string::npos) names.insert(group);  // A gwid, not "mon".

    std::vector<Found> found;
    for (const auto& gwid : names) {
        const Places places{config_, gwid};
        Found one{.gwid = gwid, .use = cgroups_.use(gwid)};
        one.owner = kernel::read_file(places.bundle / "owner").value_or("");
        if (const auto page = read_page(places.bundle)) {
            one.monitor_version = page->version;
            const bool over =
                page->phase == MonitorPhase::ended || page->phase == MonitorPhase::failed;
            // PID 1 lives on for as long as nobody has fetched its program's last lines.
            auto said = *page;
            said.exit = ExitKind::unknown;
            read_status(places.bundle, said);
            const bool program_lives = page->container_lives() && said.exit == ExitKind::unknown;
            if (program_lives && page->phase == MonitorPhase::running) {
                one.running = running_of(*page);
                (void)watch(gwid, std::nullopt);
            } else if (!over && page->pid != 0) {
                // Both died while no agent was there: a new monitor takes what was said last.
                const auto watched = watch(gwid, std::nullopt);
                watched->removing = true;  // Told here and not as an event.
                if (!watched->exit) (void)co_await watched->ended.wait_for(kill_patience);
                one.exit = watched->exit;
            } else if (page->phase == MonitorPhase::ended) {
                one.exit = co_await exit_of(gwid, *page);
            }
        }
        found.push_back(std::move(one));
    }
    co_return found;
}

}  // namespace

std::string ContainerExit::text() const
{
    std::string text = "ended, nobody saw how";
    if (kind == Kind::exited) text = "exit code " + std::to_string(number);
    if (kind == Kind::signaled) text = "killed by signal " + std::to_string(number);
    if (kind == Kind::not_executed) text = "not executed: " + errno_text(number);
    if (out_of_memory) text += ", out of memory";
    if (out_of_pids) text += ", out of processes";
    return text;
}

Result<std::unique_ptr<Containers>> make_crun_containers(
    ContainersConfig config,
    kernel::Cgroups cgroups,
    asio::io_context& loop,
    Blocking& blocking,
    Log log)
{
    for (const auto& program : {config.runtime, config.monitor_program, config.init_program})
        if (::access(program.c_str(), X_OK) < 0)
            return fail(
                Errc::not_found,
                program.string() + " is missing or not executable: install it or set its path");
    TRY(const auto filter, compile_seccomp_filter());
    TRY_DO(kernel::make_folders(config.run_dir / "crun", 0700));
    TRY(auto doors, cgroups.ensure("mon"));
    return std::make_unique<CrunContainers>(
        std::move(config),
        std::move(cgroups),
        loop,
        blocking,
        std::move(log),
        to_base64(filter),
        std::move(doors));
}

}  // namespace znode::container
