#include "app.hpp"

#include <unistd.h>

#include <csignal>
#include <set>

#include <boost/asio/signal_set.hpp>

#include "base/text.hpp"
#include "caretaker.hpp"
#include "container/containers.hpp"
#include "cursors.hpp"
#include "doctor.hpp"
#include "documents.hpp"
#include "engine/engine.hpp"
#include "engine/explorer_link.hpp"
#include "engine/planner.hpp"
#include "explorer/node_api.hpp"
#include "flist/flists.hpp"
#include "http/client.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/files.hpp"
#include "log_folders.hpp"
#include "logs/folder_watch.hpp"
#include "logs/shipper.hpp"
#include "network/networks.hpp"
#include "notes.hpp"
#include "notify.hpp"
#include "reload.hpp"
#include "room.hpp"
#include "settings.hpp"
#include "source.hpp"
#include "status/server.hpp"
#include "storage/volumes.hpp"
#include "zdb/namespaces.hpp"

namespace znode::agent {
namespace {

using namespace std::chrono_literals;

/// A disk that does not answer must not hold up the end. Nothing is lost by it: whatever matters is
/// written so that it survives being killed.
void end_within(std::chrono::seconds patience)
{
    std::signal(SIGALRM, [](int) {
        static constexpr std::string_view text =
            "znoded: something did not end in time (a disk that does not answer?); ended without "
            "it, workloads go on\n";
        (void)!::write(STDERR_FILENO, text.data(), text.size());
        ::_exit(0);
    });
    ::alarm(static_cast<unsigned>(patience.count()));
}

/// The agent put together, in the order in which things need each other.
class App {
public:
    App(asio::io_context& loop,
        Config config,
        ConfigFile file,
        identity::Identity identity,
        kernel::Holder holder,
        Log log)
        : loop_{loop},
          config_{std::move(config)},
          identity_{std::move(identity)},
          holder_{std::move(holder)},
          log_{std::move(log)},
          file_{std::move(file)},
          background_{loop}
    {
    }

    Task<int> serve();
    Task<int> purge();

private:
    Task<Result<>> build();
    Task<Result<>> start();
    Task<> stop();
    Task<> until_signal();
    Task<Result<>> end_helpers();
    Task<> watch_dog();
    std::string one_line() const;

    Task<> forget_logs();
    Result<> serve_status();

    asio::io_context& loop_;
    Config config_;
    identity::Identity identity_;
    kernel::Holder holder_;
    Log log_;
    ConfigFile file_;
    Blocking store_{1};
    Blocking disks_{2};
    Room room_{
        disks_,
        {{"state", config_.node.state_dir},
         {"container logs", config_.node.state_dir / "logs"},
         {"flist cache", config_.node.cache_dir}}};
    Blocking mounts_{2};
    kernel::DescriptorStore kept_{config_.node.run_dir};
    TaskGroup background_;

