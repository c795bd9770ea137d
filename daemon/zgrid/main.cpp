#include <csignal>

#include <CLI/CLI.hpp>

#include "context.hpp"

int main(int argc, char** argv)
{
    std::signal(SIGPIPE, SIG_IGN);

    znode::asio::io_context loop{1};
    znode::zgrid::Context context;
    context.loop = &loop;
    context.identity = znode::zgrid::default_identity();

    CLI::App app{"The other side of the grid: farmer, customer, and a private explorer."};
    app.set_version_flag("--version", ZNODE_VERSION);
    app.add_option("--explorer", context.explorer, "URL of the explorer")
        ->envname("ZGRID_EXPLORER")
        ->capture_default_str();
    app.add_option("--identity", context.identity, "seed file of the user")
        ->envname("ZGRID_IDENTITY")
        ->capture_default_str();
    app.add_option("--era", context.era, "what the explorer speaks")
        ->envname("ZGRID_ERA")
        ->check(CLI::IsMember({"auto", "pools", "reservations"}))
        ->capture_default_str();
    app.add_flag("--json", context.json, "answers as JSON");
    app.fallthrough();
    app.require_subcommand(1);
    znode::zgrid::add_commands(app, context);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? znode::zgrid::good : znode::zgrid::usage;
    }
    return context.exit_code;
}
