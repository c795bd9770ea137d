#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "async/task.hpp"
#include "base/result.hpp"

namespace znode::capacity {

/// What the machine is made of, in the words of the explorer's capacity report.
struct Hardware {
    std::string dmi_json;                 ///< {"tooling": …, "sections": […]}
    std::string disks_json;               ///< {"tool", "environment", "aggregator", "devices"}
    std::vector<std::string> hypervisor;  ///< "kvm", …; empty on bare metal.
};

/// Asks dmidecode, smartctl and /proc. What is missing or hangs leaves its part empty: a home
/// server or a virtual machine reports what there is. Takes some 10 ms, 20 s at most.
Task<Hardware> describe_hardware();

/// dmidecode's text as the report's `dmi`.
std::string dmi_report(std::string_view dmidecode);
/// smartctl's version line and the texts of `smartctl -i` per device as the report's `disks`.
std::string disks_report(
    std::string_view version,
    const std::vector<std::string>& devices,
    std::string_view environment);
/// Names of hypervisors, from /proc/cpuinfo and the DMI vendor.
std::vector<std::string> hypervisors(std::string_view cpuinfo, std::string_view vendor);

}  // namespace znode::capacity
