// Blocks from 0-db or redis. The FUSE server is a process of threads, so the sockets block, each
// with a deadline; a connection carries one question at a time, for pipelined ones stall 0-db.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ifaddrs.h>
#include <mutex>
#include <netdb.h>
#include <vector>

#include <hiredis/hiredis.h>

#include "base/ip.hpp"
#include "base/text.hpp"
#include "kernel/fd.hpp"
#include "store.hpp"

namespace znode::flist {
namespace {

using Clock = std::chrono::steady_clock;
using Endpoint = std::string;  // The bytes of a sockaddr.

struct FreeReply {
    void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
struct FreeReader {
    void operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }
};
using Reply = std::unique_ptr<redisReply, FreeReply>;

struct FreeAddresses {
    void operator()(addrinfo* list) const noexcept { freeaddrinfo(list); }
};
struct FreeInterfaces {
    void operator()(ifaddrs* list) const noexcept { freeifaddrs(list); }
};

std::string_view text_of(const redisReply& reply)
{
    return reply.str == nullptr ? std::string_view{} : std::string_view{reply.str, reply.len};
}

/// One connection, ready for GET and SET.
class Connection {
public:
    static Result<std::unique_ptr<Connection>> open(
        const RedisAddress& address, const Endpoint& known, Clock::time_point deadline)
    {
        auto self = std::unique_ptr<Connection>{new Connection};
        TRY_DO(self->connect(address, known, deadline));
        TRY_DO(self->enter(address, deadline));
        return self;
    }

    /// Where it leads; empty for a unix socket.
    const Endpoint& endpoint() const noexcept { return endpoint_; }

    Result<Reply> ask(const std::vector<std::string_view>& words, Clock::time_point deadline)
    {
        TRY_DO(send(words, deadline));
        return receive(deadline);
    }

private:
    Connection() : reader_{redisReaderCreate()} {}

    Result<> wait(short events, Clock::time_point deadline)
    {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        pollfd watched{.fd = socket_.get(), .events = events, .revents = 0};
        const int ready = kernel::retry_eintr(
            [&] { return ::poll(&watched, 1, static_cast<int>(std::max<long>(left.count(), 0))); });
        const int err = error_of(ready);
        if (err) return fail_errno(err, "poll");
        if (ready == 0) return fail(Errc::timeout, "no answer in time");
        return {};
    }

    Result<> connect_to(
        int family, const sockaddr* where, socklen_t size, Clock::time_point deadline)
    {
        socket_ = kernel::Fd{::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        const int no_socket = error_of(socket_.get());
        if (no_socket) return fail_errno(no_socket, "make a socket");
        const int one = 1;
        if (family != AF_UNIX)
            ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);

        const int err = error_of(::connect(socket_.get(), where, size));
        if (err == 0) return {};
        if (err != EINPROGRESS) return fail_errno(err, "connect");
        TRY_DO(wait(POLLOUT, deadline));
        int outcome = 0;
        socklen_t length = sizeof outcome;
        ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &outcome, &length);
        if (outcome != 0) return fail_errno(outcome, "connect");
        return {};
    }

    Result<> connect(const RedisAddress& address, const Endpoint& known, Clock::time_point deadline)
    {
        if (address.host.starts_with('/')) {
            if (address.reach == Reach::elsewhere)
                return fail(Errc::denied, "the store is on this machine");
            sockaddr_un where{};
            where.sun_family = AF_UNIX;
            if (address.host.size() >= sizeof where.sun_path)
                return fail(Errc::invalid, "the socket's path is too long");
            std::memcpy(where.sun_path, address.host.data(), address.host.size());
            return connect_to(
                AF_UNIX, reinterpret_cast<const sockaddr*>(&where), sizeof where, deadline);
        }
        TRY(auto endpoints, resolve(address));
        // The one that worked goes first, as long as the name still has it.
        const auto last = std::find(endpoints.begin(), endpoints.end(), known);
        if (last != endpoints.end()) std::rotate(endpoints.begin(), last, last + 1);

        Result<> outcome = fail(Errc::unavailable, "no address");
        auto left = static_cast<int>(endpoints.size());
        for (const auto& endpoint : endpoints) {
            // A share of the time each: behind a black hole may stand one that answers.
            const auto now = Clock::now();
            const auto until = now + (deadline - now) / left--;
            const auto* where = reinterpret_cast<const sockaddr*>(endpoint.data());
            outcome =
                connect_to(where->sa_family, where, static_cast<socklen_t>(endpoint.size()), until);
            if (!outcome) continue;
            if (address.reach == Reach::elsewhere) {
                outcome = must_lead_away(address_of(*where));
                if (!outcome) continue;
            }
            endpoint_ = endpoint;
            break;
        }
        return outcome;
    }

