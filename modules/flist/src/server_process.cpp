#include "server_process.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "kernel/files.hpp"

namespace znode::flist {
namespace {

// Numbers in the server's own table; those of older servers must stay known.
constexpr int fuse_number = 3;
constexpr int ready_number = 4;
constexpr int version = 1;

}  // namespace

Result<> write_record(const std::filesystem::path& state, const MountRecord& record)
{
    const nlohmann::json json{
        {"version", version},
        {"key", record.key},
        {"path", record.path.string()},
        {"flist", record.flist.string()},
        {"md5", record.md5},
        {"url", record.url},
        {"store", record.store},
        {"uid_shift", record.uid_shift},
        {"remote_store", record.remote_store},
        {"pid", record.pid},
        {"start_time", record.start_time}};
    return kernel::write_file_atomically(
        state / "mount.json",
        json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace),
        0600);
}

Result<MountRecord> read_record(const std::filesystem::path& state)
try {
    TRY(const auto text, kernel::read_file(state / "mount.json"));
    const auto json = nlohmann::json::parse(text);
    if (json.at("version").get<int>() != version)
        return fail(Errc::unsupported, (state / "mount.json").string() + " is of another version");
    MountRecord record;
    record.key = json.at("key").get<std::string>();
    record.path = json.at("path").get<std::string>();
    record.flist = json.at("flist").get<std::string>();
    record.md5 = json.at("md5").get<std::string>();
    record.url = json.at("url").get<std::string>();
    record.store = json.at("store").get<std::string>();
    record.uid_shift = json.at("uid_shift").get<std::uint32_t>();
    record.remote_store = json.value("remote_store", false);  // Not in older ones.
    record.pid = json.at("pid").get<pid_t>();
    record.start_time = json.at("start_time").get<std::uint64_t>();
    return record;
} catch (const nlohmann::json::exception& error) {
    return fail(Errc::corrupt, (state / "mount.json").string() + ": " + error.what());
}

Result<StartedServer> start_server(const ServerSpec& spec, const kernel::Fd& fuse)
{
    int ends[2];
    const int err = error_of(::pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    if (err) return fail_errno(err, "make a pipe");
    kernel::Fd ready{ends[0]};
    const kernel::Fd server_end{ends[1]};

    kernel::ChildSpec child;
    child.argv = {
        spec.program,
        "--log-level",
        "info",
        "mount",
        spec.record.flist.string(),
        spec.record.path.string(),
        "--foreground",
        "--store",
        "@" + (spec.state / "store").string(),
        "--cache",
        spec.cache.string(),
        "--cache-limit",
        std::to_string(spec.cache_limit),
        "--uid-shift",
        std::to_string(spec.record.uid_shift),
        "--fuse-fd",
        std::to_string(fuse_number),
        "--ready-fd",
        std::to_string(ready_number),
        "--state",
        (spec.state / "takeover").string()};
    if (spec.record.remote_store) child.argv.emplace_back("--remote-store");
    child.descriptors = {
        {.from = STDERR_FILENO, .to = STDERR_FILENO},
        {.from = fuse.get(), .to = fuse_number},
        {.from = server_end.get(), .to = ready_number}};
    child.new_session = true;
    child.cgroup_procs = spec.cgroup_procs;
    child.umask = 077;
    TRY(auto started, kernel::Child::spawn(child));
    return StartedServer{std::move(started), std::move(ready)};
}

namespace {

/// Pid of the process that has the state's lock, or 0.
pid_t lock_owner(int fd)
{
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    const bool known = ::fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    return known ? std::max<pid_t>(lock.l_pid, 0) : 0;
}

}  // namespace

std::optional<kernel::Child> owner_of(const std::filesystem::path& state)
{
    const auto file = kernel::open_file((state / "takeover").string(), O_RDWR | O_NOFOLLOW);
    if (!file) return std::nullopt;
    const auto pid = lock_owner(file->get());
    if (pid == 0) return std::nullopt;
    const auto started = kernel::start_time_of(pid);
    if (!started) return std::nullopt;
    auto owner = kernel::Child::adopt(pid, *started);
    // Once more with the process in hand: its number may have gone to another meanwhile.
    if (!owner || lock_owner(file->get()) != pid) return std::nullopt;
    return *std::move(owner);
}

Result<kernel::Fd> fuse_of(const kernel::Child& server)
{
    const auto fd = ::syscall(SYS_pidfd_getfd, server.pidfd(), fuse_number, 0);
    const int err = error_of(fd);
    if (err) return fail_errno(err, "take the mount's descriptor from its server");
    return kernel::Fd{static_cast<int>(fd)};
}

}  // namespace znode::flist
