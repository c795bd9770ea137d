#include "explorer/poller.hpp"

#include <algorithm>

namespace znode::explorer {
namespace {

using namespace std::chrono_literals;

/// The originals' page; a shorter one means that the scan came to its end.
constexpr std::size_t full_page = 200;
constexpr Duration plain_interval = 2s;
constexpr Duration least_gap = 1s;
constexpr Duration first_retry = 2s;
constexpr Duration longest_retry = 60s;
constexpr Duration longest_obeyed = 10min;

}  // namespace

Duration PollPace::jittered(Duration pause)
{
    std::uniform_real_distribution<double> factor{0.9, 1.1};
    return std::chrono::duration_cast<Duration>(pause * factor(random_));
}

Duration PollPace::after_page(bool brought_news, bool server_waits, Duration took)
{
    failures_ = 0;
    if (server_waits) return brought_news ? Duration{} : std::max(least_gap - took, Duration{});
    // A backlog of several pages is read without pauses.
    return brought_news ? Duration{} : jittered(plain_interval);
}

Duration PollPace::after_failure(const ApiFailure& failure)
{
    const auto doubled = first_retry * (1U << std::min(failures_, 5U));
    ++failures_;
    const auto pause = jittered(std::min<Duration>(doubled, longest_retry));
    if (!failure.retry_after) return pause;
    return std::max(pause, std::min(*failure.retry_after, longest_obeyed));
}

Poller::Poller(NodeApi& api, std::int64_t cursor, std::uint64_t seed)
    : api_{api}, pace_{seed}, cursor_{cursor}
{
}

void Poller::restart() noexcept
{
    cursor_ = 0;
    etag_.clear();
    seen_.clear();
    pause_ = {};
    complete_ = false;
}

/// Queue entries stay in the answers until they are answered, and must not make a loop without
/// pauses: only what the page before had not is new.
bool Poller::is_news(const PollPage& page)
{
    std::set<std::pair<std::string, grid::NextAction>> now;
    for (const auto& entry : page.entries)
        now.emplace(entry.gwid ? entry.gwid->text() : entry.document, entry.next_action);
    const bool news = !std::ranges::includes(seen_, now);
    seen_ = std::move(now);
    return news;
}

Task<Result<PollPage>> Poller::next()
{
    if (pause_ > Duration{}) {
        co_await sleep_for(pause_);
        co_await asio::this_coro::throw_if_cancelled(true);
    }

    PollQuestion question;
    question.from = cursor_;
    if (cursor_ > 0) question.etag = etag_;
    // Is anybody there again? To be known at once and not when there is news.
    if (pace_.failing()) question.wait = std::chrono::seconds{0};
    const auto asked_from = cursor_;
    const auto start = Clock::now();
    auto page = co_await api_.poll(question);
    if (!page) {
        pause_ = pace_.after_failure(api_.last_failure());
        co_return tl::unexpected(std::move(page).error());
    }

    if (std::exchange(era_, page->era) != page->era && asked_from > 0) {
        restart();
        co_return std::move(*page);
    }
    // Somebody asked for everything while the question was out: its answer counts, its cursor not.
    if (cursor_ != asked_from) co_return std::move(*page);
    if (!page->unchanged) {
        const bool news = is_news(*page);
        pause_ = pace_.after_page(news, page->waited, Clock::now() - start);
        if (page->entries.size() < full_page && page->left_out_from == 0) complete_ = true;
        etag_ = page->etag;
    } else {
        pause_ = pace_.after_page(false, true, Clock::now() - start);
        complete_ = true;
    }
    // Whatever a server names: there is a number behind it, and it is one that can be asked for.
    cursor_ = std::clamp<std::int64_t>(page->last_id, 0, INT64_MAX - 1) + 1;
    if (page->left_out_from > 0) cursor_ = std::min(cursor_, page->left_out_from);
    co_return std::move(*page);
}

}  // namespace znode::explorer
