#include "zdb/namespaces.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <set>

#include "async/child.hpp"
#include "async/mutex.hpp"
#include "async/task_group.hpp"
#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "kernel/child.hpp"
#include "kernel/files.hpp"
#include "zdb/client.hpp"

namespace znode::zdb {
namespace {

using namespace std::chrono_literals;

constexpr auto answer_patience = 5s;
constexpr auto start_patience = 60s;  // A large pool's index is read first.
constexpr auto stop_patience = 20s;
// Between two starts of a server that does not live.
constexpr std::chrono::milliseconds first_pause = 100ms;
constexpr std::chrono::milliseconds longest_pause = 30s;
constexpr auto calm = 1s;

std::string pid_file_of(const std::string& socket) { return socket + ".pid"; }

/// Value of a line of NSINFO.
std::string_view field(std::string_view info, std::string_view name)
{
    for (const auto line : split(info, '\n'))
        if (line.size() > name.size() + 1 && line.starts_with(name) && line[name.size()] == ':')
            return trim(line.substr(name.size() + 1));
    return {};
}

tl::unexpected<Error> refused(std::string_view what, const Reply& reply)
{
    const bool full = reply.text.find("Cannot") != std::string::npos;
    return fail(
        full ? Errc::unavailable : Errc::invalid,
        "0-db refuses " + std::string{what} + ": " + printable(reply.text));
}

/// A folder that belongs to whom the server runs as.
Result<> give(const std::filesystem::path& path, const ServerSpec& spec)
{
    const int err = error_of(::lchown(path.c_str(), *spec.uid, spec.gid.value_or(*spec.uid)));
    if (err) return fail_errno(err, "give " + path.string() + " to the 0-db's user");
    return {};
}

/// With all that is in it, which a server before may have written as another user. The folder goes
/// last: whose it is tells that everything is given.
Result<> give_folder(const std::filesystem::path& path, const ServerSpec& spec)
{
    TRY_DO(kernel::make_folders(path, 0700));
    if (!spec.uid) return {};
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0 && info.st_uid == *spec.uid) return {};
    std::error_code failed;
    for (std::filesystem::recursive_directory_iterator at{path, failed}, end; !failed && at != end;
         at.increment(failed))
        TRY_DO(give(at->path(), spec));
    if (failed) return fail_errno(failed.value(), "read " + path.string());
    return give(path, spec);
}

/// What the server opens lies below folders of ours, through which its user must come.
Result<> give_folders(const ServerSpec& spec)
{
    const auto socket_folder = std::filesystem::path{spec.socket}.parent_path();
    if (spec.uid) {
        const auto sockets = socket_folder.parent_path();
        TRY_DO(kernel::make_folders(sockets, 0711));
        const int err = error_of(::chmod(sockets.c_str(), 0711));
        if (err) return fail_errno(err, "set mode of " + sockets.string());
        TRY_DO(kernel::make_folders(spec.data.parent_path(), 0700));
        TRY_DO(give(spec.data.parent_path(), spec));
    }
    TRY_DO(give_folder(spec.data, spec));
    TRY_DO(give_folder(spec.index, spec));
    return give_folder(socket_folder, spec);
}

class ServedNamespaces final : public Namespaces {
public:
    ServedNamespaces(asio::io_context& loop, Log log)
        : log_{std::move(log)}, turn_{loop}, watchers_{loop}
    {
    }

    Task<Result<RunningServer>> ensure_server(ServerSpec spec) override
    {
        const auto guard = co_await turn_.lock();
        const auto pool = spec.pool;
        servers_.insert_or_assign(pool, spec);
        auto running = co_await ensure_running(spec);
        if (running) co_await close_default(spec);
        if (running) {
            wanted_.insert(pool);
            if (watched_.insert(pool).second) watchers_.spawn(watch(pool));
        }
        co_return running;
    }

    Task<> stop() override { co_await watchers_.drain(); }

    Task<Result<>> stop_server(std::string pool) override
    {
        const auto guard = co_await turn_.lock();
        const auto found = servers_.find(pool);
        if (found == servers_.end()) co_return Result<>{};
        const ServerSpec spec = found->second;
        wanted_.erase(pool);  // Forgotten first: its end is no accident.
        const auto running = co_await adopt(spec);
        if (running) {
            CO_TRY_DO(co_await end(running->pid, SIGTERM));
        } else {
            CO_TRY_DO(co_await end_silent(spec));
        }
        CO_TRY_DO(kernel::remove_file(pid_file_of(spec.socket)));
        servers_.erase(pool);
        co_return Result<>{};
    }

