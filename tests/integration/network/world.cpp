#include "world.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <stdexcept>

#include "kernel/netns.hpp"

namespace znode::test {
namespace {

sockaddr_in address_of(const std::string& address, std::uint16_t port)
{
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    ::inet_pton(AF_INET, address.c_str(), &to.sin_addr);
    return to;
}

const sockaddr* generic(const sockaddr_in& address)
{
    return reinterpret_cast<const sockaddr*>(&address);  // NOLINT: the socket API.
}

bool wait_for(int fd, short events, std::chrono::steady_clock::time_point until)
{
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd ready{fd, events, 0};
    return ::poll(&ready, 1, static_cast<int>(left.count())) == 1;
}

}  // namespace

void leave_the_machine()
{
    static bool left = false;
    if (std::exchange(left, true)) return;
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        throw std::runtime_error{"these tests need root"};
}

World::World()
{
    internet_ = must(kernel::make_pinned_netns(pin("internet")));
    pins_.push_back(pin("internet"));
    auto links = must(kernel::RouteSocket::open_in(internet_.get()));
    must(links.add_link({.name = "switch", .kind = "bridge", .up = true}));
}

World::~World()
{
    for (const auto& pin : pins_) (void)kernel::unpin_netns(pin);  // Nothing more to be done.
}

kernel::Fd World::plug(const std::string& name, const std::string& address)
{
    auto space = must(kernel::make_pinned_netns(pin(name)));
    pins_.push_back(pin(name));
    auto internet = must(kernel::RouteSocket::open_in(internet_.get()));
    const auto bridge = must(internet.need_link("switch"));
    must(internet.add_link(
        {.name = "to-" + name,
         .kind = "veth",
         .up = true,
         .master = bridge.index,
         .peer = kernel::LinkSpec::Peer{.name = "eth0", .netns = space.get()}}));
    auto links = must(kernel::RouteSocket::open_in(space.get()));
    const auto link = must(links.need_link("eth0"));
    must(links.set_up(link.index, true));
    must(links.add_address(link.index, *IpNetwork::parse(address)));
    return space;
}

Place::Place(int netns)
    : thread_{[this, netns] {
          std::unique_lock lock{mutex_};
          for (bool ready = false;; ready = true) {
              changed_.wait(lock, [this] { return work_ != nullptr || ending_; });
              if (ending_) return;
              try {
                  if (!ready && (::unshare(CLONE_NEWNS) != 0 || ::setns(netns, CLONE_NEWNET) != 0))
                      throw std::runtime_error{"cannot enter the node's namespaces"};
                  (*work_)();
              } catch (...) {
                  failure_ = std::current_exception();
              }
              work_ = nullptr;
              changed_.notify_all();
          }
      }}
{
}

Place::~Place()
{
    {
        const std::lock_guard lock{mutex_};
        ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void Place::call(const std::function<void()>& work)
{
    std::unique_lock lock{mutex_};
    failure_ = nullptr;
    work_ = &work;
    changed_.notify_all();
    changed_.wait(lock, [this] { return work_ == nullptr; });
    if (failure_) std::rethrow_exception(failure_);
}

bool reaches(int from, const std::string& address, std::uint16_t port, int patience_ms)
{
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{patience_ms};
    const auto fd = must(kernel::in_netns(from, []() -> Result<kernel::Fd> {
        kernel::Fd made{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        const int err = error_of(made.get());
        if (err) return fail_errno(err, "socket");
        return made;
    }));
    const auto to = address_of(address, port);
    if (::connect(fd.get(), generic(to), sizeof to) != 0 && errno != EINPROGRESS) return false;
    if (!wait_for(fd.get(), POLLOUT, until)) return false;
    if (::send(fd.get(), "x", 1, MSG_NOSIGNAL) != 1) return false;
    if (!wait_for(fd.get(), POLLIN, until)) return false;
    char answer = 0;
    return ::read(fd.get(), &answer, 1) == 1 && answer == 'x';
}

struct Echo::State {
    kernel::Fd listener;
    kernel::Fd stop;
    std::thread thread;

    void serve() const
    {
        for (;;) {
            std::array<pollfd, 2> ready{
                pollfd{listener.get(), POLLIN, 0}, pollfd{stop.get(), POLLIN, 0}};
            ::poll(ready.data(), ready.size(), -1);
            if (ready[1].revents != 0) return;
            const kernel::Fd client{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
            pollfd data{client.get(), POLLIN, 0};
            char byte = 0;
            if (::poll(&data, 1, 1000) == 1 && ::read(client.get(), &byte, 1) == 1)
                (void)!::send(client.get(), &byte, 1, MSG_NOSIGNAL);
        }
    }
};

Echo::Echo(int netns, const std::string& address, std::uint16_t port)
    : state_{std::make_unique<State>()}
{
    state_->stop = kernel::Fd{::eventfd(0, EFD_CLOEXEC)};
    state_->listener = must(kernel::in_netns(netns, [&]() -> Result<kernel::Fd> {
        kernel::Fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        const auto at = address_of(address, port);
        int err = error_of(::bind(fd.get(), generic(at), sizeof at));
        if (!err) err = error_of(::listen(fd.get(), 8));
        if (err) return fail_errno(err, "listen on " + address);
        return fd;
    }));
    state_->thread = std::thread{[state = state_.get()] { state->serve(); }};
}

Echo::~Echo()
{
    const std::uint64_t one = 1;
    (void)!::write(state_->stop.get(), &one, sizeof one);
    state_->thread.join();
}

}  // namespace znode::test
