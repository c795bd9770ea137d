#include "container/seccomp.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <memory>

#include <seccomp.h>

#include "kernel/fd.hpp"
#include "seccomp_names.hpp"

namespace znode::container {
namespace {

/// clone() may not make namespaces: CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER,
/// NEWPID, NEWNET.
constexpr std::uint64_t namespace_flags = 0x7E020080;

/// Takes a rule's answer: a call that this architecture lacks, or a rule that the default says
/// already, is no mistake.
Result<> check(int returned, const char* name)
{
    if (returned == 0 || returned == -EEXIST || returned == -EACCES || returned == -EDOM) return {};
    return fail_errno(-returned, std::string{"seccomp rule for "} + name);
}

/// Instructions in front of the filter: no subvolume is made from within. The owner of a folder on
/// btrfs may make one without any capability, and it would not count against his volume's quota.
/// libseccomp has no rule "but for these values", so these are written by hand; a jump's targets
/// are counted from the instruction after it.
std::string refuse_subvolumes()
{
    constexpr auto load = static_cast<std::uint16_t>(BPF_LD | BPF_W | BPF_ABS);
    constexpr auto equal = static_cast<std::uint16_t>(BPF_JMP | BPF_JEQ | BPF_K);
    constexpr auto mask = static_cast<std::uint16_t>(BPF_ALU | BPF_AND | BPF_K);
    constexpr auto answer = static_cast<std::uint16_t>(BPF_RET | BPF_K);
    constexpr auto number = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
    // The low half of the second argument, on machines that store it first.
    constexpr auto request = static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8);
    constexpr std::uint32_t x32_bit = 0x40000000;
    static constexpr sock_filter instructions[]{
#if defined(__x86_64__)
        /* 0*/ {load, 0, 0, static_cast<std::uint32_t>(offsetof(seccomp_data, arch))},
        /* 1*/ {equal, 3, 0, AUDIT_ARCH_X86_64},
        /* 2*/ {equal, 0, 13, AUDIT_ARCH_I386},
        /* 3*/ {load, 0, 0, number},
        /* 4*/ {equal, 4, 11, 54},  // ioctl of i386
        /* 5*/ {load, 0, 0, number},
        /* 6*/ {mask, 0, 0, ~x32_bit},
        /* 7*/ {equal, 1, 0, SYS_ioctl},
        /* 8*/ {equal, 0, 7, 514},  // ioctl of x32
#else
        {load, 0, 0, number},
        {equal, 0, 7, SYS_ioctl},
#endif
        /* 9*/ {load, 0, 0, request},
        /*10*/ {mask, 0, 0, 0xFFFF},
        /*11*/ {equal, 3, 0, 0x940E},  // BTRFS_IOC_SUBVOL_CREATE
        /*12*/ {equal, 2, 0, 0x9418},  // BTRFS_IOC_SUBVOL_CREATE_V2
        /*13*/ {equal, 1, 0, 0x9401},  // BTRFS_IOC_SNAP_CREATE
        /*14*/ {equal, 0, 1, 0x9417},  // BTRFS_IOC_SNAP_CREATE_V2
        /*15*/ {answer, 0, 0, SECCOMP_RET_ERRNO | EPERM},
    };
    return {reinterpret_cast<const char*>(instructions), sizeof instructions};
}

}  // namespace

Result<std::string> compile_seccomp_filter()
{
    const std::unique_ptr<void, decltype(&::seccomp_release)> filter{
        ::seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), &::seccomp_release};
    if (!filter) return fail(Errc::exhausted, "seccomp: no memory");
#if defined(__x86_64__)
    for (const auto architecture :
         {static_cast<std::uint32_t>(SCMP_ARCH_X86), static_cast<std::uint32_t>(SCMP_ARCH_X32)})
        TRY_DO(check(::seccomp_arch_add(filter.get(), architecture), "architecture"));
#endif
    // A binary tree instead of a list: a call late in the list costs no more than an early one.
    TRY_DO(check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimize"));

    for (const char* name : allowed_calls) {
        const int call = ::seccomp_syscall_resolve_name(name);
        if (call == __NR_SCMP_ERROR) continue;
        TRY_DO(check(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0), name));
    }
    for (const char* name : refused_calls) {
        const int call = ::seccomp_syscall_resolve_name(name);
        if (call == __NR_SCMP_ERROR) continue;
        TRY_DO(check(::seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EPERM), call, 0), name));
    }
    const struct scmp_arg_cmp plain{0, SCMP_CMP_MASKED_EQ, namespace_flags, 0};
    TRY_DO(check(
        ::seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &plain),
        "clone"));
    // clone3 hides its flags in memory, where no filter can look: glibc falls back to clone.

    const kernel::Fd memory{::memfd_create("znode-seccomp", MFD_CLOEXEC)};
    const int err = error_of(memory.get());
    if (err) return fail_errno(err, "seccomp: memfd");
    TRY_DO(check(::seccomp_export_bpf(filter.get(), memory.get()), "export"));
    const auto size = ::lseek(memory.get(), 0, SEEK_END);
    if (size <= 0) return fail(Errc::internal, "seccomp: the filter is empty");
    std::string bytes(static_cast<std::size_t>(size), '\0');
    if (::pread(memory.get(), bytes.data(), bytes.size(), 0) != size)
        return fail(Errc::internal, "seccomp: the filter can't be read back");
    return refuse_subvolumes() + bytes;
}

}  // namespace znode::container