    Task<Result<NamespaceAddress>> ensure(std::string pool, NamespaceSpec spec) override
    {
        CO_FP("zdb.ensure");
        CO_TRY(const auto server, server_of(pool));
        if (spec.password.reveal() == "*" || spec.password.reveal().size() > 63)
            co_return fail(
                Errc::invalid, "a 0-db password has at most 63 bytes and is not a single star");
        CO_TRY(auto client, co_await reach(server));
        CO_TRY(const auto info, co_await client->call({"NSINFO", spec.name}));
        if (info.error()) {
            CO_TRY_DO(co_await create(client.get(), &spec));
        } else {
            CO_TRY_DO(co_await correct(client.get(), &spec, info.text));
        }
        co_return NamespaceAddress{.name = spec.name, .port = server.port};
    }

    Task<Result<>> remove(std::string pool, std::string name) override
    {
        CO_FP("zdb.remove");
        CO_TRY(const auto server, server_of(pool));
        CO_TRY(auto client, co_await reach(server));
        CO_TRY(const auto reply, co_await client->call({"NSDEL", name}));
        if (reply.ok() || reply.text == "This namespace doesn't exists") co_return Result<>{};
        co_return refused("to remove " + printable(name), reply);
    }

    Task<Result<>> freeze(std::string pool, std::string name) override
    {
        CO_FP("zdb.freeze");
        CO_TRY(const auto server, server_of(pool));
        CO_TRY(auto client, co_await reach(server));
        CO_TRY(const auto reply, co_await client->call({"NSSET", name, "freeze", "1"}));
        if (reply.ok()) co_return Result<>{};
        co_return refused("to freeze " + printable(name), reply);
    }

    Task<Result<std::vector<NamespaceInfo>>> list(std::string pool) override
    {
        CO_TRY(const auto server, server_of(pool));
        CO_TRY(auto client, co_await reach(server));
        CO_TRY(const auto names, co_await client->call({"NSLIST"}));
        if (names.kind != Reply::Kind::array) co_return refused("its list", names);
        std::vector<Words> questions;
        for (const auto& name : names.elements)
            if (name.text != "default") questions.push_back({"NSINFO", name.text});
        std::vector<NamespaceInfo> found;
        if (questions.empty()) co_return found;
        CO_TRY(const auto answers, co_await client->pipeline(std::move(questions)));
        for (const auto& answer : answers) {
            if (answer.kind != Reply::Kind::bulk) continue;  // Removed just now.
            const std::string_view info{answer.text};
            found.push_back(
                {.name = std::string{field(info, "name")},
                 .mode = field(info, "mode") == "sequential" ? Mode::sequential : Mode::user,
                 .size = to_number<std::uint64_t>(field(info, "data_limits_bytes")).value_or(0),
                 .used = to_number<std::uint64_t>(field(info, "data_size_bytes")).value_or(0),
                 .entries = to_number<std::uint64_t>(field(info, "entries")).value_or(0),
                 .failed = field(info, "failed") == "yes"});
        }
        co_return found;
    }

private:
    Task<Result<RunningServer>> ensure_running(ServerSpec spec)
    {
        const auto pool = spec.pool;
        auto running = co_await adopt(spec);
        if (!running) {
            CO_TRY_DO(co_await end_silent(spec));
            running = co_await start(spec);
        }
        if (!running)
            co_return tl::unexpected(
                std::move(running).error().during("0-db of pool " + printable(pool)));
        log_->info(
            "0-db {} pool={} pid={} port={}",
            running->adopted ? "adopted" : "started",
            pool,
            running->pid,
            running->port);
        co_return running;
    }

    /// Sessions begin in `default`, which has neither password nor limit: whoever reaches the port
    /// could fill the disk that others were sold. Nobody of ours uses it. The mark is durable, so a
    /// server that starts again has it from the beginning.
    Task<> close_default(ServerSpec spec)
    {
        auto client = co_await reach(spec);
        Result<> closed;
        if (client) {
            closed = co_await close_default(client->get());
        } else {
            closed = tl::unexpected(client.error());
        }
        // Namespaces are served all the same: the next `ensure_server` tries again.
        if (!closed)
            log_->error(
                "default namespace stays open pool={} reason=\"{}\"",
                spec.pool,
                closed.error().message);
    }

    static Task<Result<>> close_default(Client* client)
    {
        CO_TRY(const auto info, co_await client->call({"NSINFO", "default"}));
        if (field(info.text, "locked") == "yes") co_return Result<>{};
        CO_TRY(const auto reply, co_await client->call({"NSSET", "default", "freeze", "1"}));
        if (reply.ok()) co_return Result<>{};
        co_return refused("to close its default namespace", reply);
    }

