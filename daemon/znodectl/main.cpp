#include <csignal>

#include "commands.hpp"

int main(int argc, char** argv)
{
    // A reader that goes away is no accident: writes fail, and the command ends well.
    std::signal(SIGPIPE, SIG_IGN);

    znode::asio::io_context loop{1};
    znode::ctl::Context context;
    context.loop = &loop;
    int exit_code = znode::ctl::good;

    CLI::App app{"The operator's view of this node."};
    app.set_version_flag("--version", ZNODE_VERSION);
    app.add_option("--socket", context.socket, "status socket of the agent")
        ->take_last()
        ->capture_default_str();
    app.add_flag("--json", context.json, "answers as JSON");
    app.fallthrough();
    app.require_subcommand(1);
    znode::ctl::add_commands(app, context, exit_code);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? znode::ctl::good : znode::ctl::usage;
    }
    return exit_code;
}
