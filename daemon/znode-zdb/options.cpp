#include "options.hpp"

#include <array>
#include <cstring>
#include <getopt.h>

#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::zdb {

const std::string_view usage =
    "usage: znode-zdb [options]\n"
    "  --data DIR --index DIR   folders, two different ones (./zdb-data, ./zdb-index)\n"
    "  --mode user|seq          every namespace has this mode (default: each its own)\n"
    "  --datasize SIZE          a segment ends at this size (512K to 4G, default 64M)\n"
    "  --listen ADDR --port N   TCP (:: and 9900)\n"
    "  --socket PATH            unix socket instead of TCP; with --dualnet both\n"
    "  --dualnet\n"
    "  --admin PASSWORD         administration over the network; better: --admin-file FILE\n"
    "  --admin-file FILE        the same, read from a file\n"
    "  --protect                default namespace read-only without the admin password\n"
    "  --maxsize SIZE           limit of the default namespace\n"
    "  --sync                   acknowledged means on the disk\n"
    "  --delete-again-ok        DEL of a deleted id answers OK\n"
    "  --background, --logfile FILE, --verbose, --dump, --version, --help\n"
    "Without an admin password administration is possible on the unix socket only.\n";

namespace {

enum Flag {
    data = 256,
    index,
    mode,
    datasize,
    listen_on,
    port,
    socket_path,
    dualnet,
    admin,
    admin_file,
    protect,
    maxsize,
    sync_all,
    synctime,
    secure,
    rotate,
    hook,
    delete_again_ok,
    background,
    logfile,
    verbose,
    dump,
    version,
    help
};

constexpr std::array flags{
    option{"data", required_argument, nullptr, data},
    option{"index", required_argument, nullptr, index},
    option{"mode", required_argument, nullptr, mode},
    option{"datasize", required_argument, nullptr, datasize},
    option{"listen", required_argument, nullptr, listen_on},
    option{"port", required_argument, nullptr, port},
    option{"socket", required_argument, nullptr, socket_path},
    option{"dualnet", no_argument, nullptr, dualnet},
    option{"admin", required_argument, nullptr, admin},
    option{"admin-file", required_argument, nullptr, admin_file},
    option{"protect", no_argument, nullptr, protect},
    option{"maxsize", required_argument, nullptr, maxsize},
    option{"sync", no_argument, nullptr, sync_all},
    option{"synctime", required_argument, nullptr, synctime},
    option{"secure", no_argument, nullptr, secure},
    option{"rotate", required_argument, nullptr, rotate},
    option{"hook", required_argument, nullptr, hook},
    option{"delete-again-ok", no_argument, nullptr, delete_again_ok},
    option{"background", no_argument, nullptr, background},
    option{"logfile", required_argument, nullptr, logfile},
    option{"verbose", no_argument, nullptr, verbose},
    option{"dump", no_argument, nullptr, dump},
    option{"version", no_argument, nullptr, version},
    option{"help", no_argument, nullptr, help},
    option{nullptr, 0, nullptr, 0},
};

Result<std::uint64_t> size_of(std::string_view flag, std::string_view text)
{
    static constexpr std::string_view units = "kMGT";
    std::uint64_t factor = 1;
    if (!text.empty()) {
        const auto unit = units.find(text.back());
        const char upper = text.back() == 'K' ? 'k' : text.back();
        const auto known = unit == std::string_view::npos ? units.find(upper) : unit;
        if (known != std::string_view::npos) {
            factor = std::uint64_t{1} << (10 * (known + 1));
            text.remove_suffix(1);
        }
    }
    const auto number = to_number<std::uint64_t>(text);
    if (!number || *number > (std::uint64_t{1} << 62U) / factor)
        return fail(Errc::invalid, "--" + std::string{flag} + ": not a size");
    return *number * factor;
}

/// The argument's characters, gone from the command line that everybody can read.
Secret take_secret(char* text)
{
    Secret secret{std::string{text}};
    ::explicit_bzero(text, std::strlen(text));
    return secret;
}

Result<> take(Options& options, int flag, char* value)
{
    switch (flag) {
        case data:
            options.engine.data = value;
            return {};
        case index:
            options.engine.index = value;
            return {};
        case mode: {
            const std::string_view text{value};
            if (text != "user" && text != "seq" && text != "direct")
                return fail(Errc::invalid, "--mode: user or seq");
            options.engine.mode = text == "user" ? Mode::user : Mode::sequential;
            options.engine.single_mode = true;
            return {};
        }
        case datasize: {
            TRY(const auto size, size_of("datasize", value));
            if (size < (512U << 10U) || size > 0xF0000000ULL)
                return fail(Errc::invalid, "--datasize: from 512K to below 4G");
            options.engine.segment_size = static_cast<std::uint32_t>(size);
            return {};
        }
        case listen_on:
            options.server.address = value;
            return {};
        case port: {
            const auto number = to_number<unsigned short>(value);
            if (!number) return fail(Errc::invalid, "--port: from 0 to 65535");
            options.server.port = *number;
            return {};
        }
        case socket_path:
            options.server.socket = value;
            return {};
        case admin:
            options.server.admin_password = take_secret(value);
            return {};
        case admin_file: {
            TRY(auto text, kernel::read_file(value, 4096));
            options.server.admin_password = Secret{std::string{trim(text)}};
            wipe(text);
            if (options.server.admin_password.empty())
                return fail(Errc::invalid, "--admin-file: the file is empty");
            return {};
        }
        case protect:
            options.server.protect = true;
            return {};
        case maxsize: {
            TRY(options.server.default_maxsize, size_of("maxsize", value));
            return {};
        }
        case sync_all:
            options.engine.sync = true;
            return {};
        case delete_again_ok:
            options.server.delete_again_ok = true;
            return {};
        case background:
            options.background = true;
            return {};
        case logfile:
            options.log_file = value;
            return {};
        case verbose:
            options.verbose = true;
            return {};
        case dump:
            options.dump = true;
            return {};
        case version:
            options.show_version = true;
            return {};
        case help:
            options.show_help = true;
            return {};
        // Segments end by size; a flush at their end happens always.
        case synctime:
        case secure:
        case rotate:
            return {};
        case hook:
            return fail(Errc::invalid, "--hook: this server never starts programs");
        default:
            return fail(Errc::invalid, "an unknown option: see --help");
    }
}

}  // namespace

Result<Options> parse_options(int argc, char** argv)
{
    Options options;
    bool both = false;
    for (;;) {
        const int flag = ::getopt_long(argc, argv, "", flags.data(), nullptr);
        if (flag < 0) break;
        if (flag == dualnet) {
            both = true;
            continue;
        }
        TRY_DO(take(options, flag, optarg));
    }
    if (optind < argc) return fail(Errc::invalid, std::string{"what is "} + argv[optind] + "?");
    options.server.tcp = options.server.socket.empty() || both;
    return options;
}

}  // namespace znode::zdb
