#include "capacity/hardware.hpp"

#include <sys/utsname.h>

#include "async/child.hpp"
#include "base/text.hpp"
#include "kernel/files.hpp"

namespace znode::capacity {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_disks = 64;

/// What the program printed, "" when it is not there, fails or hangs.
Task<std::string> output_of(std::vector<std::string> argv)
{
    kernel::ChildSpec spec;
    spec.argv = std::move(argv);
    const auto output = co_await run_child(std::move(spec), "", 5s);
    // smartctl uses exit bits for the health of the disk: what it printed counts.
    co_return output ? output->out : std::string{};
}

}  // namespace

Task<Hardware> describe_hardware()
{
    Hardware hardware;
    hardware.dmi_json = dmi_report(co_await output_of({"dmidecode"}));

    const auto version = co_await output_of({"smartctl", "--version"});
    std::vector<std::string> devices;
    if (!version.empty()) {
        const auto scan = co_await output_of({"smartctl", "--scan"});
        for (const auto line : split(scan, '\n')) {
            const auto words = split(line, ' ');
            if (words.size() < 3 || !words[0].starts_with("/dev/") || words[1] != "-d") continue;
            if (devices.size() == most_disks) break;
            devices.push_back(co_await output_of(
                {"smartctl", "-i", std::string{words[0]}, "-d", std::string{words[2]}}));
        }
    }
    utsname machine{};
    ::uname(&machine);
    hardware.disks_json =
        disks_report(version, devices, std::string{machine.machine} + "-linux-" + machine.release);
    hardware.hypervisor = hypervisors(
        kernel::read_file("/proc/cpuinfo").value_or(""),
        kernel::read_file("/sys/class/dmi/id/sys_vendor").value_or(""));
    co_return hardware;
}

}  // namespace znode::capacity
