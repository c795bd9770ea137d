#include "takeover.hpp"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>

#include <gtest/gtest.h>

#include "kernel/fd.hpp"
#include "temp_folder.hpp"

namespace znode::flist {
namespace {

/// A socket pair plays the kernel: one message is one request.
class TakeoverTest : public testing::Test {
protected:
    TakeoverTest()
    {
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) std::abort();
        kernel_end = kernel::Fd{ends[0]};
        server_end = kernel::Fd{ends[1]};
    }

    void ask(std::uint32_t opcode, std::uint64_t unique)
    {
        fuse_in_header header{};
        header.len = sizeof header;
        header.opcode = opcode;
        header.unique = unique;
        ASSERT_EQ(::send(kernel_end.get(), &header, sizeof header, 0), ssize_t{sizeof header});
    }
    std::uint64_t read(Takeover& server)
    {
        std::array<char, 65536> buffer{};
        const auto got = server.read(server_end.get(), buffer.data(), buffer.size());
        if (got < static_cast<ssize_t>(sizeof(fuse_in_header))) return 0;
        fuse_in_header header{};
        std::memcpy(&header, buffer.data(), sizeof header);
        return header.unique;
    }
    void answer(Takeover& server, std::uint64_t unique)
    {
        fuse_out_header header{.len = sizeof header, .error = 0, .unique = unique};
        const iovec part{&header, sizeof header};
        EXPECT_EQ(server.write(server_end.get(), &part, 1), ssize_t{sizeof header});
    }

    znode::test::TempFolder folder;
    kernel::Fd kernel_end;
    kernel::Fd server_end;
};

TEST_F(TakeoverTest, WhatWasReadAndNotAnsweredComesToTheNextServer)
{
    {
        auto first = Takeover::open(folder.path() / "state").value();
        ask(FUSE_INIT, 1);
        EXPECT_EQ(read(first), 1U);
        answer(first, 1);
        ask(FUSE_LOOKUP, 2);
        EXPECT_EQ(read(first), 2U);
        answer(first, 2);
        ask(FUSE_READ, 3);
        EXPECT_EQ(read(first), 3U);
    }  // Killed: nothing was answered.

    auto second = Takeover::open(folder.path() / "state").value();

    EXPECT_EQ(second.left_behind(), 1U);
    EXPECT_EQ(second.init().size(), sizeof(fuse_in_header));
    EXPECT_EQ(read(second), 3U);
    answer(second, 3);
    auto third = Takeover::open(folder.path() / "state").value();
    EXPECT_EQ(third.left_behind(), 0U);
}

TEST_F(TakeoverTest, ForgettingIsNotDoneAgain)
{
    auto first = Takeover::open(folder.path() / "state").value();
    ask(FUSE_FORGET, 5);
    EXPECT_EQ(read(first), 5U);

    EXPECT_EQ(Takeover::open(folder.path() / "state")->left_behind(), 0U);
}

TEST_F(TakeoverTest, AnInitThatWasNeverAnsweredIsAnsweredAnew)
{
    auto first = Takeover::open(folder.path() / "state").value();
    ask(FUSE_INIT, 1);
    EXPECT_EQ(read(first), 1U);

    auto second = Takeover::open(folder.path() / "state").value();

    EXPECT_TRUE(second.init().empty());
    EXPECT_EQ(read(second), 1U);
    answer(second, 1);
}

TEST_F(TakeoverTest, AnotherProcessIsRefusedAndToldWhoServes)
{
    std::optional<Takeover> first{Takeover::open(folder.path() / "state").value()};
    const auto other_process = [&] {
        const pid_t child = ::fork();
        if (child == 0) {
            const auto second = Takeover::open(folder.path() / "state");
            const auto pid = std::to_string(::getppid());
            const bool refused = !second && second.error().code == Errc::exists &&
                                 second.error().message.find(pid) != std::string::npos;
            ::_exit(second ? 2 : refused ? 1 : 3);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return WEXITSTATUS(status);
    };

    EXPECT_EQ(other_process(), 1);
    first.reset();
    EXPECT_EQ(other_process(), 2);
}

TEST_F(TakeoverTest, AStateOfAnotherVersionIsRefused)
{
    const kernel::Fd file{
        ::open((folder.path() / "state").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
    ASSERT_EQ(::write(file.get(), "something else", 14), 14);

    EXPECT_EQ(Takeover::open(folder.path() / "state").error().code, Errc::unsupported);
}

}  // namespace
}  // namespace znode::flist
