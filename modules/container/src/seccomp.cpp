#include "container/seccomp.hpp"

#include <sys/mman.h>
#include <unistd.h>

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
    return bytes;
}

}  // namespace znode::container
