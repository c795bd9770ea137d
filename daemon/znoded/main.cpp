#include <pwd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app.hpp"
#include "base/failpoint.hpp"
#include "base/text.hpp"
#include "config.hpp"
#include "identity/identity.hpp"
#include "kernel/fd.hpp"
#include "kernel/files.hpp"
#include "kernel/holder.hpp"

namespace {

using namespace znode;

constexpr int exit_failed = 1;
constexpr int exit_bad_config = 2;

/// Descriptors 0 to 2 are something, so that nothing of ours becomes stderr by accident.
void open_standard_descriptors()
{
    for (;;) {
        const int fd = ::open("/dev/null", O_RDWR);
        if (fd < 0 || fd > 2) {
            if (fd > 2) ::close(fd);
            return;
        }
    }
}

/// Each workload costs some descriptors, and a shell's limit is made for people.
void raise_descriptor_limit()
{
    constexpr rlim_t wanted = 65536;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted) return;
    const rlimit raised{wanted, std::max(limit.rlim_max, wanted)};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);  // Works with less as well, for fewer workloads.
}

Result<> check_kernel()
{
    utsname name{};
    ::uname(&name);
    int major = 0;
    int minor = 0;
    if (std::sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
        (major < 6 || (major == 6 && minor < 1)))
        return fail(
            Errc::unsupported,
            std::string{"Linux "} + name.release + " is too old; znode needs 6.1 or later");
    return {};
}

/// Where znode-holder and its kin lie.
std::filesystem::path helpers_of(const agent::Config& config)
{
    if (!config.node.helpers_dir.empty()) return config.node.helpers_dir;
    std::error_code failed;
    if (std::filesystem::exists(config.node.own_dir / "znode-holder", failed))
        return config.node.own_dir;
    return config.node.own_dir.parent_path() / "libexec" / "znode";
}

struct Ground {
    identity::Identity identity;
    kernel::Holder holder;
    kernel::Fd lock;
};

/// Says what to do about a folder that the agent cannot have.
tl::unexpected<Error> fail_folder(Error error, const char* setting)
{
    return tl::unexpected(std::move(error).during(
        std::string{"node."} + setting + " must be a folder that can be written"));
}

/// Everything that must happen before the first thread. `managed`: systemd keeps the holder.
Result<Ground> prepare(agent::Config& config, bool managed)
{
    TRY_DO(check_kernel());
    if (::geteuid() != 0)
        return fail(Errc::denied, "znoded needs root: it mounts, makes namespaces and sets limits");
    // Now: among the workloads' mounts this link shows a path of the unit's own mounts.
    std::error_code failed;
    config.node.own_dir = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
    config.node.helpers_dir = helpers_of(config);
    if (auto made = kernel::make_folders(config.node.state_dir, 0700); !made)
        return fail_folder(std::move(made).error(), "state_dir");
    if (auto made = kernel::make_folders(config.node.cache_dir, 0711); !made)
        return fail_folder(std::move(made).error(), "cache_dir");
    if (auto made = kernel::make_folders(config.node.run_dir, 0711); !made)
        return fail_folder(std::move(made).error(), "run_dir");

    auto lock =
        kernel::open_file((config.node.state_dir / "lock").string(), O_RDWR | O_CREAT, 0600);
    if (!lock) return fail_folder(std::move(lock).error(), "state_dir");
    if (::flock(lock->get(), LOCK_EX | LOCK_NB) < 0)
        return fail(
            Errc::exists,
            "another znoded works in " + config.node.state_dir.string() +
                "; stop it, or give this one a state_dir of its own");

    TRY(auto identity,
        identity::Identity::load_or_create(config.node.state_dir / "identity" / "seed.txt"));
    const bool chosen = config.containers.cgroup != "auto";
    TRY(auto holder,
        kernel::enter_or_start_holder(
            {.run_dir = config.node.run_dir,
             .program = config.node.helpers_dir / "znode-holder",
             .cgroup_root =
                 chosen ? config.containers.cgroup : "/znode-" + identity.node_id().substr(0, 8),
             .managed = managed}));
    if (chosen && holder.cgroup_root != config.containers.cgroup)
        return fail(
            Errc::invalid,
            "containers.cgroup is " + config.containers.cgroup + ", but the workloads of " +
                config.node.run_dir.string() + " live below " + holder.cgroup_root +
                ": set it to that or to \"auto\"; it changes only when nothing of the node runs");
    return Ground{std::move(identity), std::move(holder), *std::move(lock)};
}

