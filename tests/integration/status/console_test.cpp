#include <sys/ioctl.h>
#include <termios.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/child.hpp"
#include "fake_status_source.hpp"
#include "kernel/child.hpp"
#include "status/server.hpp"
#include "temp_folder.hpp"
#include "terminal.hpp"

namespace znode::status {
namespace {

using namespace std::chrono_literals;
using namespace test;
using testing::HasSubstr;

/// znodectl console on a pseudo-terminal of 80×24.
class ConsoleScreenTest : public testing::Test {
protected:
    void open()
    {
        kernel::Fd master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
        ASSERT_TRUE(master);
        ASSERT_EQ(::grantpt(master.get()), 0);
        ASSERT_EQ(::unlockpt(master.get()), 0);
        std::array<char, 64> name{};
        ASSERT_EQ(::ptsname_r(master.get(), name.data(), name.size()), 0);
        slave_ = kernel::Fd{::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
        ASSERT_TRUE(slave_);
        winsize size{};
        size.ws_row = 24;
        size.ws_col = 80;
        ASSERT_EQ(::ioctl(slave_.get(), TIOCSWINSZ, &size), 0);
        ASSERT_EQ(::tcgetattr(slave_.get(), &before_), 0);

        kernel::ChildSpec spec;
        spec.argv = {ZNODE_BIN_DIR "/znodectl", "--socket", socket(), "console"};
        for (const int fd : {0, 1, 2}) spec.descriptors.push_back({slave_.get(), fd});
        spec.new_session = true;
        auto child = kernel::Child::spawn(spec);
        ASSERT_TRUE(child) << child.error().message;
        child_.emplace(std::move(*child));
        terminal_.assign(master.release());
    }
    std::string socket() const { return folder_.path() / "status.sock"; }

    static Task<bool> read_until(
        asio::posix::stream_descriptor* from, znode::test::Terminal* screen, std::string text)
    {
        std::array<char, 4096> buffer{};
        for (;;) {
            const auto [ec, count] =
                co_await from->async_read_some(asio::buffer(buffer), as_result);
            if (ec) co_return false;
            screen->feed({buffer.data(), count});
            for (std::size_t row = 0; row < 24; ++row)
                if (screen->row(row).find(text) != std::string::npos) co_return true;
        }
    }
    bool appears(const std::string& text)
    {
        return run(loop, run_until(sleep_for(20s), read_until(&terminal_, &screen_, text)))
            .value_or(false);
    }
    kernel::Exit ended()
    {
        // What it still writes must not block it.
        auto exit = run(loop, run_until(drain(&terminal_, &screen_), wait_for_exit(&*child_)));
        if (!exit) exit = run(loop, wait_for_exit(&*child_));
        EXPECT_TRUE(*exit);
        // Its last bytes arrive through the kernel's own worker.
        (void)run(loop, run_until(sleep_for(20s), leave_screen(&terminal_, &screen_)));
        return *exit ? **exit : kernel::Exit{.code = -1};
    }
    static Task<> drain(asio::posix::stream_descriptor* from, znode::test::Terminal* screen)
    {
        (void)co_await read_until(from, screen, "\x01");
    }
    static Task<bool> leave_screen(
        asio::posix::stream_descriptor* from, znode::test::Terminal* screen)
    {
        std::array<char, 4096> buffer{};
        while (screen->alternate() || screen->cursor_hidden()) {
            const auto [ec, count] =
                co_await from->async_read_some(asio::buffer(buffer), as_result);
            if (ec) co_return false;
            screen->feed({buffer.data(), count});
        }
        co_return true;
    }
    bool terminal_is_as_before()
    {
        termios now{};
        return ::tcgetattr(slave_.get(), &now) == 0 && now.c_lflag == before_.c_lflag;
    }

    asio::io_context loop{1};
    znode::test::TempFolder folder_;
    FakeSource source_{loop};
    asio::posix::stream_descriptor terminal_{loop};
    znode::test::Terminal screen_{24, 80};
    kernel::Fd slave_;
    termios before_{};
    std::optional<kernel::Child> child_;
};

TEST_F(ConsoleScreenTest, ShowsTheAddressesOnTopAndLeavesTheTerminalAsItWas)
{
    ServerOptions options;
    options.socket = socket();
    const auto server = make_local_server(loop, source_, options, silent_log());
    ASSERT_TRUE(server->start());
    ASSERT_NO_FATAL_FAILURE(open());

    ASSERT_TRUE(appears("q quit"));
    EXPECT_THAT(screen_.row(0), HasSubstr("znode  titan"));
    EXPECT_THAT(screen_.row(1), HasSubstr("192.168.1.20/24"));
    EXPECT_THAT(screen_.row(3), HasSubstr("48YmkyvfoXnXqEojpJieMfFPnCv2enEuqEJcmhvkcdAk"));
    EXPECT_TRUE(screen_.alternate());
    EXPECT_TRUE(screen_.cursor_hidden());
    EXPECT_FALSE(screen_.overflowed());

    (void)run(loop, [](asio::posix::stream_descriptor* to) -> Task<int> {
        (void)co_await asio::async_write(*to, asio::buffer("q", 1), as_result);
        co_return 0;
    }(&terminal_));
    EXPECT_TRUE(ended().good());
    EXPECT_FALSE(screen_.alternate());
    EXPECT_FALSE(screen_.cursor_hidden());
    EXPECT_TRUE(terminal_is_as_before());
    run(loop, server->stop());
}

TEST_F(ConsoleScreenTest, SaysThatTheAgentIsAwayAndEndsOnSigterm)
{
    ASSERT_NO_FATAL_FAILURE(open());

    ASSERT_TRUE(appears("does not answer"));
    ASSERT_TRUE(appears("q quit"));
    ASSERT_TRUE(child_->signal(SIGTERM));

    EXPECT_TRUE(ended().good());
    EXPECT_TRUE(terminal_is_as_before());
}

}  // namespace
}  // namespace znode::status