    static Result<std::vector<Endpoint>> resolve(const RedisAddress& address)
    {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = AI_ADDRCONFIG;
        addrinfo* raw = nullptr;
        int unknown = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &raw);
        if (unknown != 0) {
            // It may be of a family that this machine has on its loopback only.
            hints.ai_flags = 0;
            unknown = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &raw);
        }
        if (unknown != 0)
            return fail(Errc::unavailable, std::string{"resolve: "} + ::gai_strerror(unknown));
        const std::unique_ptr<addrinfo, FreeAddresses> list{raw};
        std::vector<Endpoint> endpoints;
        for (const addrinfo* at = raw; at != nullptr; at = at->ai_next)
            if (address.reach == Reach::anywhere || !is_near(address_of(*at->ai_addr)))
                endpoints.emplace_back(reinterpret_cast<const char*>(at->ai_addr), at->ai_addrlen);
        if (endpoints.empty())
            return fail(Errc::denied, "the store's name leads to this machine or its cable");
        return endpoints;
    }

    /// Refuses a connection to this machine. To an address of its own the kernel goes from that
    /// very address, or from another one where an interface has several: all are looked through.
    Result<> must_lead_away(const IpAddress& peer) const
    {
        sockaddr_storage end{};
        socklen_t size = sizeof end;
        auto* const local = reinterpret_cast<sockaddr*>(&end);
        int err = error_of(::getsockname(socket_.get(), local, &size));
        if (err) return fail_errno(err, "ask for the connection's own address");
        ifaddrs* raw = nullptr;
        err = error_of(::getifaddrs(&raw));
        if (err) return fail_errno(err, "list this machine's addresses");
        const std::unique_ptr<ifaddrs, FreeInterfaces> list{raw};
        bool own = address_of(*local) == peer;
        for (const ifaddrs* at = raw; at != nullptr; at = at->ifa_next)
            own = own || (at->ifa_addr != nullptr && address_of(*at->ifa_addr) == peer);
        if (own) return fail(Errc::denied, "the store's name leads to this machine");
        return {};
    }

    /// Of a family that we do not know: the unspecified one, which is near. A mapped one is IPv4.
    static IpAddress address_of(const sockaddr& where)
    {
        if (where.sa_family == AF_INET) {
            sockaddr_in in{};
            std::memcpy(&in, &where, sizeof in);
            return IpAddress::v4(ntohl(in.sin_addr.s_addr));
        }
        if (where.sa_family == AF_INET6) {
            sockaddr_in6 in{};
            std::memcpy(&in, &where, sizeof in);
            std::array<std::uint8_t, 16> bytes{};
            std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
            if (!IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) return IpAddress::v6(bytes);
            std::uint32_t number = 0;
            std::memcpy(&number, bytes.data() + 12, sizeof number);
            return IpAddress::v4(ntohl(number));
        }
        return {};
    }

    /// Logs in and goes to the namespace.
    Result<> enter(const RedisAddress& address, Clock::time_point deadline)
    {
        std::vector<std::vector<std::string_view>> steps;
        const auto user = address.user.reveal();
        const auto password = address.password.reveal();
        if (address.zdb) {
            // A password belongs to the namespace; one that stands alone, in the place of the
            // user, is that of the administrator, as older URLs have it.
            if (password.empty() && !user.empty()) steps.push_back({"AUTH", user});
            const bool by_default = address.space.empty() && password.empty();
            std::string_view space = address.space;
            if (space.empty()) space = "default";
            if (!by_default) steps.push_back({"SELECT", space});
            if (!password.empty()) steps.back().push_back(password);
        } else {
            if (!password.empty() && !user.empty())
                steps.push_back({"AUTH", user, password});
            else if (!password.empty() || !user.empty())
                steps.push_back({"AUTH", password.empty() ? user : password});
            if (!address.space.empty()) steps.push_back({"SELECT", address.space});
        }
        for (const auto& step : steps) {
            TRY(const auto reply, ask(step, deadline));
            if (reply->type == REDIS_REPLY_ERROR)
                return fail(Errc::denied, std::string{step[0]} + ": " + printable(text_of(*reply)));
        }
        return {};
    }

    Result<> send(const std::vector<std::string_view>& words, Clock::time_point deadline)
    {
        std::vector<const char*> pointers;
        std::vector<std::size_t> lengths;
        for (const auto word : words) {
            pointers.push_back(word.data());
            lengths.push_back(word.size());
        }
        char* raw = nullptr;
        const int formatted = redisFormatCommandArgv(
            &raw, static_cast<int>(words.size()), pointers.data(), lengths.data());
        if (formatted < 0) return fail(Errc::internal, "format a command");
        const std::unique_ptr<char, decltype(&redisFreeCommand)> command{raw, redisFreeCommand};

        std::string_view left{raw, static_cast<std::size_t>(formatted)};
        while (!left.empty()) {
            const auto sent = kernel::retry_eintr(
                [&] { return ::send(socket_.get(), left.data(), left.size(), MSG_NOSIGNAL); });
            const int err = error_of(sent);
            if (err == EAGAIN) {
                TRY_DO(wait(POLLOUT, deadline));
                continue;
            }
            if (err) return fail_errno(err, "send");
            left.remove_prefix(static_cast<std::size_t>(sent));
        }
        return {};
    }

    Result<Reply> receive(Clock::time_point deadline)
    {
        std::size_t received = 0;
        for (;;) {
            void* raw = nullptr;
            if (redisReaderGetReply(reader_.get(), &raw) != REDIS_OK)
                return fail(Errc::unavailable, "the answer is no RESP");
            if (raw != nullptr) return Reply{static_cast<redisReply*>(raw)};

            char buffer[std::size_t{64} << 10U];
            const auto got = kernel::retry_eintr(
                [&] { return ::recv(socket_.get(), buffer, sizeof buffer, 0); });
            const int err = error_of(got);
            if (err == EAGAIN) {
                TRY_DO(wait(POLLIN, deadline));
                continue;
            }
            if (err) return fail_errno(err, "receive");
            if (got == 0) return fail(Errc::unavailable, "the connection was closed");
            received += static_cast<std::size_t>(got);
            if (received > answer_limit) return fail(Errc::unavailable, "the answer is endless");
            redisReaderFeed(reader_.get(), buffer, static_cast<std::size_t>(got));
        }
    }

    static constexpr std::size_t answer_limit = std::size_t{2} << 20U;

    kernel::Fd socket_;
    Endpoint endpoint_;
    std::unique_ptr<redisReader, FreeReader> reader_;
};