std::optional<std::string> environment(const std::string& name)
{
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>{value};
}

/// What the file says and only this machine can tell.
Result<> check_user(const agent::Config& config)
{
    if (config.zdb.user.empty() || ::getpwnam(config.zdb.user.c_str()) != nullptr) return {};
    return fail(
        Errc::invalid,
        "zdb.user: there is no user " + printable(config.zdb.user) +
            " on this machine; make it with systemd-sysusers or useradd --system, or leave the "
            "setting away: 0-dbs then run as root");
}

/// `name`: as the operator wrote it.
Result<agent::Config> read_config(const std::filesystem::path& path, const std::string& name)
{
    TRY(const auto text, kernel::read_file(path));
    const auto command_line = kernel::read_file("/proc/cmdline");
    return agent::parse_config(
        text, name, environment, command_line ? *command_line : std::string{});
}

int complain(const Error& error, int code)
{
    std::cerr << "znoded: " << error.message << '\n';
    return code;
}

}  // namespace

int main(int argc, char** argv)
{
    open_standard_descriptors();
    ::umask(022);
    ::signal(SIGPIPE, SIG_IGN);

    CLI::App cli{"znoded, the node agent: makes reservations real and takes them down again"};
    std::string file = "/etc/znode/znoded.toml";
    bool check_only = false;
    bool version = false;
    bool list = false;
    bool purge = false;
    bool service = false;
    cli.add_option("--config", file, "config file (/etc/znode/znoded.toml)");
    cli.add_flag("--check-config", check_only, "read the config, say what is wrong with it, end");
    cli.add_flag("--version", version, "print the version, end");
    cli.add_flag("--list-failpoints", list, "print the failpoints of this build, end");
    cli.add_flag(
        "--purge",
        purge,
        "take down everything of this node that runs, keep data and identity, end");
    cli.add_flag(
        "--service",
        service,
        "a unit of systemd beside znode-workloads.service, which holds the workloads");
    try {
        cli.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = cli.exit(error);
        return code == 0 ? 0 : exit_bad_config;
    }
    if (version) {
        std::cout << "znoded " ZNODE_VERSION "\n";
        return 0;
    }
    if (list) {
        for (const auto& name : failpoints()) std::cout << name << '\n';
        return 0;
    }

    // Of the folder that the agent was started in, wherever it will be when it reads again.
    std::error_code failed;
    const auto path = std::filesystem::absolute(file, failed);
    if (const auto text = kernel::read_file(path); !text)
        return complain(text.error(), exit_bad_config);
    auto config = read_config(path, file);
    if (!config) {
        std::cerr << config.error().message << '\n';
        return exit_bad_config;
    }
    if (const auto user = check_user(*config); !user)
        return complain(user.error(), exit_bad_config);
    if (check_only) {
        std::cout << file << " is good\n";
        return 0;
    }

    raise_descriptor_limit();
    agent::ConfigFile again{.config = *config, .read = [=]() -> Result<agent::Config> {
                                TRY(auto read, read_config(path, file));
                                TRY_DO(check_user(read));
                                return read;
                            }};
    auto ground = prepare(*config, service);
    if (!ground) return complain(ground.error(), exit_failed);
    return agent::run_agent(
        *std::move(config), std::move(again), std::move(ground->identity), ground->holder, purge);
}
