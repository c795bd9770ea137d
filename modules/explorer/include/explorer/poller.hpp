#pragma once

#include <cstdint>
#include <random>
#include <set>
#include <utility>

#include "explorer/node_api.hpp"

namespace znode::explorer {

/// When to ask next. Pure: told what a poll brought and how long it took, it answers with a pause.
///
/// A server that holds requests is asked again at once after something new, and never twice within
/// a second otherwise; a plain one every 2 s ± 10 %, also after a day of silence, for a customer's
/// script that sleeps 5 s must find its result. Failures double the pause up to a minute; a
/// Retry-After is obeyed, up to ten minutes.
class PollPace {
public:
    explicit PollPace(std::uint64_t seed) : random_{seed} {}

    Duration after_page(bool brought_news, bool server_waits, Duration took);
    /// The last question was not answered.
    bool failing() const noexcept { return failures_ > 0; }
    Duration after_failure(const ApiFailure& failure);
    /// The next failure is the first again.
    void answered() noexcept { failures_ = 0; }

private:
    Duration jittered(Duration pause);

    std::mt19937_64 random_;
    unsigned failures_ = 0;
};

/// Asks for work for ever: cursor, ETag and pace in one place.
///
/// `cursor` is durable with its owner: it is the `from` of the next question. From 0 everything
/// that is still meant for this node comes, pages of 200; `restart` asks for that again, at start
/// and every few hours, since that is how a node learns what the explorer has forgotten.
class Poller {
public:
    /// `api` must outlive it.
    Poller(NodeApi& api, std::int64_t cursor, std::uint64_t seed);

    /// Pauses as the pace says, asks, and gives the page; an error when the explorer gave none.
    /// The first call asks at once.
    Task<Result<PollPage>> next();
    /// The next question is from 0 and at once.
    void restart() noexcept;

    std::int64_t cursor() const noexcept { return cursor_; }
    /// Since `restart` (or the first question from 0) everything that the explorer had for this
    /// node has come.
    bool complete() const noexcept { return complete_; }

private:
    bool is_news(const PollPage& page);

    NodeApi& api_;
    PollPace pace_;
    std::int64_t cursor_;
    std::string etag_;
    std::optional<Era> era_;  ///< Of the page before; another one has other cursors.
    Duration pause_{};
    bool complete_ = false;
    std::set<std::pair<std::string, grid::NextAction>> seen_;  ///< Of the page before.
};

}  // namespace znode::explorer
