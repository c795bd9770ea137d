#include "zdb/server.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "client_limits.hpp"
#include "listeners.hpp"
#include "session.hpp"

namespace znode::zdb {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t read_in_one_turn = std::size_t{1} << 20U;
/// Above this a client's requests wait until it has taken its replies.
constexpr std::size_t unread_limit = std::size_t{1} << 20U;
/// A group larger than this is committed before the turn ends.
constexpr std::size_t group_limit = std::size_t{4} << 20U;
constexpr auto compaction_step = std::chrono::milliseconds{2};

class EpollServer final : public Server {
public:
    EpollServer(Engine& engine, ServerConfig config, Log log)
        : engine_{engine},
          config_{std::move(config)},
          log_{std::move(log)},
          commands_{engine_, config_, sessions_}
    {
    }

    ~EpollServer() override
    {
        for (Session* session : sessions_) delete session;
        if (!config_.socket.empty() && unix_listener_) ::unlink(config_.socket.c_str());
    }

    Result<> listen()
    {
        epoll_ = kernel::Fd{::epoll_create1(EPOLL_CLOEXEC)};
        if (!epoll_) return fail_errno(errno, "epoll_create");
        stop_event_ = kernel::Fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
        if (!stop_event_) return fail_errno(errno, "eventfd");
        TRY_DO(watch(stop_event_.get(), &stop_event_));
        if (!config_.socket.empty()) {
            TRY(unix_listener_, zdb::listen_unix(config_.socket));
            TRY_DO(watch(unix_listener_.get(), &unix_listener_));
        }
        if (config_.tcp) {
            TRY(tcp_listener_, zdb::listen_tcp(config_.address, config_.port));
            TRY_DO(watch(tcp_listener_.get(), &tcp_listener_));
            port_ = port_of(tcp_listener_);
        }
        return {};
    }

    unsigned short port() const noexcept override { return port_; }

    void stop() noexcept override
    {
        const std::uint64_t one = 1;
        (void)!::write(stop_event_.get(), &one, sizeof one);  // Full means it was asked already.
    }

    Result<> run() override
    {
        std::array<epoll_event, 256> events{};
        while (!stopping_) {
            const int count = ::epoll_wait(
                epoll_.get(), events.data(), static_cast<int>(events.size()), patience());
            if (count < 0 && errno != EINTR) return fail_errno(errno, "epoll_wait");
            for (int i = 0; i < count; ++i) handle(events[static_cast<std::size_t>(i)]);
            auto ready = std::exchange(ready_, {});
            for (Session* session : ready) {
                session->ready = false;
                serve(*session);
            }
            end_waits();
            commit();
            for (std::size_t i = 0; i < commands_.woken.size(); ++i) touch(*commands_.woken[i]);
            commands_.woken.clear();
            for (Session* session : std::exchange(commands_.cut_off, {})) kill(*session);
            send_replies();
            limits_.close_stalled();
            limits_.keep_budget();
            bury();
            compaction_ = engine_.compact(compaction_step);
        }
        commit();
        for (Session* session : sessions_) flush(*session);
        return {};
    }

private:
    // --- sockets --------------------------------------------------------------------------------

