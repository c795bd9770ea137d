#include "shipper.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "base/failpoint.hpp"
#include "kernel/files.hpp"

namespace znode::logs {
namespace {

using namespace std::chrono_literals;

// What is on its way when a connection breaks may come twice. So no more is under way than keeps a
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
    const kernel::DescriptorStore* kept,
    Log log,
    ShipperConfig config)
    : place_{std::move(place)},
      target_{std::move(target)},
      disks_{disks},
      watch_{watch},
      cursors_{cursors},
      kept_{kept},
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

Task<> Shipper::stop(End end)
{
    co_await group_.drain();
    watch_.remove(&changed_);
    watched_ = false;
    if (end != End::pause) co_await drop_connection();
    if (end != End::forget) co_await store_cursor(true);
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
        co_await drop_connection();
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
    if (stored) {
        cursor_ = stored_ = stored->cursor;
        wire_ = stored->wire;
    }
    rewind();
    co_return Result<>{};
}

void Shipper::rewind()
{
    reader_ = RecordReader{place_.folder, cursor_};
    splitter_ = LineSplitter{place_.stream};
}

/// Unique among what is kept, and of one target: a connection to another one is none of ours.
std::string Shipper::kept_name() const
{
    const auto target = std::hash<std::string>{}(where());
    return kept_prefix + place_.key + "." + std::to_string(target);
}

/// The connection of the run before, when it stands where the wire says, or a new one.
Task<Result<std::unique_ptr<redis::Connection>>> Shipper::connect()
{
    if (auto before = co_await take_over()) co_return before;
    CO_TRY(auto fresh, co_await redis::Connection::open(target_.server, config_.patience));
    wire_ = {fresh->at().socket, fresh->at().written, fresh->at().read};
    note();
    co_await keep(fresh.get());
    co_return std::move(fresh);
}

/// Null where there is none. What it was given and what was read from it is known to the kernel,
/// whenever its last user died; what the wire says was noted before the answers were read.
Task<std::unique_ptr<redis::Connection>> Shipper::take_over()
{
    const auto noted = std::exchange(wire_, Wire{});
    if (kept_ == nullptr || noted.socket == 0) co_return nullptr;
    const auto name = kept_name();
    auto socket = co_await disks_.run([&] { return kept_->get(name); });
    if (!socket) co_return nullptr;
    auto before = redis::Connection::adopt(co_await asio::this_coro::executor, *std::move(socket));
    if (!before) co_return nullptr;
    const auto at = (*before)->at();
    if (at.socket != noted.socket || at.written < noted.written || at.read > noted.read)
        co_return nullptr;
    if (!co_await (*before)->skip(noted.read - at.read, config_.patience)) co_return nullptr;
    wire_ = noted;
    is_kept_ = true;
    co_return std::move(*before);
}

Task<> Shipper::keep(const redis::Connection* connection)
{
    if (kept_ == nullptr || wire_.socket == 0) co_return;
    const auto copy = connection->duplicate();
    if (!copy) co_return;
    is_kept_ = true;
    const auto name = kept_name();
    // Without it a crash costs repeated lines, nothing else.
    (void)co_await disks_.run([&] { return kept_->put(name, *copy); });
}

/// A connection that is over is not gone on with; it ends when nobody keeps it.
Task<> Shipper::drop_connection()
{
    wire_ = {};
    if (!std::exchange(is_kept_, false)) co_return;
    note();
    const auto name = kept_name();
    (void)co_await disks_.run([&] { return kept_->drop(name); });
}

/// Connects and sends until something fails.
Task<Result<>> Shipper::ship()
{
    if (!watched_) {
        CO_TRY_DO(watch_.add(place_.folder, &changed_));
        watched_ = true;
    }
    // Also without a line to send: a wrong password is to be seen before it matters.
    CO_TRY(const auto connection, co_await connect());
    slow_answers_ = 0;
    status_.connected = true;
    if (!status_.problem.empty())
        log_->info("log target answers gwid={} stream={}", place_.gwid, to_string(place_.stream));
    status_.problem.clear();

    // While the server works on one batch, the next one is read and sent.
    Batch sent;
    auto begin = wire_.written;
    for (;;) {
        CO_TRY(auto batch, co_await next_batch());
        // What was on its way must be made again to the byte.
        const bool is_behind = connection->at().written > begin;
        if (is_behind && (batch.empty() || reader_.lost_bytes() != 0))
            co_return fail(Errc::unavailable, "lines that were on their way are no longer there");
        if (!batch.empty()) {
            CO_FP("logs.ship.send");
            if (seek_receiver_) {
                CO_TRY_DO(co_await find_receiver(connection.get(), &batch));
                begin = wire_.written;
                continue;
            }
            batch.begin = begin;
            begin += batch.commands.size();
            const auto given = co_await send_rest(connection.get(), &batch);
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
        if (!splitter_.is_open()) {
            cursor_ = reader_.position();
            note();
        }
        co_await store_cursor(true);
        is_idle_ = true;
        idle_.notify();
        co_await changed_.wait();
        co_await asio::this_coro::throw_if_cancelled(true);
        is_idle_ = false;
    }
}

/// Sends what the connection was not yet given of it: the run before may have begun with it.
Task<Result<>> Shipper::send_rest(redis::Connection* connection, const Batch* batch)
{
    const std::string_view commands{batch->commands};
    const auto given = std::max(connection->at().written, batch->begin) - batch->begin;
    if (given >= commands.size()) co_return Result<>{};
    co_return co_await connection->send(commands.substr(given), config_.patience);
}

Task<Result<>> Shipper::await_answers(redis::Connection* connection, const Batch* batch)
{
    redis::Connection::Integers got;
    const auto begun = Clock::now();
    auto outcome =
        co_await connection->receive_integers(batch->after.size(), &got, config_.patience, [&] {
            wire_.read = connection->at().read;
            reach(*batch, got.count);
            note();
        });
    slow_answers_ = Clock::now() - begun > far_answer ? slow_answers_ + 1 : 0;
    if (got.count > 0) had_receiver_ = got.last > 0;
    count_as_sent(*batch, got.count);
    co_return outcome;
}

/// A server that comes back is often faster than those who listened to it, and keeps nothing for
/// them: one line asks until somebody has it. What follows it is read anew.
Task<Result<>> Shipper::find_receiver(redis::Connection* connection, const Batch* batch)
{
    const auto end = Clock::now() + config_.receiver_patience;
    const auto line = std::string_view{batch->commands}.substr(0, batch->ends.front());
    // The same line again and again has no place on the wire.
    wire_.socket = 0;
    note();
    for (;;) {
        redis::Connection::Integers got;
        CO_TRY_DO(co_await connection->send(line, config_.patience));
        CO_TRY_DO(co_await connection->receive_integers(1, &got, config_.patience));
        const bool found = got.last > 0;
        if (found || Clock::now() >= end) {
            // Not before: a server that ends once more meanwhile must be asked once more.
            had_receiver_ = found;
            break;
        }
        co_await sleep_for(receiver_gap);
        co_await asio::this_coro::throw_if_cancelled(true);
    }
    seek_receiver_ = false;
    reach(*batch, 1);
    count_as_sent(*batch, 1);
    wire_ = {connection->at().socket, connection->at().written, connection->at().read};
    note();
    rewind();
    co_return Result<>{};
}

/// So many lines of the batch are answered.
void Shipper::reach(const Batch& batch, std::size_t lines)
{
    if (lines == 0) return;
    cursor_ = lines == batch.after.size() ? batch.end : batch.after[lines - 1];
    wire_.written = batch.begin + batch.ends[lines - 1];
}

void Shipper::note() { cursors_.note(place_.key, {cursor_, wire_}); }

void Shipper::count_as_sent(const Batch& batch, std::size_t lines)
{
    for (std::size_t i = 0; i < lines; ++i) status_.sent_bytes += batch.sizes[i];
    status_.sent_lines += lines;
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
        if (const auto lost = reader_.lost_bytes() - lost_before; lost > 0) {
            status_.lost_bytes += lost;
            log_->warn(
                "log bytes rotated away unsent gwid={} stream={} bytes={}",
                place_.gwid,
                to_string(place_.stream),
                lost);
        }
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
                    batch.ends.push_back(batch.commands.size());
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