class RedisStore : public BlockStore {
public:
    RedisStore(RedisAddress address, std::chrono::milliseconds patience)
        : address_{std::move(address)}, patience_{patience}
    {
    }

    Result<std::string> get(std::string_view id) override
    {
        TRY(const auto reply, ask({"GET", id}));
        if (reply->type == REDIS_REPLY_NIL)
            return fail(Errc::not_found, "the store has no such block");
        if (reply->type != REDIS_REPLY_STRING) return refused("GET", *reply);
        return std::string{text_of(*reply)};
    }

    Result<> put(std::string_view id, std::string_view stored) override
    {
        TRY(const auto reply, ask({"SET", id, stored}));
        // 0-db answers with the key, or nothing when it has the same bytes already.
        const bool kept = reply->type == REDIS_REPLY_STATUS || reply->type == REDIS_REPLY_STRING ||
                          reply->type == REDIS_REPLY_NIL;
        if (!kept) return refused("SET", *reply);
        return {};
    }

    Result<bool> has(std::string_view id) override
    {
        TRY(const auto reply, ask({"EXISTS", id}));
        if (reply->type != REDIS_REPLY_INTEGER) return refused("EXISTS", *reply);
        return reply->integer == 1;
    }

    std::string text() const override
    {
        if (address_.host.starts_with('/')) return scheme() + "://" + address_.host;
        const bool v6 = address_.host.find(':') != std::string::npos;
        return scheme() + "://" + (v6 ? "[" + address_.host + "]" : address_.host) + ":" +
               address_.port + (address_.space.empty() ? "" : "/" + address_.space);
    }

private:
    std::string scheme() const { return address_.zdb ? "zdb" : "redis"; }

    tl::unexpected<Error> refused(std::string_view command, const redisReply& reply) const
    {
        return fail(
            Errc::unavailable,
            text() + ": " + std::string{command} + ": " +
                (reply.type == REDIS_REPLY_ERROR ? printable(text_of(reply))
                                                 : "an answer of the wrong type"));
    }

    /// A connection that failed is dropped. One that lay idle may have been closed by the other
    /// side, so a question that failed on it is asked once more on a new one.
    Result<Reply> ask(const std::vector<std::string_view>& words)
    {
        const auto deadline = Clock::now() + patience_;
        for (;;) {
            auto connection = take_idle();
            const bool fresh = connection == nullptr;
            if (fresh) {
                auto opened = Connection::open(address_, known(), deadline);
                if (!opened) return tl::unexpected(std::move(opened).error().during(text()));
                connection = *std::move(opened);
                const std::lock_guard lock{mutex_};
                known_ = connection->endpoint();
            }
            auto reply = connection->ask(words, deadline);
            if (reply) {
                const std::lock_guard lock{mutex_};
                idle_.push_back(std::move(connection));
                return reply;
            }
            if (fresh || reply.error().code == Errc::timeout)
                return tl::unexpected(std::move(reply).error().during(text()));
        }
    }

    Endpoint known()
    {
        const std::lock_guard lock{mutex_};
        return known_;
    }

    std::unique_ptr<Connection> take_idle()
    {
        const std::lock_guard lock{mutex_};
        if (idle_.empty()) return nullptr;
        auto connection = std::move(idle_.back());
        idle_.pop_back();
        return connection;
    }

    RedisAddress address_;
    std::chrono::milliseconds patience_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Connection>> idle_;  // Guarded by mutex_.
    Endpoint known_;                                 // Guarded by mutex_; connected last.
};

}  // namespace

std::unique_ptr<BlockStore> make_redis_store(
    RedisAddress address, std::chrono::milliseconds patience)
{
    return std::make_unique<RedisStore>(std::move(address), patience);
}

}  // namespace znode::flist
