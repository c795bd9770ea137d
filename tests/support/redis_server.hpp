#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "kernel/child.hpp"

namespace znode::test {

/// A real redis-server on a port of the loopback, for one test.
class RedisServer {
public:
    explicit RedisServer(std::filesystem::path folder) : folder_{std::move(folder)}
    {
        // A port that was free a moment ago.
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error{"no free port"};
        port_ = ntohs(address.sin_port);
        ::close(fd);
    }
    ~RedisServer() { kill(); }
    RedisServer(const RedisServer&) = delete;
    RedisServer& operator=(const RedisServer&) = delete;

    /// Starts it and waits until it listens.
    void start(const std::string& password)
    {
        kernel::ChildSpec spec;
        spec.argv = {
            "redis-server",
            "--port",
            std::to_string(port_),
            "--bind",
            "127.0.0.1",
            "--logfile",
            folder_.string() + "/redis.log",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            folder_.string(),
            "--client-output-buffer-limit",
            "pubsub 0 0 0"};
        if (!password.empty()) spec.argv.insert(spec.argv.end(), {"--requirepass", password});
        auto child = kernel::Child::spawn(spec);
        if (!child) throw std::runtime_error{child.error().message};
        child_ = *std::move(child);
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
        while (!listens()) {
            if (std::chrono::steady_clock::now() > end) throw std::runtime_error{"redis is silent"};
            std::this_thread::sleep_for(std::chrono::milliseconds{5});
        }
    }
    void kill()
    {
        if (!child_) return;
        (void)child_->signal(SIGKILL);
        (void)child_->wait(std::chrono::seconds{10});
        child_.reset();
    }
    std::string port() const { return std::to_string(port_); }

private:
    bool listens() const
    {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port_);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const bool good = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
        ::close(fd);
        return good;
    }

    std::filesystem::path folder_;
    std::uint16_t port_ = 0;
    std::optional<kernel::Child> child_;
};

}  // namespace znode::test
