#include "shipper.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "base/failpoint.hpp"
#include "kernel/files.hpp"

namespace znode::logs {
namespace {

using namespace std::chrono_literals;

// What is on its way when the agent is killed comes twice. So no more is under way than keeps a
// connection of that distance busy.
constexpr std::size_t near_window = std::size_t{8} << 10U;
constexpr std::size_t far_window = std::size_t{256} << 10U;
constexpr auto far_answer = 30ms;
constexpr int far_answers = 32;  // In a row: a busy machine is slow now and then, distance always.
// What a power cut may send again.
constexpr auto store_every = 1s;
constexpr auto receiver_gap = 50ms;

std::uint64_t bytes_after(const std::filesystem::path& folder, const Cursor& cursor)
{
    std::uint64_t bytes = 0;
    const auto numbers = list_segments(folder);
    if (!numbers) return 0;
    for (const auto number : *numbers) {
        if (number < cursor.segment) continue;
        char name[32];
        segment_name(number, name);
        struct stat info{};
        if (::stat((folder / name).c_str(), &info) != 0) continue;
        const auto size = static_cast<std::uint64_t>(info.st_size);
        const auto done = number == cursor.segment ? cursor.offset : sizeof(SegmentHeader);
        if (size > done) bytes += size - done;
    }
    return bytes;
}

}  // namespace

Shipper::Shipper(
    asio::io_context& loop,
    Place place,
    redis::Target target,
    Blocking& disks,
    FolderWatch& watch,
    Cursors& cursors,
    Log log,
    ShipperConfig config)
    : place_{std::move(place)},
      target_{std::move(target)},
      disks_{disks},
      watch_{watch},
      cursors_{cursors},
      log_{std::move(log)},
      config_{config},
      group_{loop},
      changed_{loop},
      idle_{loop},
      reader_{place_.folder, Cursor{}},
      splitter_{place_.stream}
{
    status_.gwid = place_.gwid;
    status_.stream = place_.stream;
    status_.target = where();
}

std::string Shipper::where() const
{
    return target_.server.endpoint.text() + "/" + target_.channel;
}

void Shipper::start() { group_.spawn(run()); }

Task<> Shipper::drain_lines(Duration patience)
{
    const auto end = Clock::now() + patience;
    // Looks once more at the folder: the last lines may have come this very moment.
    is_idle_ = false;
    changed_.notify();
    while (!is_idle_ && Clock::now() < end) {
        (void)co_await idle_.wait_for(end - Clock::now());
        co_await asio::this_coro::throw_if_cancelled(true);
    }
}

Task<> Shipper::stop(bool keep_cursor)
{
    co_await group_.drain();
    watch_.remove(&changed_);
    watched_ = false;
    if (keep_cursor) co_await store_cursor(true);
}

Task<ShipperStatus> Shipper::status()
{
    const auto cursor = cursor_;
    const auto folder = place_.folder;
    const auto pending = co_await disks_.run([&] { return bytes_after(folder, cursor); });
    auto status = status_;
    status.pending_bytes = is_idle_ ? 0 : pending;
    co_return status;
}

Task<> Shipper::run()
{
    auto gap = config_.first_retry;
    for (;;) {
        auto loaded = co_await load_cursor();
        if (loaded) break;
        tell(loaded.error());
        co_await sleep_for(gap);
        co_await asio::this_coro::throw_if_cancelled(true);
        gap = std::min(gap * 2, config_.slowest_retry);
    }
    gap = config_.first_retry;
    for (;;) {
        const auto sent_before = status_.sent_lines;
        const auto outcome = co_await ship();
        status_.connected = false;
        seek_receiver_ = had_receiver_;
        co_await asio::this_coro::throw_if_cancelled(true);
        tell(outcome.error());
        // A server that takes lines before it hangs up gets them at once again.
        if (status_.sent_lines != sent_before) gap = config_.first_retry;
        rewind();
        co_await store_cursor(true);
        co_await sleep_for(gap);
        co_await asio::this_coro::throw_if_cancelled(true);
        gap = std::min(gap * 2, config_.slowest_retry);
    }
}

Task<Result<>> Shipper::load_cursor()
{
    CO_TRY(const auto stored, co_await cursors_.load(place_.key));
    if (stored) cursor_ = stored_ = *stored;
    rewind();
    co_return Result<>{};
}

void Shipper::rewind()
{
    reader_ = RecordReader{place_.folder, cursor_};
    splitter_ = LineSplitter{place_.stream};
}

/// Connects and sends until something fails.
Task<Result<>> Shipper::ship()
{
    if (!watched_) {
        CO_TRY_DO(watch_.add(place_.folder, &changed_));
        watched_ = true;
    }
    // Also without a line to send: a wrong password is to be seen before it matters.
    CO_TRY(
        const auto connection, co_await redis::Connection::open(target_.server, config_.patience));
    slow_answers_ = 0;
    status_.connected = true;
    if (!status_.problem.empty())
        log_->info("log target answers gwid={} stream={}", place_.gwid, to_string(place_.stream));
    status_.problem.clear();

    // While the server works on one batch, the next one is read and sent.
    Batch sent;
    for (;;) {
        CO_TRY(auto batch, co_await next_batch());
        if (!batch.empty()) {
            CO_FP("logs.ship.send");
            if (seek_receiver_) {
                CO_TRY_DO(co_await find_receiver(connection.get(), &batch));
                continue;
            }
            const auto given = co_await connection->send(batch.commands, config_.patience);
            if (!given) {
                // What the server answered before it went away is not sent to it again.
                if (sent.empty() || co_await await_answers(connection.get(), &sent))
                    (void)co_await await_answers(connection.get(), &batch);
                co_return given;
            }
        }
        if (!sent.empty()) {
            CO_TRY_DO(co_await await_answers(connection.get(), &sent));
            co_await store_cursor(false);
        }
        sent = std::move(batch);
        if (!sent.empty()) continue;

        // Nothing on the way and nothing to read.
        if (!splitter_.is_open()) cursor_ = reader_.position();
        co_await store_cursor(true);
        is_idle_ = true;
        idle_.notify();
        co_await changed_.wait();
        co_await asio::this_coro::throw_if_cancelled(true);
        is_idle_ = false;
    }
}

Task<Result<>> Shipper::await_answers(redis::Connection* connection, const Batch* batch)
{
    redis::Connection::Integers got;
    const auto begun = Clock::now();
    auto outcome =
        co_await connection->receive_integers(batch->after.size(), &got, config_.patience);
    slow_answers_ = Clock::now() - begun > far_answer ? slow_answers_ + 1 : 0;
    if (got.count > 0) had_receiver_ = got.last > 0;
    count_as_sent(*batch, got.count);
    if (outcome) cursor_ = batch->end;
    cursors_.note(place_.key, cursor_);
    co_return outcome;
}

/// A server that comes back is often faster than those who listened to it, and keeps nothing for
/// them: one line asks until somebody has it. What follows it is read anew.
Task<Result<>> Shipper::find_receiver(redis::Connection* connection, const Batch* batch)
{
    const auto end = Clock::now() + config_.receiver_patience;
    const auto line = std::string_view{batch->commands}.substr(0, batch->first);
    for (;;) {
        redis::Connection::Integers got;
        CO_TRY_DO(co_await connection->send(line, config_.patience));
        CO_TRY_DO(co_await connection->receive_integers(1, &got, config_.patience));
        had_receiver_ = got.last > 0;
        if (had_receiver_ || Clock::now() >= end) break;
        co_await sleep_for(receiver_gap);
        co_await asio::this_coro::throw_if_cancelled(true);
    }
    seek_receiver_ = false;
    count_as_sent(*batch, 1);
    cursors_.note(place_.key, cursor_);
    rewind();
    co_return Result<>{};
}

void Shipper::count_as_sent(const Batch& batch, std::size_t lines)
{
    for (std::size_t i = 0; i < lines; ++i) status_.sent_bytes += batch.sizes[i];
    status_.sent_lines += lines;
    if (lines > 0) cursor_ = batch.after[lines - 1];
}

/// The lines of the next records; empty when there is nothing (of this stream) for now.
Task<Result<Batch>> Shipper::next_batch()
{
    Batch batch;
    const auto window = slow_answers_ >= far_answers ? far_window : near_window;
    while (batch.empty()) {
        const auto skip = reader_.position();
        const auto lost_before = reader_.lost_bytes();
        auto chunk = co_await disks_.run([&] { return reader_.next(window); });
        status_.lost_bytes += reader_.lost_bytes() - lost_before;
        if (!chunk) co_return tl::unexpected(std::move(chunk).error());
        if (chunk->records.empty()) co_return batch;
        batch.commands.reserve(chunk->bytes.size() + chunk->bytes.size() / 2);
        for (const auto& record : chunk->records) {
            const bool resumed =
                record.at.segment == skip.segment && record.at.offset == skip.offset;
            splitter_.feed(
                record,
                resumed ? skip.inner : 0,
                [&](std::string_view text, std::int64_t, const Cursor& after) {
                    redis::append_command(batch.commands, {"PUBLISH", target_.channel, text});
                    if (batch.first == 0) batch.first = batch.commands.size();
                    batch.after.push_back(after);
                    batch.sizes.push_back(text.size());
                });
        }
        if (!batch.empty())
            batch.end = splitter_.is_open() ? batch.after.back() : chunk->records.back().next;
    }
    co_return batch;
}

Task<> Shipper::store_cursor(bool now)
{
    if (cursor_ == stored_) co_return;
    if (!now && Clock::now() - stored_at_ < store_every) co_return;
    const auto cursor = cursor_;
    const auto stored = co_await cursors_.store(place_.key, cursor);
    if (stored) {
        stored_ = cursor;
        stored_at_ = Clock::now();
    } else {
        log_->warn(
            "log cursor not stored gwid={} stream={} reason=\"{}\"",
            place_.gwid,
            to_string(place_.stream),
            stored.error().message);
    }
}

void Shipper::tell(const Error& error)
{
    auto problem = error.message;
    if (error.code == Errc::denied)
        problem += ": the password in the workload's log target is not the server's";
    if (problem != status_.problem)
        log_->warn(
            "log lines wait gwid={} stream={} reason=\"{}\"",
            place_.gwid,
            to_string(place_.stream),
            problem);
    status_.problem = std::move(problem);
}

}  // namespace znode::logs
