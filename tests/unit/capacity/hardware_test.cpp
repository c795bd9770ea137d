#include "capacity/hardware.hpp"

#include <gtest/gtest.h>

namespace znode::capacity {
namespace {

TEST(DmiTest, ReadsSectionsPropertiesAndItems)
{
    const auto report = dmi_report(
        "# dmidecode 3.4\nGetting SMBIOS data from sysfs.\n\n"
        "Handle 0x0000, DMI type 0, 24 bytes\nBIOS Information\n\tVendor: Acme\n"
        "\tCharacteristics:\n\t\tPCI is supported\n\t\tBoot from CD\n\n"
        "Handle 0x0100, DMI type 127, 4 bytes\nEnd Of Table\n");
    EXPECT_EQ(
        report,
        R"({"tooling":{"aggregator":"dmidecode 3.4","decoder":"znode"},"sections":[)"
        R"({"handleline":"Handle 0x0000, DMI type 0, 24 bytes","typestr":"BIOS","typenum":0,"subsections":[)"
        R"({"title":"BIOS Information","properties":{"Vendor":{"value":"Acme"},)"
        R"("Characteristics":{"value":"","items":["PCI is supported","Boot from CD"]}}}]},)"
        R"({"handleline":"Handle 0x0100, DMI type 127, 4 bytes","typenum":127,"subsections":[{"title":"End Of Table"}]}]})");
}

TEST(DmiTest, GarbageGivesAnEmptyReport)
{
    EXPECT_EQ(
        dmi_report("\tx: y\n\xff\n"),
        R"({"tooling":{"aggregator":"","decoder":"znode"},"sections":[]})");
}

TEST(SmartTest, KeepsWhatADeviceSaysButNotItsClock)
{
    EXPECT_EQ(
        disks_report(
            "smartctl 7.3 2022-02-28 r5338 [x86_64-linux-6.1] (local build)\n",
            {"Device Model:     Disk 1\nSerial Number: 7\nLocal Time is: now\n"},
            "x86_64-linux-6.1"),
        R"({"tool":"smartctl 7.3 2022-02-28 r5338","environment":"x86_64-linux-6.1","aggregator":"znode",)"
        R"("devices":[{"Tool":"smartctl 7.3 2022-02-28 r5338","Environment":"x86_64-linux-6.1",)"
        R"("Information":{"Device Model":"Disk 1","Serial Number":"7"}}]})");
}

TEST(HypervisorTest, BareMetalHasNone)
{
    EXPECT_TRUE(hypervisors("flags : fpu sse", "Acme").empty());
    EXPECT_EQ(hypervisors("flags : fpu hypervisor", "QEMU").at(0), "kvm");
    EXPECT_EQ(hypervisors("flags : fpu hypervisor", "VMware, Inc.").at(0), "vmware");
}

}  // namespace
}  // namespace znode::capacity