    Result<> watch(int fd, void* what)
    {
        epoll_event event{.events = EPOLLIN, .data = {.ptr = what}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
            return fail_errno(errno, "epoll_ctl");
        return {};
    }

    void accept_all(const kernel::Fd& listener, bool unix_socket)
    {
        for (int i = 0; i < 64; ++i) {
            kernel::Fd fd{
                ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
            if (!fd) {
                if (errno != EMFILE && errno != ENFILE && errno != ENOMEM) return;
                zdb::refuse_one(listener, spare_);
                log_->warn("connection refused: no free descriptor");
                return;
            }
            if (!unix_socket && limits_.full() && !limits_.make_place()) {
                zdb::turn_away(fd);
                log_->debug("connection refused: too many clients");
                continue;
            }
            if (!unix_socket) zdb::tune_tcp(fd);
            auto session = std::make_unique<Session>();
            session->fd = std::move(fd);
            session->unix_socket = unix_socket;
            session->admin = unix_socket && config_.admin_password.empty();
            session->space = engine_.find("default");
            session->writable = !config_.protect;
            if (!watch(session->fd.get(), session.get())) return;
            session->interest = EPOLLIN;
            limits_.came(*session);
            sessions_.push_back(session.release());
            ++commands_.stats.clients;
        }
    }

    // --- one turn -------------------------------------------------------------------------------

    void handle(const epoll_event& event)
    {
        if (event.data.ptr == &stop_event_) {
            stopping_ = true;
        } else if (event.data.ptr == &unix_listener_) {
            accept_all(unix_listener_, true);
        } else if (event.data.ptr == &tcp_listener_) {
            accept_all(tcp_listener_, false);
        } else {
            auto& session = *static_cast<Session*>(event.data.ptr);
            if (session.dead) return;
            if ((event.events & EPOLLOUT) != 0) {
                flush(session);
                if (!session.dead) make_ready(session);
            }
            if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !session.dead &&
                limits_.has_memory(session)) {
                receive(session);
                if (!session.dead) serve(session);
            }
        }
    }

    void receive(Session& session)
    {
        std::size_t taken = 0;
        while (taken < read_in_one_turn) {
            const auto into =
                session.in.prepare(std::clamp(session.wanted, read_step, read_in_one_turn));
            const auto got = ::recv(session.fd.get(), into.data(), into.size(), 0);
            if (got > 0) {
                session.heard = steady_clock::now();
                session.in.commit(static_cast<std::size_t>(got));
                commands_.stats.received += static_cast<std::uint64_t>(got);
                taken += static_cast<std::size_t>(got);
                if (static_cast<std::size_t>(got) < into.size()) return;
                continue;
            }
            if (got < 0 && errno == EINTR) continue;
            if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
            kill(session);
            return;
        }
    }

    bool may_serve(const Session& session) const
    {
        return !session.dead && !session.closing && session.waiting_for.empty() &&
               session.out.size() < unread_limit;
    }

    void touch(Session& session)
    {
        if (session.listed) return;
        session.listed = true;
        touched_.push_back(&session);
    }

    void make_ready(Session& session)
    {
        if (session.ready) return;
        session.ready = true;
        ready_.push_back(&session);
    }

    /// Executes what has arrived, as far as the client takes its replies.
    void serve(Session& session)
    {
        touch(session);
        while (may_serve(session) && limits_.has_memory(session)) {
            if (!session.mget.empty()) {
                // Nothing makes its replies a second time: they are of what is committed.
                if (engine_.uncommitted() > 0) commit();
                commands_.continue_mget(session);
                settle(session);
                limits_.count(session);
                continue;
            }
            const auto parsed = parse_request(session.in.view().substr(session.taken), arguments_);
            session.wanted = 1;
            if (parsed.kind == Parsed::Kind::request) {
                execute(session, parsed.size);
            } else if (parsed.kind == Parsed::Kind::refused) {
                reply_error(session.out, parsed.error);
                session.taken += parsed.size;
            } else if (parsed.kind == Parsed::Kind::fatal) {
                reply_error(session.out, parsed.error);
                session.taken = session.in.size();
                session.closing = true;
            } else {
                session.wanted = parsed.wanted;
                break;
            }
            if (engine_.uncommitted() > group_limit) commit();
            limits_.count(session);
        }
        // Whoever is left after this turn goes on.
        if (!session.dead && !limits_.has_memory(session)) make_ready(session);
    }

    void execute(Session& session, std::size_t size)
    {
        if (session.held > 0) session.holds_since = steady_clock::now();
        if (session.space == nullptr) {
            reply_error(
                session.out, "Your active namespace is not available anymore (probably removed).");
            session.closing = true;
            session.taken += size;
            return;
        }
        const Command* command = Commands::find(arguments_[0]);
        if (command == nullptr) {
            ++commands_.stats.failed;
            reply_error(session.out, "Command not supported");
            session.taken += size;
            return;
        }
        if (command->grouped) {
            commands_.execute(session, *command, arguments_);
            session.taken += size;
            return;
        }
        // Others see only what is committed, and are never executed twice.
        if (engine_.uncommitted() > 0) commit();
        commands_.execute(session, *command, arguments_);
        session.taken += size;
        settle(session);
    }

    /// What was executed and answered so far stands.
    static void settle(Session& session)
    {
        session.out_mark = session.out.size();
        session.in.consume(session.taken);
        session.taken = 0;
    }

    /// One commit for all sessions. Those whose namespace was refused by the disk go back to where
    /// they were and are executed again, each write with a commit of its own, so that each gets
    /// its true answer.
    void commit()
    {
        if (engine_.uncommitted() > 0) {
            const auto failed = engine_.commit();
            for (std::size_t i = 0; !failed.empty() && i < touched_.size(); ++i) {
                Session& session = *touched_[i];
                if (!session.dead && std::ranges::find(failed, session.space) != failed.end())
                    execute_again(session);
            }
        }
        for (Session* session : touched_) settle(*session);
    }

    void execute_again(Session& session)
    {
        const std::size_t until = session.taken;
        session.taken = 0;
        session.out.truncate(session.out_mark);
        std::vector<std::string_view> arguments;
        while (session.taken < until) {
            const auto parsed = parse_request(session.in.view().substr(session.taken), arguments);
            if (parsed.kind == Parsed::Kind::fatal || parsed.size == 0) {
                // As when it was first read: what follows is no request.
                reply_error(session.out, parsed.error);
                session.taken = until;
                session.closing = true;
                break;
            }
            session.taken += parsed.size;
            if (parsed.kind != Parsed::Kind::request) {
                reply_error(session.out, parsed.error);
                continue;
            }
            const Command* command = Commands::find(arguments[0]);
            if (command == nullptr) {
                reply_error(session.out, "Command not supported");
                continue;
            }
            const std::size_t before = session.out.size();
            commands_.execute(session, *command, arguments);
            if (engine_.uncommitted() == 0 || engine_.commit().empty()) continue;
            session.out.truncate(before);
            reply_error(session.out, Commands::refusal(*command));
        }
    }

    void send_replies()
    {
        for (std::size_t i = 0; i < touched_.size(); ++i) {
            Session& session = *touched_[i];
            session.listed = false;
            if (session.dead) continue;
            settle(session);
            flush(session);
            if (session.dead) continue;
            if (session.out_mark == 0) session.took = steady_clock::now();
            session.in.relax();
            session.out.relax();
            limits_.count(session);
            // Requests may be here already that no event will tell of.
            if (may_serve(session) &&
                (!session.mget.empty() ||
                 (!session.in.empty() && session.wanted == 1 && has_request(session))))
                make_ready(session);
            update_interest(session);
        }
        touched_.clear();
    }

    bool has_request(const Session& session)
    {
        return parse_request(session.in.view(), arguments_).kind != Parsed::Kind::incomplete;
    }

    void flush(Session& session)
    {
        while (session.out_mark > 0) {
            const auto bytes = session.out.view().substr(0, session.out_mark);
            const auto sent = ::send(session.fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
            if (sent < 0) return kill(session);
            session.took = steady_clock::now();
            commands_.stats.sent += static_cast<std::uint64_t>(sent);
            session.out.consume(static_cast<std::size_t>(sent));
            session.out_mark -= static_cast<std::size_t>(sent);
        }
        if (session.closing && session.out.empty()) {
            // The rest of what the client sent is read away, so that it gets the reply before the
            // end and not a reset.
            ::shutdown(session.fd.get(), SHUT_WR);
            std::array<char, 4096> rest;
            for (int i = 0; i < 64 && ::recv(session.fd.get(), rest.data(), rest.size(), 0) > 0;)
                ++i;
            kill(session);
        } else {
            update_interest(session);
        }
    }

    void update_interest(Session& session)
    {
        const bool blocked = session.out.size() >= unread_limit;
        // A waiting client may go away; its further requests stay in the socket.
        const bool reads = !session.closing && !blocked && session.in.size() < request_limit;
        const unsigned wanted =
            (reads ? unsigned{EPOLLIN} : 0U) | (session.out.empty() ? 0U : unsigned{EPOLLOUT});
        if (wanted == session.interest) return;
        epoll_event event{.events = wanted, .data = {.ptr = &session}};
        if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, session.fd.get(), &event) != 0)
            return kill(session);
        session.interest = wanted;
    }

