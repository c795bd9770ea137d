#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <iostream>
#include <malloc.h>

#include "base/failpoint.hpp"
#include "options.hpp"

namespace {

using namespace znode;

zdb::Server* serving = nullptr;

void on_signal(int) { serving->stop(); }

void arm_signals(zdb::Server& server)
{
    serving = &server;
    struct sigaction action{};
    action.sa_handler = on_signal;
    ::sigaction(SIGTERM, &action, nullptr);
    ::sigaction(SIGINT, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
}

/// Continues in a child; the parent ends with 0 once the child serves, with 1 if it cannot.
/// Returns the descriptor to tell the parent, -1 on failure.
int go_to_background()
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
    const pid_t child = ::fork();
    if (child < 0) return -1;
    if (child == 0) {
        ::close(ends[0]);
        ::setsid();
        return ends[1];
    }
    ::close(ends[1]);
    char serves = 0;
    const auto got = ::read(ends[0], &serves, 1);
    ::_exit(got == 1 ? 0 : 1);
}

int complain(const Error& error)
{
    std::cerr << "znode-zdb: " << error.message << '\n';
    return error.code == Errc::invalid ? 2 : 1;
}

bool redirect(const std::string& file)
{
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return fd >= 0 && ::dup2(fd, STDOUT_FILENO) >= 0 && ::dup2(fd, STDERR_FILENO) >= 0;
}

Result<> serve(zdb::Options options, int tell)
{
    const Log log = make_log("znode-zdb", options.verbose ? "debug" : "info");
    const std::string log_file = options.log_file;
    options.engine.reserve = std::uint64_t{1} << 20U;
    TRY(auto engine, zdb::open_engine(std::move(options.engine), log));
    if (options.dump) {
        for (const zdb::Space* space : engine->spaces())
            std::cout << space->name() << ": " << space->entries() << " entries, "
                      << space->live_bytes() << " bytes, " << space->disk_bytes() << " on disk\n";
        return {};
    }
    TRY(const auto server, zdb::make_server(*engine, std::move(options.server), log));
    arm_signals(*server);
    log->info("serving namespaces={} port={}", engine->spaces().size(), server->port());
    // Until here complaints went to who started it.
    if (!log_file.empty() && !redirect(log_file))
        return fail(Errc::invalid, "--logfile " + log_file + ": cannot be opened");
    if (tell >= 0) {
        (void)!::write(tell, "", 1);  // The parent that does not hear it says so itself.
        ::close(tell);
    }
    TRY_DO(server->run());
    engine->stop();
    log->info("stopped");
    return {};
}

}  // namespace

int main(int argc, char** argv)
{
    // Values up to 8 MiB come and go: their memory is kept instead of being mapped each time.
    ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
    ::mallopt(M_TRIM_THRESHOLD, 64 << 20);
    auto options = zdb::parse_options(argc, argv);
    if (!options) return complain(options.error());
    if (options->show_help) {
        std::cout << zdb::usage;
        return 0;
    }
    if (options->show_version) {
        std::cout << "znode-zdb, 0-db protocol 2.0, format 1\n";
        return 0;
    }
    const int tell = options->background ? go_to_background() : -1;
    if (options->background && tell < 0)
        return complain({Errc::unavailable, "cannot go to the background"});
    if (auto done = serve(std::move(*options), tell); !done) return complain(done.error());
    return 0;
}