    /// One per pool, for as long as its server is wanted.
    Task<> watch(std::string pool)
    {
        auto pause = first_pause;
        while (wanted_.contains(pool)) {
            const auto begun = Clock::now();
            co_await wait_for_end(servers_.at(pool));
            co_await asio::this_coro::throw_if_cancelled(true);
            bool running = false;
            {
                const auto guard = co_await turn_.lock();
                if (!wanted_.contains(pool)) break;
                log_->warn("0-db ended, starting another pool={}", pool);
                const auto started = co_await ensure_running(servers_.at(pool));
                if (started) co_await close_default(servers_.at(pool));
                running = started.has_value();
                if (!running) log_->error("0-db is down reason=\"{}\"", started.error().message);
            }
            // The turn is given back first: other pools do not wait for this one's pause.
            if (running && Clock::now() - begun > calm) {
                pause = first_pause;
                continue;
            }
            co_await sleep_for(pause);
            co_await asio::this_coro::throw_if_cancelled(true);
            pause = std::min(pause * 2, longest_pause);
        }
        watched_.erase(pool);
    }

    /// At once when there is none.
    static Task<> wait_for_end(ServerSpec spec)
    {
        const auto running = co_await adopt(std::move(spec));
        if (!running) co_return;
        const auto born = kernel::start_time_of(running->pid);
        if (!born) co_return;
        const auto process = kernel::Child::adopt(running->pid, *born);
        // Whose child it is does not matter, nor how it ended.
        if (process) (void)co_await wait_for_exit(&*process);
    }

    Result<ServerSpec> server_of(const std::string& pool) const
    {
        const auto found = servers_.find(pool);
        if (found == servers_.end())
            return fail(Errc::not_found, "pool " + printable(pool) + " has no 0-db");
        return found->second;
    }

    static Task<Result<std::unique_ptr<Client>>> reach(ServerSpec server)
    {
        Endpoint where{.kind = Endpoint::Kind::unix_socket, .host = server.socket};
        co_return co_await connect_client(std::move(where), answer_patience);
    }

    /// The server that answers at the socket.
    static Task<Result<RunningServer>> adopt(ServerSpec spec)
    {
        CO_TRY(auto client, co_await reach(spec));
        CO_TRY(const auto pong, co_await client->call({"PING"}));
        if (pong.text != "PONG") co_return refused("a PING", pong);
        CO_TRY(const auto peer, client->peer());
        co_return RunningServer{.pid = peer.pid, .port = spec.port, .adopted = true};
    }

    /// Runs it to the point where it serves: it goes to the background by itself then, so that its
    /// complaints are heard before.
    static Task<Result<RunningServer>> start(ServerSpec spec)
    {
        CO_FP("zdb.server.start");
        CO_TRY_DO(give_folders(spec));
        kernel::ChildSpec child{
            .argv =
                {spec.program,
                 "--data",
                 spec.data.string(),
                 "--index",
                 spec.index.string(),
                 "--listen",
                 spec.address,
                 "--port",
                 std::to_string(spec.port),
                 "--socket",
                 spec.socket,
                 "--dualnet",
                 "--background"},
            .new_session = true,
            .cgroup_procs = spec.cgroup_procs,
            .uid = spec.uid,
            .gid = spec.gid,
            .network_namespace = spec.network_namespace};
        const std::string log_file =
            spec.log_file.empty() ? std::string{"/dev/null"} : spec.log_file;
        child.argv.insert(child.argv.end(), {"--logfile", log_file});
        if (spec.sync) child.argv.emplace_back("--sync");
        CO_TRY(const auto output, co_await run_child(std::move(child), {}, start_patience));
        if (!output.exit.good())
            co_return fail(
                output.exit.code == 2 ? Errc::invalid : Errc::unavailable,
                "it does not start: " + printable(trim(output.err), 400));
        CO_FP("zdb.server.started");
        CO_TRY(auto running, co_await adopt(spec));
        running.adopted = false;
        CO_TRY(const auto born, kernel::start_time_of(running.pid));
        CO_TRY_DO(kernel::write_file_atomically(
            pid_file_of(spec.socket),
            std::to_string(running.pid) + " " + std::to_string(born) + "\n",
            0600));
        co_return running;
    }

    /// One that lives but does not answer holds the folders: it must end before another starts.
    static Task<Result<>> end_silent(ServerSpec spec)
    {
        const auto text = kernel::read_file(pid_file_of(spec.socket), 256);
        if (!text) co_return Result<>{};
        const auto words = split(trim(*text), ' ');
        if (words.size() != 2) co_return Result<>{};
        const auto pid = to_number<pid_t>(words[0]);
        const auto born = to_number<std::uint64_t>(words[1]);
        if (!pid || !born) co_return Result<>{};
        const auto now = kernel::start_time_of(*pid);
        if (!now || *now != *born) co_return Result<>{};
        co_return co_await end(*pid, SIGKILL);
    }

