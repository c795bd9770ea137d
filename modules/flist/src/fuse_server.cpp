// The tree as the kernel sees it. Nothing here ever changes, so the kernel may keep all it learns
// for ever; node ids are positions in the tree and there are no handles, so that a server can be
// replaced by another one that read the same flist.

#define FUSE_USE_VERSION 312

#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>
#include <limits>

#include <fuse_lowlevel.h>

#include "flist/mount.hpp"
#include "kernel/mount.hpp"
#include "takeover.hpp"

namespace znode::flist {
namespace {

constexpr double for_ever = 365.0 * 86400;
constexpr unsigned request_limit = 512U << 10U;  // Of a read: one chunk at most.
constexpr unsigned reads_under_way = 64;

struct Server {
    const Tree& tree;
    Content& content;
    Log log;
    const ServeOptions& options;
    Takeover takeover;
    int fuse = -1;
};

Server& server_of(fuse_req_t request) { return *static_cast<Server*>(fuse_req_userdata(request)); }

/// The kernel's number of an entry; the root must be 1.
fuse_ino_t number_of(Index index) { return fuse_ino_t{index} + FUSE_ROOT_ID; }

const Node* node_of(const Server& server, fuse_ino_t number)
{
    const auto index = number - FUSE_ROOT_ID;
    return index < server.tree.size() ? &server.tree[static_cast<Index>(index)] : nullptr;
}

struct stat attributes_of(const Server& server, Index index)
{
    const Node& node = server.tree[index];
    struct stat status{};
    status.st_ino = number_of(index);
    status.st_mode = node.mode;
    status.st_nlink = server.tree.links(node);
    status.st_uid = node.uid + server.options.uid_shift;
    status.st_gid = node.gid + server.options.uid_shift;
    status.st_rdev = ::makedev(node.major, node.minor);
    status.st_size =
        static_cast<off_t>(std::min<std::uint64_t>(node.size, std::numeric_limits<off_t>::max()));
    status.st_blksize = 4096;
    status.st_blocks = node.is_file() ? static_cast<blkcnt_t>((node.size + 511) / 512) : 0;
    status.st_atim.tv_sec = status.st_mtim.tv_sec = node.mtime;
    status.st_ctim.tv_sec = node.ctime;
    return status;
}

fuse_entry_param entry_of(const Server& server, Index index)
{
    fuse_entry_param entry{};
    entry.ino = number_of(index);
    entry.attr = attributes_of(server, index);
    entry.attr_timeout = for_ever;
    entry.entry_timeout = for_ever;
    return entry;
}

void on_init(void* userdata, fuse_conn_info* connection)
{
    auto& server = *static_cast<Server*>(userdata);
    const auto want = [&](unsigned capability) {
        if ((connection->capable & capability) != 0) connection->want |= capability;
    };
    want(FUSE_CAP_ASYNC_READ);
    want(FUSE_CAP_PARALLEL_DIROPS);
    want(FUSE_CAP_READDIRPLUS);
    want(FUSE_CAP_CACHE_SYMLINKS);
    want(FUSE_CAP_NO_OPEN_SUPPORT);
    want(FUSE_CAP_NO_OPENDIR_SUPPORT);
    want(FUSE_CAP_EXPORT_SUPPORT);
    // Attributes cost us nothing: give them with every listing, not when the kernel guesses.
    connection->want &= ~static_cast<unsigned>(FUSE_CAP_READDIRPLUS_AUTO);
    connection->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
    connection->max_write = request_limit;  // The kernel derives the largest read from it.
    connection->max_readahead = request_limit;
    connection->max_background = reads_under_way;
    connection->congestion_threshold = reads_under_way;
    (void)server;
}

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name)
{
    const auto& server = server_of(request);
    const Node* folder = node_of(server, parent);
    if (folder == nullptr) {
        fuse_reply_err(request, ESTALE);
        return;
    }
    std::optional<Index> found;
    if (std::strcmp(name, ".") == 0)
        found = static_cast<Index>(parent - FUSE_ROOT_ID);
    else if (std::strcmp(name, "..") == 0)
        found = folder->parent;
    else
        found = server.tree.child(*folder, name);

    fuse_entry_param entry{};
    entry.entry_timeout = for_ever;  // With number 0: there is no such name, for ever.
    if (found) entry = entry_of(server, *found);
    fuse_reply_entry(request, &entry);
}

void on_getattr(fuse_req_t request, fuse_ino_t number, fuse_file_info*)
{
    const auto& server = server_of(request);
    if (node_of(server, number) == nullptr) {
        fuse_reply_err(request, ESTALE);
        return;
    }
    const auto status = attributes_of(server, static_cast<Index>(number - FUSE_ROOT_ID));
    fuse_reply_attr(request, &status, for_ever);
}

void on_readlink(fuse_req_t request, fuse_ino_t number)
{
    const auto& server = server_of(request);
    const Node* node = node_of(server, number);
    if (node == nullptr || !node->is_link()) {
        fuse_reply_err(request, EINVAL);
        return;
    }
    fuse_reply_readlink(request, std::string{server.tree.target(*node)}.c_str());
}

/// ENOSYS means success to the kernel, which then never asks again and keeps the pages.
void on_open(fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, ENOSYS); }