    void kill(Session& session)
    {
        if (std::exchange(session.dead, true)) return;
        (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session.fd.get(), nullptr);
        any_dead_ = true;
        limits_.went(session);
    }

    void bury()
    {
        if (!any_dead_ && !has_dead_mirror()) return;
        any_dead_ = false;
        std::erase_if(ready_, [](const Session* one) { return one->dead; });
        std::erase_if(commands_.watchers, [](const Session* one) { return one->dead; });
        std::erase_if(sessions_, [](Session* one) {
            if (!one->dead) return false;
            delete one;
            return true;
        });
    }

    bool has_dead_mirror() const
    {
        return std::ranges::any_of(
            commands_.watchers, [](const Session* one) { return one->dead; });
    }

    void end_waits()
    {
        if (commands_.watchers.empty()) return;
        const auto now = steady_clock::now();
        for (Session* session : commands_.watchers) {
            if (session->dead) continue;
            if (session->waiting_for.empty()) {
                if (!session->in.empty()) make_ready(*session);
                continue;
            }
            if (session->waiting_until > now) continue;
            session->waiting_for.clear();
            reply_error(session->out, "Timeout");
            touch(*session);
            make_ready(*session);
        }
        std::erase_if(commands_.watchers, [](const Session* one) {
            return !one->dead && one->waiting_for.empty() && !one->mirror;
        });
    }

