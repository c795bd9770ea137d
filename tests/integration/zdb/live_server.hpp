#pragma once
// A real server process and a blocking client for tests.

#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "kernel/child.hpp"
#include "kernel/files.hpp"
#include "temp_folder.hpp"

namespace znode::zdb {

using Words = std::vector<std::string>;

/// Speaks to a server over a unix socket; replies are told as text the way Python shows them.
class Talk {
public:
    explicit Talk(const std::string& path)
    {
        fd_ = kernel::Fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        connected_ =
            ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
        const timeval patience{.tv_sec = 20, .tv_usec = 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    bool connected() const { return connected_; }

    static std::string encode(const Words& words)
    {
        std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
        for (const auto& word : words)
            bytes += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
        return bytes;
    }
    bool send(const std::string& bytes)
    {
        std::string_view rest{bytes};
        while (!rest.empty()) {
            const auto put = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
            if (put <= 0) return false;
            rest.remove_prefix(static_cast<std::size_t>(put));
        }
        return true;
    }
    /// One reply's raw bytes, "" at the end of the connection.
    std::string raw_reply()
    {
        std::string raw = line();
        if (raw.empty()) return raw;
        const auto number = to_number<long long>(trim(std::string_view{raw}.substr(1)));
        if (raw[0] == '$' && number.value_or(-1) >= 0) {
            const auto size = static_cast<std::size_t>(*number) + 2;
            while (received_.size() < size)
                if (!fill()) return {};
            raw += received_.substr(0, size);
            received_.erase(0, size);
        } else if (raw[0] == '*') {
            for (long long i = 0; i < number.value_or(0); ++i) {
                const auto element = raw_reply();
                if (element.empty()) return {};
                raw += element;
            }
        }
        return raw;
    }
    std::string ask(const Words& words)
    {
        if (!send(encode(words))) return {};
        return raw_reply();
    }

private:
    bool fill()
    {
        char piece[16384];
        const auto got = ::recv(fd_.get(), piece, sizeof piece, 0);
        if (got <= 0) return false;
        received_.append(piece, static_cast<std::size_t>(got));
        return true;
    }
    std::string line()
    {
        for (;;) {
            const auto end = received_.find("\r\n");
            if (end != std::string::npos) {
                auto text = received_.substr(0, end + 2);
                received_.erase(0, end + 2);
                return text;
            }
            if (!fill()) return {};
        }
    }

    kernel::Fd fd_;
    bool connected_ = false;
    std::string received_;
};

/// A znode-zdb in a folder of its own, killed with the test.
class LiveServer {
public:
    explicit LiveServer(Words arguments = {}, Words environment = {})
        : arguments_{std::move(arguments)}, environment_{std::move(environment)}
    {
        start();
    }
    ~LiveServer() { kill(); }

    /// Of the next start.
    void set_environment(Words environment) { environment_ = std::move(environment); }

    /// Returns once it serves: it goes to the background by itself then.
    void start()
    {
        const auto at = folder_.path();
        kernel::ChildSpec spec{
            .argv =
                {std::string{ZNODE_BIN_DIR} + "/znode-zdb",
                 "--data",
                 at / "data",
                 "--index",
                 at / "index",
                 "--socket",
                 socket(),
                 "--background",
                 "--logfile",
                 at / "log"},
            .environment = environment_};
        spec.argv.insert(spec.argv.end(), arguments_.begin(), arguments_.end());
        const auto output = kernel::run_program(spec, {}, std::chrono::seconds{60});
        ASSERT_TRUE(output) << output.error().message;
        ASSERT_TRUE(output->exit.good()) << output->err;
        const Talk talk{socket()};
        ASSERT_TRUE(talk.connected());
        pid_ = owner_of_socket();
        ASSERT_GT(pid_, 0);
    }
    void kill(int signal = SIGKILL)
    {
        if (pid_ <= 0) return;
        // It is no child of ours. A leader that is a zombie has not given up its locks yet while a
        // thread of it is in the kernel; the descriptor tells when all of them have gone.
        const kernel::Fd life{static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))};
        ::kill(pid_, signal);
        pollfd gone{life.get(), POLLIN, 0};
        if (life) EXPECT_EQ(::poll(&gone, 1, 60'000), 1) << "it does not end";
        pid_ = 0;
    }
    std::string socket() const { return folder_.path() / "socket"; }
    const std::filesystem::path& folder() const { return folder_.path(); }
    pid_t pid() const { return pid_; }

private:
    pid_t owner_of_socket() const
    {
        const kernel::Fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket().copy(address.sun_path, sizeof address.sun_path - 1);
        ucred peer{};
        socklen_t size = sizeof peer;
        if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
            return 0;
        return peer.pid;
    }

    test::TempFolder folder_;
    Words arguments_;
    Words environment_;
    pid_t pid_ = 0;
};

}  // namespace znode::zdb
