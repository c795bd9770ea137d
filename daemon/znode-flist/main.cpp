// znode-flist: serves a flist as a file system, and makes, shows and checks flists.

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <new>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sodium.h>

#include "base/text.hpp"
#include "commands.hpp"

namespace {

using namespace znode;         // NOLINT(google-build-using-namespace): a main of its own.
using namespace znode::flist;  // NOLINT(google-build-using-namespace)

void add_source(CLI::App* command, Source& source)
{
    command
        ->add_option(
            "--store",
            source.store,
            "where the blocks are: zdb://, redis://, dir://; @FILE or @FD:N reads the URL there")
        ->required();
    command->add_option("--cache", source.cache, "folder that keeps blocks, shared by all mounts");
    command->add_option("--cache-limit", source.cache_limit, "size of the cache (20GiB)");
    command->add_option(
        "--patience", source.patience_seconds, "seconds a store may be away before reads fail");
}

int outcome_of(const Result<>& result)
{
    if (result) return std::fflush(stdout) == 0 ? 0 : 1;
    fmt::print(stderr, "znode-flist: {}\n", result.error().message);
    return 1;
}

/// Flists come from strangers: one that would eat the machine ends its reader alone.
Result<> limit_memory(const std::string& text)
{
    if (text.empty()) return {};
    TRY([[maybe_unused]] const auto bytes, parse_size(text));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
    // Sanitizers want terabytes of address space, used or not.
    const rlimit limit{bytes, bytes};
    const int err = error_of(::setrlimit(RLIMIT_AS, &limit));
    if (err) return fail_errno(err, "limit the memory");
    std::set_new_handler([] {
        constexpr std::string_view said = "znode-flist: the flist takes more memory than allowed\n";
        (void)!::write(STDERR_FILENO, said.data(), said.size());
        ::_exit(1);
    });
#endif
#endif
    return {};
}

}  // namespace

int main(int argc, char** argv)
{
    if (sodium_init() < 0) return 1;
    std::signal(SIGPIPE, SIG_IGN);

    CLI::App app{"Serves a flist as a file system, and makes, shows and checks flists."};
    app.require_subcommand(1);
    std::string level = "warn";
    app.add_option("--log-level", level, "debug, info, warn, error");

    MountCommand mounting;
    auto* mount_app = app.add_subcommand("mount", "serve a flist, read-only");
    mount_app->add_option("FLIST", mounting.flist)->required();
    mount_app->add_option("DIR", mounting.folder)->required();
    add_source(mount_app, mounting.source);
    mount_app->add_flag(
        "--remote-store",
        mounting.source.remote_store,
        "refuse a store that turns out to be on this machine");
    mount_app->add_option("--uid-shift", mounting.uid_shift, "added to every uid and gid");
    mount_app->add_flag("--foreground", mounting.foreground, "stay, and log to stderr");
    mount_app->add_option(
        "--ready-fd", mounting.ready_fd, "gets `ready` once requests are answered");
    mount_app->add_option("--fuse-fd", mounting.fuse_fd, "serve this mounted /dev/fuse descriptor");
    mount_app->add_option(
        "--state", mounting.state_file, "file through which a next server can take over");
    mount_app->add_option("--threads", mounting.threads, "requests answered at once")
        ->check(CLI::Range(1, 32));

    PackCommand packing;
    auto* pack_app = app.add_subcommand("pack", "make a flist of a folder");
    pack_app->add_option("DIR", packing.folder)->required();
    pack_app->add_option("-o,--output", packing.output, "the flist to write")->required();
    pack_app->add_option("--store", packing.store, "where the blocks go")->required();
    pack_app->add_option("--entrypoint", packing.entrypoint, "program and arguments, a JSON array");
    pack_app->add_flag("--progress", packing.progress, "show progress (default on a terminal)");
    pack_app->add_option("--threads", packing.threads, "files packed at once (0: one per CPU)");

    std::string flist;
    std::string path = "/";
    Source source;
    bool recursive = false;
    bool lengthy = false;
    bool json = false;
    auto* ls_app = app.add_subcommand("ls", "list a folder of a flist");
    ls_app->add_option("FLIST", flist)->required();
    ls_app->add_option("PATH", path);
    ls_app->add_flag("-R,--recursive", recursive);
    ls_app->add_flag("-l,--long", lengthy);

    auto* cat_app = app.add_subcommand("cat", "write a file's content to stdout");
    cat_app->add_option("FLIST", flist)->required();
    cat_app->add_option("PATH", path)->required();
    add_source(cat_app, source);

    auto* info_app = app.add_subcommand("info", "what a flist holds");
    info_app->add_option("FLIST", flist)->required();
    info_app->add_flag("--json", json);
    std::string memory_limit;
    info_app->add_option("--memory-limit", memory_limit, "address space that reading may take");

    auto* verify_app = app.add_subcommand("verify", "read and check every block of a flist");
    verify_app->add_option("FLIST", flist)->required();
    add_source(verify_app, source);

    auto* prefetch_app = app.add_subcommand("prefetch", "bring blocks into the cache");
    prefetch_app->add_option("FLIST", flist)->required();
    prefetch_app->add_option("PATH", path);
    add_source(prefetch_app, source);

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }

    const auto log = make_log("znode-flist", level);
    if (*mount_app) return outcome_of(mount(mounting, log));
    if (*pack_app) return outcome_of(pack(packing));
    if (*ls_app) return outcome_of(list_entries(flist, path, recursive, lengthy));
    if (*cat_app) return outcome_of(print_file(flist, path, source, log));
    if (*info_app) {
        const auto limited = limit_memory(memory_limit);
        return outcome_of(limited ? print_info(flist, json) : limited);
    }
    if (*verify_app) return outcome_of(verify(flist, source, log));
    return outcome_of(prefetch(flist, path, source, log));
}
