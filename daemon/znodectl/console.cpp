#include <arpa/inet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <ifaddrs.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>

#include "commands.hpp"

namespace znode::ctl {

namespace {

/// The terminal in full-screen mode; put back when this dies.
class Screen {
public:
    Screen()
    {
        is_terminal_ = ::tcgetattr(STDIN_FILENO, &before_) == 0;
        if (is_terminal_) {
            auto raw = before_;
            raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
            ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        }
        print("\x1b[?1049h\x1b[?25l\x1b[2J");
    }
    ~Screen()
    {
        print("\x1b[0m\x1b[?25h\x1b[?1049l");
        if (is_terminal_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    static std::size_t rows()
    {
        winsize size{};
        if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return 24;
        return size.ws_row;
    }

    /// Overwrites line by line, so that nothing flickers.
    static bool draw(const std::vector<std::string>& frame)
    {
        std::string text = "\x1b[H";
        for (std::size_t i = 0; i < frame.size(); ++i) {
            text += frame[i] + "\x1b[K";
            if (i + 1 < frame.size()) text += "\r\n";
        }
        return print(text);
    }

private:
    termios before_{};
    bool is_terminal_ = false;
};

/// What the machine itself has, for when the agent is away.
std::vector<v1::Address> own_addresses()
{
    std::vector<v1::Address> found;
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return found;
    for (const auto* each = first; each != nullptr; each = each->ifa_next) {
        if (each->ifa_addr == nullptr || (each->ifa_flags & IFF_LOOPBACK) != 0) continue;
        std::array<char, INET6_ADDRSTRLEN> text{};
        const int family = each->ifa_addr->sa_family;
        const void* address = nullptr;
        if (family == AF_INET)
            address = &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr;
        else if (family == AF_INET6)
            address = &reinterpret_cast<const sockaddr_in6*>(each->ifa_addr)->sin6_addr;
        if (address == nullptr || ::inet_ntop(family, address, text.data(), text.size()) == nullptr)
            continue;
        auto& added = found.emplace_back();
        added.set_interface(each->ifa_name);
        added.set_address(text.data());
        if (added.address().starts_with("fe80")) added.set_scope("link");
    }
    ::freeifaddrs(first);
    return found;
}

template <class Message>
Task<Outcome<>> fetch(Context context, std::string target, Message* into)
{
    http::Request request;
    request.target = std::move(target);
    request.headers.set("Accept", "application/x-protobuf");
    request.patience = std::chrono::seconds{3};
    const auto reply = co_await call(context, std::move(request));
    if (!reply) co_return tl::unexpected(reply.error());
    Message message;
    if (!message.ParseFromString(reply->body))
        co_return tl::unexpected(Trouble{failed, "the agent's answer makes no sense"});
    *into = std::move(message);
    co_return Outcome<>{};
}

/// What has been typed, as a step: quit, up, down, or nothing.
enum class Key { none, quit, up, down };

Key key_of(std::string_view typed)
{
    if (typed.find('q') != std::string_view::npos || typed.find('\x03') != std::string_view::npos)
        return Key::quit;
    if (typed.find("\x1b[A") != std::string_view::npos || typed == "k") return Key::up;
    if (typed.find("\x1b[B") != std::string_view::npos || typed == "j") return Key::down;
    return Key::none;
}

class Console {
public:
    Console(Context context, asio::io_context& loop)
        : context_{std::move(context)}, keys_{loop}, signals_{loop, SIGINT, SIGTERM, SIGWINCH}
    {
        if (const int fd = ::dup(STDIN_FILENO); fd >= 0) keys_.assign(fd);
    }

    Task<> show()
    {
        while (!quit_) {
            co_await refresh();
            draw();
            // A second's patience at a time keeps the clock going; keys and signals end it early.
            for (int i = 0; i < 2 && !quit_; ++i) {
                (void)co_await run_until(sleep_for(std::chrono::seconds{1}), next_input());
                draw();
            }
        }
    }

private:
    Task<> refresh()
    {
        const auto status = co_await fetch(context_, "/v1/status", &view_.status);
        const auto workloads = co_await fetch(context_, "/v1/workloads", &view_.workloads);
        view_.failure = !status      ? status.error().message
                        : !workloads ? workloads.error().message
                                     : "";
        view_.own_addresses = own_addresses();
    }

    void draw()
    {
        if (!Screen::draw(status::console_frame(view_, Screen::rows(), context_.look())))
            quit_ = true;
    }

    /// Ends with the first key or signal. A closed stdin leaves the screen as it is.
    Task<bool> next_input()
    {
        auto typed = co_await run_until(next_signal(), next_key());
        if (typed) apply(*typed);
        co_return true;
    }

    Task<Key> next_key()
    {
        std::array<char, 64> buffer{};
        const auto [ec, count] = co_await keys_.async_read_some(asio::buffer(buffer), as_result);
        if (ec) {
            co_await asio::this_coro::throw_if_cancelled(true);
            co_await sleep_for(std::chrono::seconds{1});
            co_return Key::none;
        }
        co_return key_of({buffer.data(), count});
    }

    Task<> next_signal()
    {
        const auto [ec, number] = co_await signals_.async_wait(as_result);
        if (!ec && number != SIGWINCH) quit_ = true;
    }

    void apply(Key key)
    {
        const auto count = static_cast<std::size_t>(view_.workloads.workloads_size());
        if (key == Key::quit) quit_ = true;
        if (key == Key::up && view_.first_workload > 0) --view_.first_workload;
        if (key == Key::down && view_.first_workload < count) ++view_.first_workload;
    }

    Context context_;
    asio::posix::stream_descriptor keys_;
    asio::signal_set signals_;
    status::ConsoleView view_;
    bool quit_ = false;
};

}  // namespace

Task<int> console(Context context)
{
    const Screen screen;
    Console view{context, *context.loop};
    co_await view.show();
    co_return good;
}

}  // namespace znode::ctl
