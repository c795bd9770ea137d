#include "shards.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <netdb.h>

namespace objectstore {
namespace {

constexpr int patience_ms = 2000;
constexpr std::chrono::seconds rest{5};

std::string decoded(const std::string& text)
{
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned byte = 0;
        if (text[i] == '%' && i + 2 < text.size() &&
            std::from_chars(&text[i + 1], &text[i + 3], byte, 16).ptr == &text[i + 3]) {
            out += static_cast<char>(byte);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

bool ready(int socket, short wanted)
{
    pollfd waiting{.fd = socket, .events = wanted, .revents = 0};
    return ::poll(&waiting, 1, patience_ms) == 1;
}

}  // namespace

std::optional<Address> parse_address(const std::string& text)
{
    const auto at = text.rfind('@');
    const auto colon = text.find(':');
    if (at == text.npos || colon == text.npos || colon > at) return std::nullopt;
    Address address;
    address.name = text.substr(0, colon);
    address.password = decoded(text.substr(colon + 1, at - colon - 1));
    const auto place = text.substr(at + 1);
    const auto last = place.rfind(':');
    if (last == place.npos) return std::nullopt;
    address.port = place.substr(last + 1);
    address.host = place.substr(0, last);
    if (address.host.starts_with('[') && address.host.ends_with(']'))
        address.host = address.host.substr(1, address.host.size() - 2);
    if (address.name.empty() || address.host.empty() || address.port.empty()) return std::nullopt;
    return address;
}

Shard::~Shard() { close(); }

void Shard::close()
{
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
    unread_.clear();
}

bool Shard::connect()
{
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    if (::getaddrinfo(address_.host.c_str(), address_.port.c_str(), &hints, &found) != 0)
        return false;
    socket_ = ::socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool connected = false;
    if (socket_ >= 0) {
        connected = ::connect(socket_, found->ai_addr, found->ai_addrlen) == 0;
        if (!connected && errno == EINPROGRESS && ready(socket_, POLLOUT)) {
            int error = 0;
            socklen_t length = sizeof error;
            connected =
                ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
        }
        const int on = 1;
        (void)::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ::freeaddrinfo(found);
    if (!connected) return false;

    std::vector<std::string> words{"SELECT", address_.name};
    if (!address_.password.empty()) words.push_back(address_.password);
    return send(words) && receive().has_value();
}

bool Shard::send(const std::vector<std::string>& words)
{
    std::string wire = "*" + std::to_string(words.size()) + "\r\n";
    for (const auto& word : words)
        wire += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
    for (std::size_t at = 0; at < wire.size();) {
        const auto sent = ::send(socket_, wire.data() + at, wire.size() - at, MSG_NOSIGNAL);
        if (sent > 0)
            at += static_cast<std::size_t>(sent);
        else if (errno != EAGAIN || !ready(socket_, POLLOUT))
            return false;
    }
    return true;
}

bool Shard::fill()
{
    char bytes[65536];
    for (;;) {
        const auto got = ::recv(socket_, bytes, sizeof bytes, 0);
        if (got > 0) {
            unread_.append(bytes, static_cast<std::size_t>(got));
            return true;
        }
        if (got == 0 || errno != EAGAIN || !ready(socket_, POLLIN)) return false;
    }
}

/// One reply: a simple text or a bulk; an error or a missing value is nothing.
std::optional<std::string> Shard::receive()
{
    std::size_t end = 0;
    while ((end = unread_.find("\r\n")) == unread_.npos)
        if (!fill()) return std::nullopt;
    const auto head = unread_.substr(0, end);
    unread_.erase(0, end + 2);
    if (head.empty() || head[0] == '-') return std::nullopt;
    if (head[0] != '$') return head.substr(1);
    long length = -1;
    std::from_chars(head.data() + 1, head.data() + head.size(), length);
    if (length < 0 || length > (64L << 20)) return std::nullopt;
    const auto size = static_cast<std::size_t>(length);
    while (unread_.size() < size + 2)
        if (!fill()) return std::nullopt;
    auto value = unread_.substr(0, size);
    unread_.erase(0, size + 2);
    return value;
}

std::optional<std::string> Shard::ask(const std::vector<std::string>& words)
{
    const std::lock_guard guard{turn_};
    // A server that was started anew has hung up: that costs one more attempt, no rest.
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (socket_ < 0) {
            if (std::chrono::steady_clock::now() < not_before_) return std::nullopt;
            if (!connect()) {
                close();
                not_before_ = std::chrono::steady_clock::now() + rest;
                return std::nullopt;
            }
        }
        if (send(words))
            if (auto answer = receive()) return answer;
        close();
    }
    return std::nullopt;
}

std::optional<std::string> Shard::put(const std::string& piece) { return ask({"SET", "", piece}); }

std::optional<std::string> Shard::get(const std::string& key) { return ask({"GET", key}); }

}  // namespace objectstore
