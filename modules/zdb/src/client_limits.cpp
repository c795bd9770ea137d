#include "client_limits.hpp"

#include <algorithm>
#include <utility>

namespace znode::zdb {
namespace {

using std::chrono::milliseconds;

/// What each client has from the beginning is bounded by their number.
std::size_t large(const Buffer& buffer)
{
    return buffer.capacity() > read_step ? buffer.capacity() : 0;
}

}  // namespace

void ClientLimits::went(Session& session)
{
    count(session);
    clients_ -= session.unix_socket ? 0 : 1;
}

bool ClientLimits::make_place()
{
    Session* silent = nullptr;
    for (Session* session : sessions_) {
        if (session->dead || session->unix_socket || session->mirror || session->listed ||
            session->ready || !session->waiting_for.empty() || !session->out.empty())
            continue;
        if (silent == nullptr || session->heard < silent->heard) silent = session;
    }
    if (silent == nullptr || Clock::now() - silent->heard < config_.silence_limit) return false;
    log_->debug("client closed: silent, and its place is needed");
    end_(*silent);
    return true;
}

bool ClientLimits::has_memory(const Session& session) const
{
    return session.unix_socket || held_ <= config_.buffer_limit;
}

void ClientLimits::count(Session& session)
{
    const std::size_t held =
        session.dead || session.unix_socket ? 0 : large(session.in) + large(session.out);
    if (session.held == 0 && held > 0) session.holds_since = Clock::now();
    held_ += held;
    held_ -= std::exchange(session.held, held);
}

void ClientLimits::keep_budget()
{
    if (held_ <= config_.buffer_limit) return;
    std::vector<Session*> holders;
    for (Session* session : sessions_)
        if (!session->dead && session->held > 0) holders.push_back(session);
    // Who is quick has given it back before its turn comes.
    std::ranges::sort(holders, {}, &Session::holds_since);
    std::size_t closed = 0;
    for (Session* session : holders) {
        if (held_ <= config_.buffer_limit) break;
        end_(*session);
        ++closed;
    }
    log_->warn("memory for clients is used up: closed={}", closed);
}

/// Whether it keeps us from something for too long: from sending, or from the rest of a request.
bool ClientLimits::is_stalled(const Session& session, Clock::time_point now) const
{
    if (session.dead || session.unix_socket) return false;
    if (session.out_mark > 0) return now - session.took >= config_.stall_limit;
    return !session.in.empty() && session.waiting_for.empty() && session.mget.empty() &&
           !session.ready && now - session.heard >= config_.stall_limit;
}

void ClientLimits::close_stalled()
{
    const auto now = Clock::now();
    if (now < next_look_) return;
    next_look_ = now + std::min<milliseconds>(config_.stall_limit / 4, milliseconds{5000});
    for (Session* session : sessions_) {
        if (!is_stalled(*session, now)) continue;
        log_->debug("client closed: it neither takes its replies nor ends its request");
        end_(*session);
    }
}

}  // namespace znode::zdb