    static Task<Result<>> end(pid_t pid, int signal)
    {
        const auto born = kernel::start_time_of(pid);
        if (!born) co_return Result<>{};
        auto process = kernel::Child::adopt(pid, *born);
        if (!process && process.error().code == Errc::not_found) co_return Result<>{};
        if (!process) co_return tl::unexpected(std::move(process).error());
        CO_TRY_DO(process->signal(signal));
        auto ended =
            co_await with_deadline(stop_patience, "end the 0-db", wait_for_exit(&*process));
        // Its exit is not ours to know: it is no child of ours.
        if (!ended && ended.error().code == Errc::timeout)
            co_return tl::unexpected(std::move(ended).error());
        co_return Result<>{};
    }

    /// All in one piece, which our server executes at once: no other client sees the namespace
    /// half made. It is frozen until all is set, so that a server killed in between does not
    /// serve it open.
    static Task<Result<>> create(Client* client, const NamespaceSpec* spec)
    {
        CO_FP("zdb.namespace.make");
        std::vector<Words> requests;
        requests.push_back({"NSNEW", spec->name});
        requests.push_back({"NSSET", spec->name, "freeze", "1"});
        requests.push_back(
            {"NSSET", spec->name, "mode", spec->mode == Mode::sequential ? "seq" : "user"});
        for (auto& request : settings_of(*spec)) requests.push_back(std::move(request));
        CO_TRY(const auto replies, co_await client->pipeline(std::move(requests)));
        for (std::size_t i = 0; i < replies.size(); ++i) {
            if (replies[i].ok()) continue;
            // A server of the first generation knows no freezing.
            if (i == 1 && replies[i].text == "Invalid property") continue;
            (void)co_await client->call({"NSDEL", spec->name});  // What is half made is not wanted.
            co_return refused("namespace " + printable(spec->name), replies[i]);
        }
        CO_FP("zdb.namespace.open");
        CO_TRY(const auto opened, co_await client->call({"NSSET", spec->name, "freeze", "0"}));
        if (!opened.ok() && opened.text != "Invalid property")
            co_return refused("to open " + printable(spec->name), opened);
        co_return Result<>{};
    }

    static Task<Result<>> correct(Client* client, const NamespaceSpec* spec, std::string info)
    {
        std::vector<Words> requests;
        const bool sequential = field(info, "mode") == "sequential";
        if (sequential != (spec->mode == Mode::sequential))
            requests.push_back(
                {"NSSET", spec->name, "mode", spec->mode == Mode::sequential ? "seq" : "user"});
        for (auto& request : settings_of(*spec)) requests.push_back(std::move(request));
        requests.push_back({"NSSET", spec->name, "freeze", "0"});
        CO_TRY(const auto replies, co_await client->pipeline(std::move(requests)));
        for (const auto& reply : replies) {
            if (reply.text == "Cannot change mode of used namespace")
                co_return fail(
                    Errc::exists,
                    "namespace " + printable(spec->name) + " is used in the other mode");
            // Ids that are further on already are as good.
            if (reply.text == "Invalid property value") continue;
            if (!reply.ok() && &reply != &replies.back())
                co_return refused("namespace " + printable(spec->name), reply);
        }
        co_return Result<>{};
    }

    static std::vector<Words> settings_of(const NamespaceSpec& spec)
    {
        const std::string password{spec.password.empty() ? "*" : spec.password.reveal()};
        std::vector<Words> requests;
        requests.push_back({"NSSET", spec.name, "password", password});
        requests.push_back({"NSSET", spec.name, "public", spec.public_access ? "1" : "0"});
        requests.push_back({"NSSET", spec.name, "maxsize", std::to_string(spec.size)});
        if (spec.first_id > 0)
            requests.push_back({"NSSET", spec.name, "next_id", std::to_string(spec.first_id)});
        return requests;
    }

    Log log_;
    std::map<std::string, ServerSpec> servers_;
    Mutex turn_;                     // Starting and ending, one at a time.
    std::set<std::string> wanted_;   // Pools whose server shall live.
    std::set<std::string> watched_;  // Pools that have a watcher.
    TaskGroup watchers_;
};

}  // namespace

std::unique_ptr<Namespaces> make_namespaces(asio::io_context& loop, Log log)
{
    return std::make_unique<ServedNamespaces>(loop, std::move(log));
}

}  // namespace znode::zdb
