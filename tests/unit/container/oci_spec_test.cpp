#include "container/oci_spec.hpp"

#include <asm/termbits.h>
#include <linux/btrfs.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "container/seccomp.hpp"
#include "kernel/files.hpp"

namespace znode::container {
namespace {

using testing::HasSubstr;

ContainerSpec web()
{
    ContainerSpec spec;
    spec.gwid = "12-1";
    spec.owner = R"({"node": "01234567", "gwid": "12-1"})";
    spec.ids = {1'000'000, 65536};
    spec.root = {{"/run/znode/flist/abc"}, "/run/znode/pool/12-1"};
    spec.volumes = {
        {"/run/znode/pool/2-2", "/data/inner", true}, {"/run/znode/pool/2-1", "/data/", false}};
    spec.environment = {{"SHARDS", "a:b@c"}, {"KEY", "hidden by the secret one"}};
    spec.secret_environment.emplace("KEY", Secret{"s3cret"});
    spec.limits = {.cpus = 2, .memory_bytes = std::uint64_t{4} << 30U, .pids = 100};
    return spec;
}

std::string config_of(const ContainerSpec& spec)
{
    const auto program =
        *choose_program("/bin/web --port '80 80'", "/srv", spec.environment, Startup{});
    const OciInputs inputs{
        .spec = &spec,
        .program = &program,
        .namespaces = {"/run/znode/ns/12-1/user", "/run/znode/ns/12-1/net"},
        .bundle = "/run/znode/c/12-1",
        .root = "/run/znode/root/12-1",
        .init_program = "/usr/lib/znode/znode-init",
        .corex_program = "/usr/lib/znode/znode-corex",
        .cgroups_path = "/znode-01234567/12-1",
        .seccomp_filter = "QkFTRTY0",
    };
    return std::string{build_oci_spec(inputs).reveal()};
}

/// Compares with a file of tests/data/container; ZNODE_ACCEPT=1 rewrites it.
void expect_golden(const std::string& text, const std::string& name)
{
    const auto path = std::string{ZNODE_TEST_DATA} + "/container/" + name;
    if (std::getenv("ZNODE_ACCEPT") != nullptr) std::ofstream{path} << text;
    EXPECT_EQ(text, kernel::read_file(path).value_or("")) << "ZNODE_ACCEPT=1 takes it over";
}

TEST(OciSpecTest, WholeConfig) { expect_golden(config_of(web()), "config.json"); }

TEST(OciSpecTest, InteractiveRunsCorexInstead)
{
    auto spec = web();
    spec.interactive = true;

    const auto config = config_of(spec);

    EXPECT_THAT(config, HasSubstr("\"/.znode/corex\",\n   \"--ipv6\""));
    EXPECT_THAT(config, HasSubstr("\"source\": \"/usr/lib/znode/znode-corex\""));
    EXPECT_THAT(config, testing::Not(HasSubstr("/bin/web")));
}

TEST(OciSpecTest, TwoCpusAreTwoCpus)
{
    EXPECT_THAT(config_of(web()), HasSubstr("\"quota\": 200000,\n    \"period\": 100000"));
    auto spec = web();
    spec.limits.cpus = 0.001;
    EXPECT_THAT(config_of(spec), HasSubstr("\"quota\": 1000,")) << "the kernel takes no less";
}

TEST(OciSpecTest, WrongWishesAreRefusedBeforeAnythingIsMade)
{
    const auto message = [](auto change) {
        auto spec = web();
        change(spec);
        const auto checked = check_spec(spec, 8);
        return checked ? std::string{"taken"} : checked.error().message;
    };
    EXPECT_EQ(message([](auto&) {}), "taken");
    EXPECT_EQ(
        message([](auto& s) { s.limits.cpus = 50; }), "asked 50 CRU while only 8 are available");
    EXPECT_THAT(message([](auto& s) { s.limits.cpus = 0; }), HasSubstr("0 CPU"));
    EXPECT_THAT(message([](auto& s) { s.limits.memory_bytes = 1; }), HasSubstr("8 MiB"));
    EXPECT_THAT(message([](auto& s) { s.gwid = "../x"; }), HasSubstr("is not one"));
    for (const auto* path : {"data", "/", "/a/../b", "/proc/x", "/dev", "/data", ""})
        EXPECT_THAT(
            message([&](auto& s) { s.volumes.push_back({"/x", path, false}); }),
            HasSubstr("mount point"))
            << path;
    EXPECT_EQ(message([](auto& s) { s.volumes.push_back({"/x", "/process", false}); }), "taken");
}

TEST(OciSpecTest, NameServersAndHosts)
{
    auto spec = web();
    spec.dns_servers = {"192.0.2.1", "2001:db8::1"};
    spec.hosts = {"172.20.1.10 web"};

    EXPECT_EQ(resolv_conf(spec), "nameserver 192.0.2.1\nnameserver 2001:db8::1\n");
    EXPECT_THAT(hosts_file(spec), testing::EndsWith("\n172.20.1.10 web\n"));
}

/// errno of a request to a descriptor that is none, behind the filter: 0 when the child failed.
int errno_behind_filter(const std::string& filter, unsigned long request)
{
    const pid_t child = ::fork();
    if (child == 0) {
        auto* const code = const_cast<char*>(filter.data());
        const sock_fprog program{
            static_cast<unsigned short>(filter.size() / sizeof(sock_filter)),
            reinterpret_cast<sock_filter*>(code)};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(0);
        if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) ::_exit(0);
        const long returned = ::syscall(SYS_ioctl, -1, request, nullptr);
        ::_exit(returned < 0 ? errno : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(SeccompTest, NoSubvolumeIsMadeFromWithin)
{
    const auto filter = compile_seccomp_filter();
    ASSERT_TRUE(filter) << filter.error().message;
    for (const auto request :
         {static_cast<unsigned long>(BTRFS_IOC_SUBVOL_CREATE),
          static_cast<unsigned long>(BTRFS_IOC_SUBVOL_CREATE_V2),
          static_cast<unsigned long>(BTRFS_IOC_SNAP_CREATE),
          static_cast<unsigned long>(BTRFS_IOC_SNAP_CREATE_V2)})
        EXPECT_EQ(errno_behind_filter(*filter, request), EPERM) << std::hex << request;
    // Other requests reach the kernel, which knows no descriptor -1.
    EXPECT_EQ(errno_behind_filter(*filter, TCGETS), EBADF);
    EXPECT_EQ(errno_behind_filter(*filter, FICLONE), EBADF);
}

TEST(SeccompTest, FilterIsCompiledAndStable)
{
    const auto filter = compile_seccomp_filter();

    ASSERT_TRUE(filter) << filter.error().message;
    EXPECT_EQ(filter->size() % 8, 0U) << "an array of sock_filter";
    EXPECT_GT(filter->size(), 4096U);
    EXPECT_LE(filter->size() / 8, 4096U) << "the kernel takes no more instructions";
    EXPECT_EQ(*filter, *compile_seccomp_filter());
}

}  // namespace
}  // namespace znode::container