void on_read(fuse_req_t request, fuse_ino_t number, std::size_t size, off_t offset, fuse_file_info*)
{
    auto& server = server_of(request);
    const Node* node = node_of(server, number);
    if (node == nullptr || !node->is_file() || offset < 0) {
        fuse_reply_err(request, EINVAL);
        return;
    }
    std::uint64_t at = static_cast<std::uint64_t>(offset);
    std::uint64_t left = at < node->size ? std::min<std::uint64_t>(size, node->size - at) : 0;

    // A read of at most a chunk's length touches two chunks at most.
    Chunk chunks[3];
    iovec pieces[3];
    int count = 0;
    while (left > 0 && count < 3) {
        auto chunk = server.content.chunk(*node, at / chunk_size);
        if (!chunk) {
            fuse_reply_err(request, EIO);
            return;
        }
        chunks[count] = *std::move(chunk);
        const auto inside = at % chunk_size;
        const auto length = std::min<std::uint64_t>(left, chunks[count]->size() - inside);
        pieces[count].iov_base = const_cast<char*>(chunks[count]->data() + inside);  // NOLINT
        pieces[count].iov_len = length;
        at += length;
        left -= length;
        ++count;
    }
    fuse_reply_iov(request, pieces, count);
}

/// Position in a listing: 0 is ".", 1 is "..", then the children.
void list(fuse_req_t request, fuse_ino_t number, std::size_t size, off_t offset, bool plus)
{
    const auto& server = server_of(request);
    const Node* folder = node_of(server, number);
    if (folder == nullptr || !folder->is_folder() || offset < 0) {
        fuse_reply_err(request, ENOTDIR);
        return;
    }
    std::string buffer(size, '\0');
    std::size_t used = 0;
    const off_t end = off_t{folder->count} + 2;
    for (off_t at = offset; at < end; ++at) {
        fuse_entry_param entry{};
        std::string name;
        if (at < 2) {
            // Without a number the kernel takes no reference: these two it knows itself.
            const auto self = static_cast<Index>(number - FUSE_ROOT_ID);
            entry.attr = attributes_of(server, at == 0 ? self : folder->parent);
            name = at == 0 ? "." : "..";
        } else {
            const auto child = folder->first + static_cast<Index>(at - 2);
            entry = entry_of(server, child);
            name = server.tree.name(child);
        }
        char* into = buffer.data() + used;
        const auto room = size - used;
        const auto taken =
            plus ? fuse_add_direntry_plus(request, into, room, name.c_str(), &entry, at + 1)
                 : fuse_add_direntry(request, into, room, name.c_str(), &entry.attr, at + 1);
        if (taken > room) break;
        used += taken;
    }
    fuse_reply_buf(request, buffer.data(), used);
}

void on_readdir(fuse_req_t request, fuse_ino_t number, std::size_t size, off_t at, fuse_file_info*)
{
    list(request, number, size, at, false);
}

void on_readdirplus(
    fuse_req_t request, fuse_ino_t number, std::size_t size, off_t at, fuse_file_info*)
{
    list(request, number, size, at, true);
}

void on_statfs(fuse_req_t request, fuse_ino_t)
{
    const auto& server = server_of(request);
    struct statvfs status{};
    status.f_bsize = status.f_frsize = 4096;
    status.f_blocks = (server.tree.content_bytes() + 4095) / 4096;
    status.f_files = server.tree.size();
    status.f_namemax = 255;
    fuse_reply_statfs(request, &status);
}

/// A flist carries no extended attributes; above all it must not carry those that overlayfs
/// believes in.
void on_getxattr(fuse_req_t request, fuse_ino_t, const char*, std::size_t)
{
    fuse_reply_err(request, ENODATA);
}

void on_listxattr(fuse_req_t request, fuse_ino_t, std::size_t size)
{
    if (size == 0)
        fuse_reply_xattr(request, 0);
    else
        fuse_reply_buf(request, nullptr, 0);
}

