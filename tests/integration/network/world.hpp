#pragma once
// A small Internet of network namespaces for one test: a switch with documentation addresses, to
// which nodes and laptops are plugged. Everything is gone when the object is.

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernel/fd.hpp"
#include "kernel/netlink.hpp"
#include "temp_folder.hpp"

namespace znode::test {

/// The value, or an exception that fails the test with the message.
template <class T>
T must(Result<T> result)
{
    if (!result) throw std::runtime_error{result.error().message};
    if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// Leaves the machine's mount and network namespace for good; once per process, before any thread.
void leave_the_machine();

class World {
public:
    World();
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    const std::filesystem::path& folder() const { return folder_.path(); }
    /// A machine on the Internet: a namespace with `eth0` and this address.
    kernel::Fd plug(const std::string& name, const std::string& address);

private:
    std::filesystem::path pin(const std::string& name) const { return folder() / ("pin-" + name); }

    TempFolder folder_;
    kernel::Fd internet_;
    std::vector<std::filesystem::path> pins_;
};

/// A thread in a network namespace and in a mount namespace of its own: where one node's agent
/// lives.
class Place {
public:
    explicit Place(int netns);
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    /// Runs `work` there and waits for it; its exceptions come out here.
    void call(const std::function<void()>& work);

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    const std::function<void()>* work_ = nullptr;
    std::exception_ptr failure_;
    bool ending_ = false;
    std::thread thread_;
};

/// Whether a byte sent by TCP from a namespace to `address`:`port` comes back in time.
bool reaches(int from, const std::string& address, std::uint16_t port, int patience_ms);

/// Accepts connections inside of a namespace and sends back what it reads.
class Echo {
public:
    Echo(int netns, const std::string& address, std::uint16_t port);
    ~Echo();
    Echo(const Echo&) = delete;
    Echo& operator=(const Echo&) = delete;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace znode::test
