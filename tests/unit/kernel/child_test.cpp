#include "kernel/child.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include <gtest/gtest.h>

#include "kernel/files.hpp"

namespace znode::kernel {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(ChildTest, GivesInputAndOutput)
{
    const auto out = run_checked({"cat"}, std::string(300'000, 'x'));
    ASSERT_TRUE(out) << out.error().message;
    EXPECT_EQ(out->size(), 300'000U);
}

TEST(ChildTest, CarriesTheLastLineOfStderr)
{
    const auto out = run_checked({"sh", "-c", "echo one >&2; echo two >&2; exit 3"});
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().message, "run sh: exit code 3: two");
}

TEST(ChildTest, MissingProgramIsAnErrorAtOnce)
{
    EXPECT_EQ(run_checked({"znode-no-such-program"}).error().code, Errc::not_found);
    EXPECT_EQ(run_checked({"/nonexistent/program"}).error().code, Errc::not_found);
}

TEST(ChildTest, KillsTheWholeGroupAtTheDeadline)
{
    const auto started = std::chrono::steady_clock::now();
    const auto out = run_checked({"sh", "-c", "sleep 60 & sleep 60"}, {}, milliseconds{200});
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().code, Errc::timeout);
    EXPECT_LT(std::chrono::steady_clock::now() - started, seconds{20});
}

TEST(ChildTest, SeesOnlyTheDescriptorsItWasGiven)
{
    std::array<int, 2> leak{};
    ASSERT_EQ(::pipe(leak.data()), 0);  // No CLOEXEC on purpose.
    // No pipeline: a shell that builds one has its ends open for a moment.
    const auto out = run_checked({"sh", "-c", "ls /proc/$$/fd; :"});
    ::close(leak[0]);
    ::close(leak[1]);
    ASSERT_TRUE(out) << out.error().message;
    EXPECT_EQ(*out, "0\n1\n2\n");
}

/// Runs in a process of its own, whose score no other test has.
std::string score_of_child(const char* own)
{
    std::array<int, 2> said{};
    if (::pipe2(said.data(), O_CLOEXEC) != 0) return "no pipe";
    const pid_t parent = ::fork();
    if (parent == 0) {
        if (!write_existing("/proc/self/oom_score_adj", own)) ::_exit(1);
        const auto score = run_checked({"cat", "/proc/self/oom_score_adj"});
        if (score) (void)!::write(said[1], score->data(), score->size());
        ::_exit(0);
    }
    ::close(said[1]);
    std::array<char, 32> text{};
    const auto got = ::read(said[0], text.data(), text.size());
    ::close(said[0]);
    ::waitpid(parent, nullptr, 0);
    return got > 0 ? std::string{text.data(), static_cast<std::size_t>(got)} : "";
}

TEST(ChildTest, HasNotTheProtectionOfItsParent)
{
    EXPECT_EQ(score_of_child("700"), "700\n");
    // Who may not protect himself has nothing to hand on.
    const auto score = score_of_child("-900");
    EXPECT_TRUE(score == "0\n" || score.empty()) << score;
}

TEST(ChildTest, MapsDescriptorsThatCrossEachOther)
{
    std::array<int, 2> first{};
    std::array<int, 2> second{};
    ASSERT_EQ(::pipe2(first.data(), O_CLOEXEC), 0);
    ASSERT_EQ(::pipe2(second.data(), O_CLOEXEC), 0);
    ChildSpec spec;
    spec.argv = {
        "sh",
        "-c",
        "echo a >&" + std::to_string(second[1]) + "; echo b >&" + std::to_string(first[1])};
    spec.descriptors = {{first[1], second[1]}, {second[1], first[1]}};

    const auto child = Child::spawn(spec);
    ASSERT_TRUE(child) << child.error().message;
    ASSERT_TRUE(child->wait(seconds{10}).value().value().good());

    std::array<char, 8> text{};
    ASSERT_EQ(::read(first[0], text.data(), 8), 2);
    EXPECT_EQ(text[0], 'a');
    ASSERT_EQ(::read(second[0], text.data(), 8), 2);
    EXPECT_EQ(text[0], 'b');
    for (const int fd : {first[0], first[1], second[0], second[1]}) ::close(fd);
}

TEST(ChildTest, AdoptsOnlyTheProcessThatItKnew)
{
    ChildSpec spec;
    spec.argv = {"sleep", "60"};
    const auto child = Child::spawn(spec);
    ASSERT_TRUE(child);
    const auto started = start_time_of(child->pid()).value();

    EXPECT_TRUE(Child::adopt(child->pid(), started));
    EXPECT_EQ(Child::adopt(child->pid(), started + 1).error().code, Errc::not_found);

    ASSERT_TRUE(child->signal(SIGKILL));
    EXPECT_EQ(child->wait(seconds{10}).value().value().signal, SIGKILL);
}

}  // namespace
}  // namespace znode::kernel