/// Nothing is counted, so nothing is to be forgotten.
void on_forget(fuse_req_t request, fuse_ino_t, std::uint64_t) { fuse_reply_none(request); }
void on_forget_multi(fuse_req_t request, std::size_t, fuse_forget_data*)
{
    fuse_reply_none(request);
}

fuse_lowlevel_ops operations()
{
    fuse_lowlevel_ops ops{};
    ops.init = on_init;
    ops.lookup = on_lookup;
    ops.forget = on_forget;
    ops.forget_multi = on_forget_multi;
    ops.getattr = on_getattr;
    ops.readlink = on_readlink;
    ops.open = on_open;
    ops.opendir = on_open;
    ops.read = on_read;
    ops.readdir = on_readdir;
    ops.readdirplus = on_readdirplus;
    ops.statfs = on_statfs;
    ops.getxattr = on_getxattr;
    ops.listxattr = on_listxattr;
    return ops;
}

ssize_t read_request(int fuse, void* into, std::size_t size, void* userdata)
{
    return static_cast<Server*>(userdata)->takeover.read(fuse, into, size);
}

ssize_t write_answer(int fuse, iovec* parts, int count, void* userdata)
{
    return static_cast<Server*>(userdata)->takeover.write(fuse, parts, count);
}

struct DestroySession {
    void operator()(fuse_session* session) const noexcept { fuse_session_destroy(session); }
};
struct DestroyConfig {
    void operator()(fuse_loop_config* config) const noexcept { fuse_loop_cfg_destroy(config); }
};

/// Before anything else libfuse must have seen an INIT: the kernel's own, or, when we take over,
/// the one that the kernel sent to the first server.
Result<> begin(fuse_session* session, Server& server)
{
    std::string request = server.takeover.init();
    const bool taking_over = !request.empty();
    if (!taking_over) {
        request.resize(request_limit + 8192);
        const auto got = kernel::retry_eintr(
            [&] { return server.takeover.read(server.fuse, request.data(), request.size()); });
        const int err = error_of(got);
        if (err) return fail_errno(err, "wait for the kernel's first request");
        request.resize(static_cast<std::size_t>(got));
    }
    fuse_buf buffer{};
    buffer.mem = request.data();
    buffer.size = request.size();
    if (taking_over) server.takeover.mute();
    fuse_session_process_buf(session, &buffer);
    server.takeover.unmute();
    if (taking_over)
        server.log->info(
            "took over from an earlier server requests={}", server.takeover.left_behind());
    return {};
}

}  // namespace

Result<kernel::Fd> attach_fuse(const std::filesystem::path& folder, const std::string& name)
{
    TRY(auto fuse, kernel::open_file("/dev/fuse", O_RDWR));
    kernel::MountSpec spec;
    spec.source = name;
    spec.target = folder;
    spec.type = "fuse.znode-flist";
    spec.flags = MS_RDONLY;
    spec.options = "fd=" + std::to_string(fuse.get()) +
                   ",rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions";
    TRY(auto mount, kernel::Mount::attach(spec));
    (void)std::move(mount).keep();  // Lives as long as the descriptor.
    return fuse;
}

Result<> serve(
    kernel::Fd fuse, const Tree& tree, Content& content, Log log, const ServeOptions& options)
{
    TRY(auto takeover, Takeover::open(options.state_file));
    Server server{tree, content, std::move(log), options, std::move(takeover), fuse.get()};

    char name[] = "znode-flist";
    char* argv[] = {name, nullptr};
    fuse_args args = FUSE_ARGS_INIT(1, argv);
    const auto ops = operations();
    const std::unique_ptr<fuse_session, DestroySession> session{
        fuse_session_new(&args, &ops, sizeof ops, &server)};
    fuse_opt_free_args(&args);
    if (!session) return fail(Errc::internal, "libfuse makes no session");
    fuse_custom_io io{};
    io.read = read_request;
    io.writev = write_answer;
    const int refused = fuse_session_custom_io(session.get(), &io, fuse.release());
    if (refused != 0) return fail(Errc::unsupported, "libfuse takes no descriptor of ours");

    TRY_DO(begin(session.get(), server));
    if (options.ready) options.ready();

    const std::unique_ptr<fuse_loop_config, DestroyConfig> config{fuse_loop_cfg_create()};
    fuse_loop_cfg_set_clone_fd(config.get(), 0);
    fuse_loop_cfg_set_max_threads(config.get(), options.threads);
    fuse_loop_cfg_set_idle_threads(config.get(), options.threads);
    const int outcome = fuse_session_loop_mt(session.get(), config.get());
    content.stop();
    if (outcome < 0) return fail_errno(-outcome, "serve the mount");
    return {};
}

}  // namespace znode::flist
