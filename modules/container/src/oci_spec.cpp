#include "container/oci_spec.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "base/text.hpp"

namespace znode::container {
namespace {

using json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::int64_t cpu_period_us = 100'000;
constexpr std::uint64_t least_memory = std::uint64_t{8} << 20U;
constexpr std::uint32_t least_pids = 2;

constexpr std::array capabilities = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT"};

json mount(
    std::string destination, std::string type, std::string source, std::vector<std::string> options)
{
    return {
        {"destination", std::move(destination)},
        {"type", std::move(type)},
        {"source", std::move(source)},
        {"options", std::move(options)}};
}

json bind_file(std::string destination, const fs::path& source, bool executable)
{
    std::vector<std::string> options{"bind", "ro", "nosuid", "nodev"};
    if (!executable) options.emplace_back("noexec");
    return mount(std::move(destination), "bind", source, std::move(options));
}

json kernel_mounts()
{
    return {
        mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            {"nosuid", "noexec", "strictatime", "mode=755", "size=65536k"}),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
        mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
        mount(
            "/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
        mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
        mount(
            "/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}),
        mount("/run", "tmpfs", "tmpfs", {"nosuid", "nodev", "mode=755", "size=16m"}),
    };
}

json mounts_of(const OciInputs& in)
{
    auto mounts = kernel_mounts();
    mounts.push_back(bind_file("/etc/resolv.conf", in.bundle / "resolv.conf", false));
    mounts.push_back(bind_file("/etc/hosts", in.bundle / "hosts", false));
    mounts.push_back(bind_file("/.znode/init", in.init_program, true));
    if (in.spec->interactive) mounts.push_back(bind_file("/.znode/corex", in.corex_program, true));

    // Outer before inner, else the outer covers the inner; a prefix sorts first.
    auto volumes = in.spec->volumes;
    std::ranges::sort(volumes, {}, [](const VolumeMount& volume) {
        return fs::path{volume.mount_point}.lexically_normal();
    });
    for (const auto& volume : volumes)
        mounts.push_back(mount(
            fs::path{volume.mount_point}.lexically_normal(),
            "bind",
            volume.source,
            {"rbind", volume.read_only ? "ro" : "rw", "nosuid", "nodev", "idmap"}));
    return mounts;
}

json environment_of(const OciInputs& in)
{
    json list = json::array();
    for (const auto& [name, value] : in.program->environment)
        if (!in.spec->secret_environment.contains(name)) list.push_back(name + "=" + value);
    for (const auto& [name, value] : in.spec->secret_environment)
        list.push_back(name + "=" + std::string{value.reveal()});
    return list;
}

json process_of(const OciInputs& in)
{
    // Descriptors 3 to 5: status file and the read ends of the output.
    json args = {"/.znode/init", "3", "4", "5", std::to_string(drain_ms), "--"};
    if (in.spec->interactive) {
        for (const char* word : {"/.znode/corex", "--ipv6", "-d", "7", "--interface", "eth0"})
            args.push_back(word);
    } else {
        for (const auto& word : in.program->argv) args.push_back(word);
    }
    return {
        {"terminal", false},
        {"user", {{"uid", 0}, {"gid", 0}, {"umask", 022}}},
        {"args", std::move(args)},
        {"env", environment_of(in)},
        {"cwd", in.program->folder},
        {"capabilities",
         {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
        {"rlimits",
         {{{"type", "RLIMIT_NOFILE"}, {"soft", 1024}, {"hard", 16384}},
          {{"type", "RLIMIT_CORE"}, {"soft", 0}, {"hard", 0}}}},
        {"noNewPrivileges", true},
        {"oomScoreAdj", 300},
    };
}

json resources_of(const Limits& limits)
{
    const auto quota = static_cast<std::int64_t>(std::llround(limits.cpus * cpu_period_us));
    const auto shares = static_cast<std::int64_t>(std::llround(limits.cpus * 1024));
    return {
        // Swap is memory and swap together: none of it.
        {"memory", {{"limit", limits.memory_bytes}, {"swap", limits.memory_bytes}}},
        {"pids", {{"limit", limits.pids + 1}}},  // One is init.
        {"cpu",
         {{"quota", std::max<std::int64_t>(quota, 1000)},
          {"period", cpu_period_us},
          {"shares", std::clamp<std::int64_t>(shares, 2, 262144)}}},
        {"devices", {{{"allow", false}, {"access", "rwm"}}}},
    };
}

json linux_of(const OciInputs& in)
{
    const json ids = {
        {{"containerID", 0}, {"hostID", in.spec->ids.first}, {"size", in.spec->ids.length}}};
    return {
        {"uidMappings", ids},
        {"gidMappings", ids},
        {"namespaces",
         {{{"type", "pid"}},
          {{"type", "mount"}},
          {{"type", "ipc"}},
          {{"type", "uts"}},
          {{"type", "cgroup"}},
          {{"type", "user"}, {"path", in.namespaces.user}},
          {{"type", "network"}, {"path", in.namespaces.network}}}},
        {"cgroupsPath", in.cgroups_path},
        {"resources", resources_of(in.spec->limits)},
        {"maskedPaths",
         {"/proc/acpi",
          "/proc/asound",
          "/proc/kcore",
          "/proc/keys",
          "/proc/latency_stats",
          "/proc/timer_list",
          "/proc/timer_stats",
          "/proc/sched_debug",
          "/proc/scsi",
          "/sys/firmware",
          "/sys/dev/block",
          "/sys/kernel"}},
        {"readonlyPaths",
         {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}},
    };
}

std::string hostname_of(const ContainerSpec& spec)
{
    return spec.hostname.empty() ? spec.gwid : spec.hostname;
}

/// Whether `path` is `folder` or below it, by component.
bool is_within(const fs::path& path, const fs::path& folder)
{
    return std::ranges::mismatch(path, folder).in2 == folder.end();
}

Result<> check_mount_point(const std::string& text, std::set<fs::path>& seen)
{
    const auto wrong = [&](const char* why) {
        return fail(Errc::invalid, "mount point \"" + printable(text) + "\" " + why);
    };
    if (!text.starts_with('/')) return wrong("must begin with /");
    if (text.size() > 1024 || text.find('\0') != std::string::npos) return wrong("is no path");
    for (const auto part : split(text, '/'))
        if (part == "..") return wrong("must not contain ..");
    auto path = fs::path{text}.lexically_normal();
    if (!path.has_filename()) path = path.parent_path();  // "/data/"
    if (path == "/") return wrong("must not be the root");
    for (const char* taken : {"/proc", "/sys", "/dev", "/.znode"})
        if (is_within(path, taken)) return wrong("lies in a folder that the node provides");
    if (!seen.insert(path).second) return wrong("is used twice");
    return {};
}

}  // namespace

Secret build_oci_spec(const OciInputs& in)
{
    const json spec = {
        {"ociVersion", "1.0.2"},
        {"process", process_of(in)},
        {"root", {{"path", in.root}, {"readonly", false}}},
        {"hostname", hostname_of(*in.spec)},
        {"mounts", mounts_of(in)},
        {"linux", linux_of(in)},
        {"annotations",
         {{"run.oci.seccomp_bpf_data", in.seccomp_filter}, {"org.znode.owner", in.spec->owner}}},
    };
    // Text that is no UTF-8 can come from a root's .startup.toml at most; it must not throw.
    return Secret{spec.dump(1, ' ', false, json::error_handler_t::replace)};
}

Result<> check_spec(const ContainerSpec& spec, unsigned host_threads)
{
    const auto fits = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-' || c == '_' || c == '.' || c == '+';
    };
    // The longest id leaves room for the paths that are made of it.
    if (spec.gwid.empty() || spec.gwid.size() > 64 || !std::ranges::all_of(spec.gwid, fits) ||
        spec.gwid.front() == '.' || spec.gwid.front() == '-')
        return fail(Errc::invalid, "container id \"" + printable(spec.gwid) + "\" is not one");
    if (spec.ids.first < 65536 || spec.ids.length < 65536)
        return fail(Errc::internal, "container " + spec.gwid + ": no id range of its own");
    const auto& limits = spec.limits;
    if (!(limits.cpus > 0))
        return fail(Errc::invalid, "cannot create a container with 0 CPU allocated");
    if (limits.cpus > host_threads)
        return fail(
            Errc::invalid,
            "asked " + std::to_string(std::llround(std::ceil(limits.cpus))) + " CRU while only " +
                std::to_string(host_threads) + " are available");
    if (limits.memory_bytes < least_memory)
        return fail(Errc::invalid, "a container needs at least 8 MiB of memory");
    if (limits.pids < least_pids)
        return fail(Errc::invalid, "a container needs at least 2 processes");
    if (spec.root.lower.empty())
        return fail(Errc::internal, "container " + spec.gwid + ": no root");

    std::set<fs::path> seen;
    for (const auto& volume : spec.volumes) TRY_DO(check_mount_point(volume.mount_point, seen));
    return {};
}

std::string resolv_conf(const ContainerSpec& spec)
{
    std::string text;
    for (const auto& server : spec.dns_servers) text += "nameserver " + server + "\n";
    return text;
}

std::string hosts_file(const ContainerSpec& spec)
{
    std::string text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
    for (const auto& line : spec.hosts) text += line + "\n";
    const auto name = hostname_of(spec);
    if (spec.hosts.empty()) text += "127.0.1.1 " + name + "\n";
    return text;
}

}  // namespace znode::container