    std::optional<engine::Journal> journal_;
    std::optional<kernel::Cgroups> cgroups_;
    std::vector<std::string> helper_cgroup_;
    std::unique_ptr<storage::Volumes> volumes_;
    std::unique_ptr<network::Networks> networks_;
    std::unique_ptr<container::Containers> containers_;
    std::unique_ptr<flist::Flists> flists_;
    std::unique_ptr<zdb::Namespaces> zdb_;
    std::unique_ptr<JournalCursors> cursors_;
    std::unique_ptr<logs::FolderWatch> watch_;
    std::unique_ptr<logs::Shippers> shippers_;
    std::unique_ptr<http::Client> client_;
    std::unique_ptr<explorer::NodeApi> api_;
    std::optional<Notes> notes_;
    std::unique_ptr<engine::NodePlanner> planner_;
    std::unique_ptr<NodeDocuments> documents_;
    std::unique_ptr<engine::ExplorerLink> link_;
    std::unique_ptr<engine::Engine> engine_;
    std::unique_ptr<AgentSource> source_;
    std::unique_ptr<status::LocalServer> server_;
    std::optional<Caretaker> caretaker_;
    std::optional<Reloader> reloader_;
    bool database_is_new_ = false;
    bool has_begun_ = false;  // What ran before is known again.
};

/// Of containers that were taken down by an agent that left their logs, or died on the way. What is
/// not known for certain to be nobody's stays.
Task<> App::forget_logs()
{
    while (!gc_obstacle(database_is_new_, link_->state(), source_->uptime()).empty())
        co_await sleep_for(10s);
    const auto living = cgroups_->names();
    if (!living) co_return;
    const std::set<std::string> running{living->begin(), living->end()};
    const auto gone = co_await forget_log_folders(
        &disks_, config_.node.state_dir / "logs", [&](const std::string& gwid) {
            return running.contains(gwid) || engine_->workload(gwid).has_value();
        });
    if (gone > 0) log_->info("removed logs of containers that are gone count={}", gone);
}

/// Makes every object; touches nothing but the database.
Task<Result<>> App::build()
{
    const auto node_id = identity_.node_id();
    const auto node8 = node_id.substr(0, 8);

    // Nothing runs yet that the disk could hold up; from here on the journal lives on its lane.
    auto opened = engine::Journal::open(config_.node.state_dir / "state.db");
    if (!opened) co_return tl::unexpected(std::move(opened).error());
    journal_.emplace(*std::move(opened));
    // Volumes, mounts and promises of another node are not ours to touch.
    CO_TRY(const auto owner, journal_->fact("node.id"));
    database_is_new_ = !owner;
    if (!owner) CO_TRY_DO(journal_->set_fact("node.id", node_id));
    if (owner && *owner != node_id)
        co_return fail(
            Errc::invalid,
            "the seed in " + (config_.node.state_dir / "identity/seed.txt").string() +
                " is of node " + node_id + ", the database beside it of node " + *owner +
                ": put that node's seed back, or give this node a state_dir of its own");

    CO_TRY(cgroups_, kernel::Cgroups::find(holder_.cgroup_root));
    CO_TRY(helper_cgroup_, cgroups_->ensure("mon"));

    volumes_ = storage::make_volumes(storage_config(config_, node_id, log_), loop_, disks_);
    networks_ =
        network::make_host_networks(loop_, network_config(config_, node_id, helper_cgroup_), log_);
    CO_TRY(
        containers_,
        container::make_crun_containers(
            container_config(config_, node8), *cgroups_, loop_, mounts_, log_));

    flists_ = flist::make_flists(loop_, mounts_, flists_config(config_, helper_cgroup_), log_);
    zdb_ = zdb::make_namespaces(loop_, log_);
    cursors_ = std::make_unique<JournalCursors>(*journal_, store_, config_.node.run_dir / "logs");
    watch_ = std::make_unique<logs::FolderWatch>(loop_);
    shippers_ = logs::make_shippers(loop_, disks_, *watch_, *cursors_, &kept_, log_);

    CO_TRY(const auto url, http::parse_url(explorer::explorer_root(config_.explorer.url)));
    http::ClientOptions options;
    options.timeout = 10s;                         // A poll brings its own.
    options.body_limit = std::uint64_t{4} << 20U;  // Pages of work are read as they come.
    options.ca_file = config_.explorer.ca_file;
    client_ = http::make_client(loop_, url, options);
    const auto era = explorer::era_of(config_.explorer.era);
    api_ = era ? explorer::make_node_api(*client_, identity_, *era)
               : explorer::make_any_node_api(loop_, *client_, identity_);
    notes_.emplace(
        *journal_, store_, *api_, static_cast<std::uint32_t>(config_.containers.first_uid));

    planner_ = std::make_unique<engine::NodePlanner>(
        engine::Resources{
            loop_,
            disks_,
            identity_,
            *volumes_,
            *networks_,
            *zdb_,
            *flists_,
            *containers_,
            *shippers_,
            [this](std::int64_t owner) { return notes_->user_key(owner, false); },
            [this](std::int64_t owner) { return notes_->uid_range(owner); },
            [this](std::string key) { return notes_->fact(std::move(key)); },
            [this](std::string key, std::string value) {
                return notes_->set_fact(std::move(key), std::move(value));
            },
            log_},
        plan_config(config_, node_id, helper_cgroup_));

    documents_ = std::make_unique<NodeDocuments>(config_, *networks_, *volumes_);
    link_ = std::make_unique<engine::ExplorerLink>(
        loop_,
        *api_,
        node_id,
        documents_->announcement(),
        engine::CustomerCheck{
            engine::verify_of(config_.explorer.verify).value_or(engine::Verify::when_possible),
            [this](std::int64_t owner, bool fresh) { return notes_->user_key(owner, fresh); }},
        log_);
    engine_ = std::make_unique<engine::Engine>(
        engine::Engine::Parts{
            loop_,
            *planner_,
            *journal_,
            store_,
            [this](const engine::Letter& letter) { return link_->deliver(letter); },
            log_,
            [this] { return room_.look(); }},
        machine_of(config_),
        engine::Patience{});
    engine_->on_change = [this] { link_->changed(); };

    source_ = std::make_unique<AgentSource>(SourceParts{
        loop_,
        config_,
        node_id,
        *engine_,
        *link_,
        *planner_,
        *volumes_,
        *networks_,
        *flists_,
        *shippers_,
        *watch_,
        disks_,
        config_.node.state_dir / "logs",
        [this](std::string key, std::string value) {
            return notes_->set_fact(std::move(key), std::move(value));
        },
        cgroups_->layout() == kernel::CgroupLayout::v2 ? "cgroup v2" : "cgroup v1",
        [this] { return cgroups_->names(); },
        [this] { return gc_obstacle(database_is_new_, link_->state(), source_->uptime()); }});
    documents_->attach(*engine_, *source_);
    caretaker_.emplace(Caretaker::Parts{
        loop_,
        config_,
        *source_,
        *networks_,
        *volumes_,
        *shippers_,
        *planner_,
        room_,
        [this] { link_->changed(); },
        log_});
    status::ServerOptions socket;
    socket.socket = config_.socket_path().string();
    socket.group = config_.status.group;
    socket.metrics_listen = config_.status.listen;
    server_ = status::make_local_server(loop_, *source_, socket, log_);
    if (!journal_->moved_aside().empty())
        source_->set_trouble(
            "database",
            Trouble{
                "the database was damaged; it lies in " + journal_->moved_aside() +
                    " and a new one was begun",
                "check the disk; what the explorer still knows comes back by itself"});
    co_return Result<>{};
}

Result<> App::serve_status()
{
    TRY_DO(server_->start());
    const auto& problem = server_->metrics_problem();
    if (problem.empty()) return {};
    log_->error("metrics are not served over TCP error=\"{}\"", problem);
    source_->set_trouble(
        "status.listen",
        Trouble{
            "metrics are not served at " + config_.status.listen + ": " + problem,
            "check status.listen in the config; it is tried again at the next start"});
    return {};
}

Task<Result<>> App::start()
{
    // The socket first: a farmer must see why something is not well.
    CO_TRY_DO(serve_status());
    // The agent answers: whoever waits for the unit must not wait for a slow disk or cable as well.
    notify_manager("READY=1");
    background_.spawn(watch_dog());
    // Beside each other: neither needs the other, and workloads wait for both.
    background_.spawn(caretaker_->begin_network());
    CO_TRY_DO(co_await flists_->recover());
    co_await volumes_->open();
    source_->set_pools(co_await volumes_->pools());
    CO_TRY_DO(co_await notes_->find_uid_ranges(volumes_.get(), &disks_));
    co_await caretaker_->network_tried();
    CO_TRY_DO(co_await planner_->start());
    CO_TRY(const auto maintenance, co_await notes_->fact("maintenance"));
    if (maintenance && !maintenance->empty()) engine_->set_maintenance(true, *maintenance);
    CO_TRY_DO(co_await engine_->start());
    link_->start(*engine_);
    has_begun_ = true;
    background_.spawn(caretaker_->look_after_pools());
    background_.spawn(caretaker_->look_after_logs());
    background_.spawn(forget_logs());
    background_.spawn(caretaker_->look_after_clock());
    co_return Result<>{};
}

Task<> App::until_signal()
{
    asio::signal_set signals{loop_, SIGTERM, SIGINT};
    auto [failed, number] = co_await signals.async_wait(as_result);
    if (!failed) log_->info("stopping on signal {}; workloads go on", number);
    end_within(15s);
}

std::string App::one_line() const
{
    if (has_begun_) return source_->summary();
    return "node " + identity_.node_id() + ", looks for what runs";
}

Task<> App::watch_dog()
{
    const auto interval = watchdog_interval();
    const Duration pause =
        interval > 0
            ? std::min<Duration>(
                  std::chrono::duration_cast<Duration>(std::chrono::microseconds{interval / 3}),
                  10s)
            : Duration{60s};
    for (;;) {
        notify_manager("WATCHDOG=1\nSTATUS=" + one_line());
        // News of the explorer are told at once: a farmer waits for them.
        const auto reachable = link_->state().reachable;
        const auto until = Clock::now() + pause;
        const bool begun = has_begun_;
        while (Clock::now() < until && link_->state().reachable == reachable && has_begun_ == begun)
            co_await sleep_for(std::min<Duration>(pause, 1s));
    }
}

Task<> App::stop()
{
    notify_manager("STOPPING=1");
    if (server_) co_await server_->stop();
    if (link_) co_await link_->stop();
    if (engine_) co_await engine_->stop();
    co_await background_.drain();
    if (planner_) co_await planner_->stop();
    if (shippers_) co_await shippers_->stop();
    if (watch_) co_await watch_->stop();
    if (containers_) co_await containers_->drain();
    if (flists_) co_await flists_->stop();
    if (zdb_) co_await zdb_->stop();
    if (networks_) co_await networks_->stop();
    if (volumes_) co_await volumes_->stop();
    if (client_) client_->close();
}

Task<int> App::serve()
{
    reloader_.emplace(Reloader::Parts{loop_, disks_, file_.config, file_.read, log_});
    background_.spawn(reloader_->run());
    auto ready = co_await build();
    if (ready) ready = co_await start();
    if (!ready) {
        log_->error("znoded cannot start error=\"{}\"", ready.error().message);
        co_await stop();
        co_return 1;
    }
    log_->info(
        "znoded {} is up node={} farm={}",
        ZNODE_VERSION,
        identity_.node_id(),
        config_.node.farm_id);
    co_await until_signal();
    co_await stop();
    co_return 0;
}

Task<Result<>> App::end_helpers()
{
    for (int attempt = 0; attempt < 100; ++attempt) {
        CO_TRY(const auto pids, cgroups_->pids("mon"));
        if (pids.empty()) co_return Result<>{};
        if (attempt == 0)
            for (const auto pid : pids) ::kill(pid, SIGTERM);
        if (attempt == 50) CO_TRY_DO(cgroups_->kill_all("mon"));
        co_await sleep_for(100ms);
    }
    co_return fail(Errc::timeout, "helpers do not end");
}

/// Takes down what runs, leaves data, identity and journal: for a machine that stops being a node.
Task<int> App::purge()
{
    auto ready = co_await build();
    bool good = ready.has_value();
    if (!ready) log_->error("purge cannot begin error=\"{}\"", ready.error().message);
    const auto note = [&](const char* what, const Result<>& outcome) {
        if (outcome) return;
        good = false;
        log_->error("purge: {} error=\"{}\"", what, outcome.error().message);
    };
    if (ready) {
        if (const auto found = co_await containers_->list())
            for (const auto& container : *found)
                note("container", co_await containers_->remove(container.gwid));
        if (const auto mounted = co_await flists_->list())
            for (const auto& flist : *mounted) note("flist", co_await flists_->remove(flist.key));
        note("network", co_await networks_->purge());
        // 0-db servers and whatever helper is left; each ends well by a signal.
        note("helpers", co_await end_helpers());
        co_await volumes_->open();
        note("pools", co_await volumes_->close());
    }
    co_await stop();
    if (cgroups_) {
        cgroups_->give_back_cache("mon");
        note("cgroup", cgroups_->remove("mon"));
    }
    if (!holder_.managed) {  // Else `systemctl stop znode-workloads` ends it, and its cgroup goes.
        note("holder", kernel::stop_holder(config_.node.run_dir));
        if (cgroups_) note("cgroup", cgroups_->remove_root());
    }
    co_return good ? 0 : 1;
}

}  // namespace

int run_agent(
    Config config,
    ConfigFile file,
    identity::Identity identity,
    const kernel::Holder& holder,
    bool purge)
{
    auto log = make_log("znoded", config.node.log_level);
    asio::io_context loop{1};
    App app{loop, std::move(config), std::move(file), std::move(identity), holder, std::move(log)};
    return run(loop, purge ? app.purge() : app.serve());
}

}  // namespace znode::agent
