#include "doctor.hpp"

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <thread>

#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::agent {
namespace {

class Examination {
public:
    void ok(const std::string& name, const std::string& message) { add(name, "ok", message, ""); }
    void warning(const std::string& name, const std::string& message, const std::string& remedy)
    {
        add(name, "warning", message, remedy);
    }
    void failed(const std::string& name, const std::string& message, const std::string& remedy)
    {
        add(name, "failed", message, remedy);
    }
    v1::Doctor result() && { return std::move(doctor_); }

private:
    void add(
        const std::string& name,
        const char* outcome,
        const std::string& message,
        const std::string& remedy)
    {
        auto* check = doctor_.add_checks();
        check->set_name(name);
        check->set_outcome(outcome);
        check->set_message(message);
        check->set_remedy(remedy);
    }
    v1::Doctor doctor_;
};

bool in_path(const std::string& program)
{
    for (const auto* folder :
         {"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"})
        if (::access((folder + program).c_str(), X_OK) == 0) return true;
    return false;
}

void check_programs(Examination& examination)
{
    static constexpr std::pair<const char*, const char*> programs[]{
        {"crun", "containers cannot start"},
        {"nft", "networks cannot be made"},
        {"mkfs.btrfs", "image pools cannot be made"},
    };
    for (const auto& [program, loss] : programs) {
        if (in_path(program))
            examination.ok(program, "installed");
        else
            examination.failed(
                program,
                std::string{"not installed: "} + loss,
                std::string{"install the Debian package of "} + program);
    }
}

void check_file_systems(Examination& examination)
{
    const auto known = kernel::read_file("/proc/filesystems").value_or("");
    for (const auto* type : {"btrfs", "overlay", "fuse"}) {
        // A module that is not loaded yet is not listed; mounting loads it.
        if (known.find(std::string{"\t"} + type + "\n") != std::string::npos)
            examination.ok(type, "known to the kernel");
        else
            examination.warning(type, "not listed by the kernel", std::string{"modprobe "} + type);
    }
    if (::access("/dev/fuse", R_OK | W_OK) == 0)
        examination.ok("/dev/fuse", "there");
    else
        examination.failed("/dev/fuse", "missing: flists cannot be mounted", "modprobe fuse");
}

void check_clock(Examination& examination)
{
    if (is_plausible(std::time(nullptr)))
        examination.ok("clock", "plausible");
    else
        examination.failed(
            "clock", "is before 2025: signatures and certificates are refused", "set the clock");
}

void check_disk(Examination& examination, const std::filesystem::path& state_dir)
{
    struct statvfs space{};
    if (::statvfs(state_dir.c_str(), &space) != 0) {
        examination.failed(
            "state folder", state_dir.string() + " cannot be read", "check that it exists");
        return;
    }
    const auto free = std::uint64_t{space.f_bavail} * space.f_frsize;
    const auto text = format_size(free) + " free below " + state_dir.string();
    if (free > (std::uint64_t{512} << 20U))
        examination.ok("state folder", text);
    else
        examination.warning("state folder", text, "make room: results and logs are kept there");
}

}  // namespace

bool is_plausible(std::time_t now)
{
    constexpr std::time_t year_2025 = 1'735'689'600;
    return now >= year_2025;
}

v1::Doctor examine(const DoctorFacts& facts)
{
    Examination examination;
    utsname machine{};
    ::uname(&machine);
    examination.ok("kernel", std::string{"Linux "} + machine.release);
    examination.ok("control groups", facts.cgroup_layout);
    check_file_systems(examination);
    check_programs(examination);
    if (facts.host)
        examination.ok(
            "WireGuard",
            facts.host->wireguard == network::WireGuardKind::kernel ? "in the kernel"
                                                                    : "by wireguard-go");
    else
        examination.failed(
            "network",
            "the node's network could not be set up",
            "see the problems in the status for the reason");
    check_clock(examination);
    check_disk(examination, facts.state_dir);
    if (facts.pools.empty())
        examination.warning(
            "storage",
            "no pool: volumes and containers are refused",
            "name one in [storage] pools");
    for (const auto& pool : facts.pools) {
        const auto name = "pool " + pool.name;
        if (pool.state == storage::PoolState::ready)
            examination.ok(name, format_size(pool.free) + " free of " + format_size(pool.total));
        else if (pool.state == storage::PoolState::full)
            examination.warning(name, pool.problem, "make room or add a pool");
        else
            examination.failed(name, pool.problem, "see the message; the other pools work on");
    }
    if (facts.link.reachable && facts.link.registered)
        examination.ok("explorer", facts.explorer_url + " knows this node");
    else
        examination.failed(
            "explorer",
            facts.link.message.empty() ? facts.explorer_url + " was not asked yet"
                                       : facts.link.message,
            "check explorer.url and farm_id in the config, and this machine's network");
    return std::move(examination).result();
}

void describe_machine(v1::Capacity& view)
{
    const auto info = kernel::read_file("/proc/cpuinfo").value_or("");
    for (const auto line : split(info, '\n')) {
        if (!line.starts_with("model name")) continue;
        view.set_cpu_model(printable(trim(line.substr(line.find(':') + 1))));
        break;
    }
    view.set_cores(std::thread::hardware_concurrency());
    const auto dmi = [](const char* name) {
        return printable(
            trim(kernel::read_file(std::string{"/sys/class/dmi/id/"} + name).value_or("")));
    };
    view.set_board(dmi("product_name"));
    if (info.find(" hypervisor") != std::string::npos) {
        const auto vendor = dmi("sys_vendor");
        view.set_hypervisor(vendor.empty() ? "unknown" : vendor);
    }
}

}  // namespace znode::agent