    int patience() const
    {
        if (!ready_.empty() || compaction_ == Compaction::busy) return 0;
        auto wait = milliseconds{compaction_ == Compaction::waiting ? 10 : 60'000};
        if (limits_.holds_memory())
            wait = std::min(wait, std::max(config_.stall_limit / 4, milliseconds{1}));
        if (!commands_.watchers.empty()) {
            const auto now = steady_clock::now();
            for (const Session* session : commands_.watchers) {
                if (session->waiting_for.empty()) continue;
                const auto left = std::chrono::ceil<milliseconds>(session->waiting_until - now);
                wait = std::clamp(left, milliseconds{0}, wait);
            }
        }
        return static_cast<int>(wait.count());
    }

    Engine& engine_;
    const ServerConfig config_;
    Log log_;
    kernel::Fd epoll_;
    kernel::Fd stop_event_;
    kernel::Fd unix_listener_;
    kernel::Fd tcp_listener_;
    kernel::Fd spare_{::eventfd(0, EFD_CLOEXEC)};
    unsigned short port_ = 0;
    bool stopping_ = false;
    bool any_dead_ = false;
    Compaction compaction_ = Compaction::busy;
    std::vector<Session*> sessions_;
    ClientLimits limits_{config_, log_, sessions_, [this](Session& session) { kill(session); }};
    std::vector<Session*> touched_;  ///< Executed something in this turn.
    std::vector<Session*> ready_;    ///< To be served in the next turn.
    std::vector<std::string_view> arguments_;
    Commands commands_;
};

}  // namespace

Result<std::unique_ptr<Server>> make_server(Engine& engine, ServerConfig config, Log log)
{
    Space* space = engine.find("default");
    if (space == nullptr) return fail(Errc::internal, "there is no default namespace");
    Settings settings = space->settings();
    if (config.default_maxsize > 0) settings.maxsize = config.default_maxsize;
    if (config.protect) {
        if (config.admin_password.empty())
            return fail(Errc::invalid, "--protect needs an admin password");
        settings.password = config.admin_password;
        settings.public_access = true;
    }
    engine.override_settings(*space, std::move(settings));
    auto server = std::make_unique<EpollServer>(engine, std::move(config), std::move(log));
    TRY_DO(server->listen());
    return server;
}

}  // namespace znode::zdb
